// SPDX-License-Identifier: MIT
#include "muster/cache/rows.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace muster::cache {
namespace {

constexpr std::size_t piece_bytes = std::size_t{64} << 10;
constexpr unsigned has_value = 128;
static_assert(std::endian::native == std::endian::little, "rows are kept little end first");

}  // namespace

void write_row(std::string& out, const Row& row) {
  assert(row.key.size() <= UINT16_MAX && row_bytes(row) <= UINT32_MAX);
  const auto key = static_cast<std::uint16_t>(row.key.size());
  const auto value = static_cast<std::uint32_t>(row.value ? row.value->size() : 0);
  char head[row_head_bytes];
  head[0] = static_cast<char>(static_cast<unsigned>(row.space) | (row.value ? has_value : 0U));
  std::memcpy(head + 1, &key, sizeof(key));
  std::memcpy(head + 3, &value, sizeof(value));
  out.append(head, sizeof(head));
  out.append(row.key);
  if (row.value) out.append(*row.value);
}

bool take_row(std::string_view& bytes, Row& row) {
  if (bytes.size() < row_head_bytes) return false;
  const auto mark = static_cast<unsigned char>(bytes[0]);
  std::uint16_t key = 0;
  std::uint32_t value = 0;
  std::memcpy(&key, bytes.data() + 1, sizeof(key));
  std::memcpy(&value, bytes.data() + 3, sizeof(value));
  const bool valued = (mark & has_value) != 0;
  const std::size_t space = mark & ~has_value;
  const std::size_t whole = row_head_bytes + key + value;
  if (space >= spaces || bytes.size() < whole || (!valued && value != 0)) return false;
  row.space = static_cast<Space>(space);
  row.key = bytes.substr(row_head_bytes, key);
  row.value.reset();
  if (valued) row.value = bytes.substr(row_head_bytes + key, value);
  bytes.remove_prefix(whole);
  return true;
}

void Rows::add(const Row& row) {
  const std::size_t whole = row_bytes(row);
  if (pieces_.empty() || pieces_.back().size() + whole > piece_bytes) {
    // The first piece grows with what comes, so that a small batch is small.
    const std::size_t room = pieces_.empty() ? whole : std::max(piece_bytes, whole);
    pieces_.emplace_back().reserve(room);
  }
  write_row(pieces_.back(), row);
  ++size_;
  bytes_ += whole;
}

void Rows::clear() {
  pieces_.clear();
  size_ = bytes_ = 0;
}

}  // namespace muster::cache
