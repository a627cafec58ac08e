// SPDX-License-Identifier: MIT
//
// Changing the line: to follow a longer path, or to lose a fork in one step.
#include <cassert>

#include "replica.h"

namespace muster::cache {

bool valid_path(const Path& path) {
  if (path.size() > max_path) return false;
  std::set<LineId> ids;
  LineId parent = 0;
  for (const Line& line : path) {
    if (line.id == 0 || line.parent != parent || !ids.insert(line.id).second) return false;
    parent = line.id;
  }
  return true;
}

bool Replica::add_members(const std::set<BootId>& members) {
  const std::size_t before = members_.size();
  members_.insert(members.begin(), members.end());
  if (members_.size() == before) return false;
  meta_dirty_ = true;
  return true;
}

void Replica::set_path(Path path, std::set<BootId> members) {
  path_ = std::move(path);
  members_ = std::move(members);
  line_origin_.reset();
  meta_dirty_ = true;
}

void Replica::follow(Path path, std::set<BootId> members) {
  assert(common_lines(path_, path) == path_.size());
  set_path(std::move(path), std::move(members));
}

void Replica::lose(Path path, std::set<BootId> members, const std::string& why,
                   const Aside& aside) {
  const Path lost = path_;
  set_path(std::move(path), std::move(members));
  if (options_.merges) return remember_siblings(lost);
  std::vector<std::string> keys;
  for (std::uint32_t bucket = 0; bucket < Table::buckets; ++bucket) {
    keys.clear();
    table_->scan_bucket(bucket, [&keys](std::string_view key) {
      keys.emplace_back(key);
      return true;
    });
    for (const std::string& key : keys) drop_lost_values(key, why, aside);
  }
  for (auto origin = origins_.begin(); origin != origins_.end();) {
    if (counts(origin->second)) {
      ++origin;
      continue;
    }
    seen_.erase(origin->first);
    durable_.erase(origin->first);
    base_.erase(origin->first);
    for (auto& [number, vector] : batches_) vector.erase(origin->first);
    log_.forget(origin->first);
    origin = origins_.erase(origin);
  }
  waiting_.clear();
  waiting_bytes_ = 0;
}

void Replica::remember_siblings(const Path& theirs) {
  constexpr std::size_t most = 256;
  const std::size_t fork = common_lines(path_, theirs);
  const std::uint64_t group = next_group_++;
  for (std::size_t i = fork; i < theirs.size(); ++i) {
    siblings_.try_emplace(theirs[i].id, Sibling{fork, group});
  }
  for (auto each = siblings_.begin(); siblings_.size() > most;) {  // the oldest forks go first
    each = each->second.group + most / 2 < group ? siblings_.erase(each) : std::next(each);
    if (each == siblings_.end()) break;
  }
}

void Replica::drop_lost_values(std::string_view key, const std::string& why, const Aside& aside) {
  std::vector<std::pair<Dot, LineId>> lost;
  for (const Incarnation& incarnation : table_->incarnations(key)) {
    const Origin* creator = origin(incarnation.created.origin);
    const bool created_here = creator == nullptr || counts(*creator);
    for (const ValueRegister& value : incarnation.values) {
      if (created_here && on_path(path_, value.line)) continue;
      aside(SetAside{std::string(key), incarnation.created, value, why});
      lost.emplace_back(incarnation.created, value.line);
    }
    if (!created_here && incarnation.touch.stamp != Stamp{}) {
      parked_touches_.emplace(std::string(key), incarnation.created);
    }
  }
  for (const auto& [created, line] : lost) table_->remove_value(key, created, line);
  if (!lost.empty()) touched(key);
}

}  // namespace muster::cache
