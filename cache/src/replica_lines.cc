// SPDX-License-Identifier: MIT
//
// Changing the line: to follow a longer path, or to lose a fork in one step.
#include <algorithm>
#include <cassert>
#include <utility>

#include "replica.h"

namespace muster::cache {

bool valid_path(const Path& path) {
  if (path.size() > max_path) return false;
  std::set<LineId> ids;
  for (std::size_t i = 0; i < path.size(); ++i) {
    const Line& line = path[i];
    if (line.id == 0 || !ids.insert(line.id).second) return false;
    const bool follows = line.parent == (i == 0 ? 0 : path[i - 1].id);
    if (!follows && (i != 1 || line.parent == 0)) return false;
  }
  return true;
}

Path aligned(const Path& path, const Path& other) {
  Path result = path;
  if (!has_gap(other) || path.empty() || path[0].id != other[0].id) return result;
  const auto kept = std::find_if(result.begin() + 1, result.end(),
                                 [&](const Line& line) { return line.id == other[1].id; });
  if (kept != result.end()) result.erase(result.begin() + 1, kept);
  return result;
}

Relation relate(const Path& ours, const Path& theirs) {
  if (!ours.empty() && !theirs.empty() && ours.back().id == theirs.back().id) {
    return Relation::equal;
  }
  const Path a = aligned(ours, theirs), b = aligned(theirs, ours);
  const std::size_t common = common_lines(a, b);
  if (common == a.size() && common == b.size()) return Relation::equal;
  if (common == 1 && a.size() > 1 && b.size() > 1 && (has_gap(a) || has_gap(b))) {
    if (has_gap(b) && (!has_gap(a) || a.back().stamp < b[1].stamp)) return Relation::ours_outdated;
    if (has_gap(a) && (!has_gap(b) || b.back().stamp < a[1].stamp)) {
      return Relation::theirs_outdated;
    }
  }
  if (common == a.size()) return Relation::ours_shorter;
  if (common == b.size()) return Relation::theirs_shorter;
  return Relation::siblings;
}

bool Replica::add_members(const std::set<BootId>& members) {
  const std::size_t before = members_.size();
  members_.insert(members.begin(), members.end());
  if (members_.size() == before) return false;
  note_members();
  return true;
}

void Replica::set_path(Path path, std::set<BootId> members) {
  path_ = std::move(path);
  members_ = std::move(members);
  line_origin_.reset();
  note_members();
}

void Replica::note_members() {
  const bool others = std::any_of(members_.begin(), members_.end(), [this](BootId boot) {
    return boot != options_.boot && !own_boots_.contains(boot);
  });
  shared_ = shared_ || others;
  if (shared_) log_.set_bytes_max(options_.log_bytes);
  meta_dirty_ = true;
}

void Replica::follow(Path path, std::set<BootId> members) {
  assert(path_.empty() || relate(path_, path) == Relation::ours_shorter);
  set_path(continued(path), std::move(members));
}

/// `path`, with our own lines up to where they part: what one side has pruned the other still
/// needs.
Path Replica::continued(const Path& path) const {
  const Path theirs = aligned(path, path_);
  const std::size_t common = common_lines(aligned(path_, path), theirs);
  if (common == 0) return path;
  Path result = path_;
  while (result.back().id != theirs[common - 1].id) result.pop_back();
  result.insert(result.end(), theirs.begin() + static_cast<std::ptrdiff_t>(common), theirs.end());
  return result;
}

void Replica::prune_lines(LineId keep) {
  const auto kept = std::find_if(path_.begin(), path_.end(),
                                 [keep](const Line& line) { return line.id == keep; });
  if (kept == path_.end() || kept - path_.begin() < 2) return;
  path_.erase(path_.begin() + 1, kept);
  meta_dirty_ = true;
}

/// Those that operations on lines off the path have put; nothing where the log no longer has all of
/// these operations.
std::optional<std::set<std::string, std::less<>>> Replica::keys_of_lost_lines() const {
  std::set<std::string, std::less<>> keys;
  Operation operation;
  for (const auto& [id, origin] : origins_) {
    if (counts(origin)) continue;
    for (std::uint64_t sequence = 1; sequence <= seen_.at(id); ++sequence) {
      const std::string_view encoded = log_.find(Dot{id, sequence});
      if (encoded.empty() || !decode(encoded, operation)) return std::nullopt;
      for (const PutItem& put : operation.puts) keys.emplace(put.key);
    }
  }
  return keys;
}

void Replica::lose(Path path, std::set<BootId> members, const Aside& aside) {
  const Path lost = path_;
  set_path(continued(path), std::move(members));
  if (options_.merges) return remember_siblings(lost);
  const bool root_lost = lost.empty() || lost.front().id != path_.front().id;
  // What all members had settled before the lines that are known is on both sides.
  const LostLine is_lost = [&](LineId line) {
    return !on_path(path_, line) && (root_lost || on_path(lost, line));
  };
  const bool log_tells_all = !root_lost && !copying_ && !content_ahead();
  const auto written = log_tells_all ? keys_of_lost_lines() : std::nullopt;
  if (written) {
    for (const std::string& key : *written) drop_lost_values(key, is_lost, aside);
  } else {
    std::vector<std::string> keys;
    for (std::uint32_t bucket = 0; bucket < Table::buckets; ++bucket) {
      keys.clear();
      table_->scan_bucket(bucket, [&keys](std::string_view key) {
        keys.emplace_back(key);
        return true;
      });
      for (const std::string& key : keys) drop_lost_values(key, is_lost, aside);
    }
  }
  for (auto origin = origins_.begin(); origin != origins_.end();) {
    if (counts(origin->second)) {
      ++origin;
      continue;
    }
    seen_.erase(origin->first);
    durable_.erase(origin->first);
    base_.erase(origin->first);
    ahead_.erase(origin->first);
    for (auto& [number, given] : batches_) given.vector.erase(origin->first);
    log_.forget(origin->first);
    origin = origins_.erase(origin);
  }
  waiting_.clear();
  waiting_bytes_ = 0;
}

void Replica::remember_siblings(const Path& theirs) {
  constexpr std::size_t most = 256;
  const Path lines = aligned(theirs, path_);
  const std::size_t fork = common_lines(aligned(path_, theirs), lines);
  const LineId last_common = fork == 0 ? 0 : lines[fork - 1].id;
  const std::uint64_t group = next_group_++;
  for (std::size_t i = fork; i < lines.size(); ++i) {
    siblings_.try_emplace(lines[i].id, Sibling{last_common, group});
  }
  for (auto each = siblings_.begin(); siblings_.size() > most;) {  // the oldest forks go first
    each = each->second.group + most / 2 < group ? siblings_.erase(each) : std::next(each);
    if (each == siblings_.end()) break;
  }
}

/// Of an incarnation only the newest of its lost values is told: the others had been overwritten on
/// their own side.
void Replica::drop_lost_values(std::string_view key, const LostLine& is_lost, const Aside& aside) {
  std::vector<std::pair<Dot, LineId>> lost;
  std::vector<SetAside> told;
  Stamp before;
  for (const Incarnation& incarnation : table_->incarnations(key)) {
    const Origin* creator = origin(incarnation.created.origin);
    const bool created_here = creator == nullptr || counts(*creator);
    bool first = true;
    for (const ValueRegister& value : incarnation.values) {
      if (created_here && !is_lost(value.line)) {
        before = std::max(before, value.stamp);
        continue;
      }
      lost.emplace_back(incarnation.created, value.line);
      if (!std::exchange(first, false)) continue;
      SetAside& each = told.emplace_back();
      each.key = key;
      each.created = incarnation.created;
      each.value = value;
      if (incarnation.touch.stamp > value.stamp) each.value.expiry = incarnation.touch.expiry;
    }
    if (!created_here && incarnation.touch.stamp != Stamp{}) {
      parked_touches_.emplace(std::string(key), incarnation.created);
    }
  }
  for (SetAside& each : told) {
    each.before = before;
    aside(each);
  }
  for (const auto& [created, line] : lost) table_->remove_value(key, created, line);
  if (!lost.empty()) touched(key);
}

}  // namespace muster::cache
