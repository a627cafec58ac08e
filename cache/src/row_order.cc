// SPDX-License-Identifier: MIT
#include "row_order.h"

#include <algorithm>
#include <utility>

namespace muster::cache {

std::uint64_t front_of(std::string_view key) {
  std::uint64_t front = 0;
  for (std::size_t i = 0; i < sizeof(front); ++i) {
    front = front << 8 | (i < key.size() ? static_cast<unsigned char>(key[i]) : 0U);
  }
  return front;
}

void sort_latest(std::vector<Row>& rows) {
  struct Planned {
    std::uint64_t front;
    std::uint32_t index;
    Space space;
  };
  std::vector<Planned> order;
  order.reserve(rows.size());
  for (const Row& row : rows) {
    order.push_back({front_of(row.key), static_cast<std::uint32_t>(order.size()), row.space});
  }
  std::sort(order.begin(), order.end(), [&](const Planned& a, const Planned& b) {
    if (a.space != b.space) return a.space < b.space;
    if (a.front != b.front) return a.front < b.front;
    const int keys = rows[a.index].key.compare(rows[b.index].key);
    return keys != 0 ? keys < 0 : a.index < b.index;
  });
  std::vector<Row> latest;
  latest.reserve(rows.size());
  for (const Planned& planned : order) {
    const Row& row = rows[planned.index];
    const bool again =
        !latest.empty() && latest.back().space == row.space && latest.back().key == row.key;
    if (again) latest.pop_back();
    latest.push_back(row);
  }
  rows = std::move(latest);
}

}  // namespace muster::cache
