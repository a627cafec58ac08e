// SPDX-License-Identifier: MIT
//
// The simulated store; see sim_disk.h.
#include "muster/lab/sim_disk.h"

#include <boost/assert.hpp>
#include <utility>

namespace muster::lab {

void SimDisk::submit(cache::StoreBatch batch) { waiting_.push_back(std::move(batch)); }

void SimDisk::apply(const cache::StoreBatch& batch) {
  Spaces& spaces = tables_[batch.table];
  if (batch.clear_first) {
    spaces[static_cast<std::size_t>(cache::Space::entries)].clear();
    spaces[static_cast<std::size_t>(cache::Space::deletes)].clear();
  }
  batch.rows.for_each([&](const cache::Row& row) {
    Rows& rows = spaces[static_cast<std::size_t>(row.space)];
    std::string key(row.key);
    if (row.value)
      rows.insert_or_assign(std::move(key), std::string(*row.value));
    else
      rows.erase(key);
  });
}

cache::StoreBatch SimDisk::commit_one() {
  BOOST_ASSERT(!waiting_.empty());
  cache::StoreBatch batch = std::move(waiting_.front());
  waiting_.pop_front();
  apply(batch);
  batch.rows.clear();
  return batch;
}

cache::StoreBatch SimDisk::fail_one() {
  BOOST_ASSERT(!waiting_.empty());
  cache::StoreBatch batch = std::move(waiting_.front());
  waiting_.pop_front();
  batch.rows.clear();
  return batch;
}

void SimDisk::commit_all() {
  while (!waiting_.empty()) commit_one();
}

void SimDisk::wipe() {
  waiting_.clear();
  tables_.clear();
}

std::size_t SimDisk::rows() const {
  std::size_t count = 0;
  for (const auto& [name, spaces] : tables_)
    for (const Rows& rows : spaces) count += rows.size();
  return count;
}

std::vector<std::string> SimDisk::tables() const {
  std::vector<std::string> names;
  for (const auto& [name, spaces] : tables_) names.push_back(name);
  return names;
}

Result<void> SimDisk::for_each(std::string_view table, cache::Space space,
                               const Visit& visit) const {
  const auto found = tables_.find(table);
  if (found == tables_.end()) return {};
  for (const auto& [key, value] : found->second[static_cast<std::size_t>(space)]) visit(key, value);
  return {};
}

Result<std::optional<std::string>> SimDisk::read(std::string_view table,
                                                 std::string_view key) const {
  const auto found = tables_.find(table);
  if (found == tables_.end()) return std::optional<std::string>();
  const Rows& entries = found->second[static_cast<std::size_t>(cache::Space::entries)];
  const auto row = entries.find(key);
  return row == entries.end() ? std::nullopt : std::optional(row->second);
}

}  // namespace muster::lab
