// SPDX-License-Identifier: MIT
//
// Filling a copy bucket by bucket from another one, while live operations go on top.
//
// The working vector is the sender's from before the first bucket was read, so operations after it
// are applied at once.  One of them may find its incarnation missing: in a bucket that has not come
// yet that says nothing, in one that has it says "deleted".  What is here and not there, although
// the sender covers its create, was deleted there.  A copy from nothing that goes on from another
// sender keeps what it has where the two agree, and takes the new one's word where they do not.
//
// Two that have had the same operations and still differ are repaired: an incarnation that one of
// them lacks, with no delete of it, is taken from the other.
#include <algorithm>
#include <cassert>

#include "replica.h"
#include "table_row.h"

namespace muster::cache {

void Replica::reset_log() {
  log_.clear();
  for (const auto& [origin, sequence] : seen_) log_.raise_floor(origin, sequence);
}

void Replica::start_copy(Path path, std::set<BootId> members, const Vector& vector, Pruned pruned,
                         Dropped dropped) {
  table_->clear();
  deletes_.clear();
  settled_deletes_.clear();
  origins_.clear();
  parked_touches_.clear();
  husks_.clear();
  befores_.clear();
  waiting_.clear();
  waiting_bytes_ = 0;
  unstored_ = 0;
  dirty_keys_.clear();
  dirty_deletes_.clear();
  batches_.clear();
  storing_.clear();
  base_.clear();
  ahead_.clear();
  durable_.clear();
  free_origin_.reset();
  own_from_ = next_origin_number_;
  set_path(std::move(path), std::move(members));
  seen_ = vector;
  pruned_ = recent_from_ = std::move(pruned);
  recently_pruned_.clear();
  dropped_ = std::move(dropped);
  copying_ = from_nothing_ = true;
  twins_at_.reset();
  leftovers_ = false;
  live_keys_.clear();
  clear_first_ = options_.stores;
  std::fill(installed_.begin(), installed_.end(), false);
  reset_log();
}

void Replica::start_compare(const Vector& vector, const Origins& origins) {
  twins_at_.reset();
  for (const auto& [id, sequence] : vector) {  // theirs counts as covered here: say how far
    const auto origin = origins.find(id);
    if (origin == origins.end() || !has_pruned(origin->second)) continue;
    learn(origin->second);
    seen_.set(id, sequence);
    log_.raise_floor(id, sequence);
  }
  if (copying_ && from_nothing_) {
    seen_ = vector;  // the new sender's alone: what the old one's promised may not be here
    reset_log();
    deletes_.visit_all(
        [this](const Deletes::Id& id, const Stamp&) { delete_changed(id.key, id.created); });
    deletes_.clear();  // they come with every bucket
    settled_deletes_.clear();
    leftovers_ = true;
    live_keys_.clear();
  } else {
    if (!copying_) base_ = seen_;
    for (const auto& [origin, sequence] : vector) {
      if (seen_.raise(origin, sequence)) log_.raise_floor(origin, sequence);
    }
  }
  copying_ = true;
  std::fill(installed_.begin(), installed_.end(), false);
  std::vector<OriginId> waiting;
  for (const auto& [dot, encoded] : waiting_) waiting.push_back(dot.origin);
  waiting.erase(std::unique(waiting.begin(), waiting.end()), waiting.end());
  for (const OriginId& origin : waiting) apply_waiting(origin, Timestamp{});
}

void Replica::expect(std::uint32_t bucket, std::size_t entries) {
  if (entries > table_->bucket_count(bucket)) table_->reserve(bucket, entries);
}

bool Replica::is_twin(const Vector& vector, const Pruned& pruned) const {
  return !copying_ && !content_ahead() && seen_ == vector && pruned_ == pruned;
}

void Replica::start_repair(const Vector& vector, const Origins& origins) {
  const Vector both = seen_;
  start_compare(vector, origins);
  twins_at_ = both;
}

void Replica::install_delete(std::string_view key, const Dot& created, const Stamp& stamp) {
  if (table_->remove(key, created)) touched(key);
  if (!parked_touches_.empty()) parked_touches_.erase({std::string(key), created});
  if (deletes_.find(key, created) == nullptr) listener_.brought_delete(key, created, stamp);
  keep_delete(key, created, stamp);
}

void Replica::drop_leftover(std::string_view key) {
  for (const Dot& created : table_->created_dots(key)) {
    if (table_->remove(key, created)) touched(key);
    if (!parked_touches_.empty()) parked_touches_.erase({std::string(key), created});
  }
}

void Replica::drop_absent(std::string_view key, const std::set<Dot>& present,
                          const Vector& sender) {
  for (const Dot& created : table_->created_dots(key)) {
    if (present.contains(created) || !sender.covers(created)) continue;
    if (twins_at_) continue;  // a delete that came there first comes here as well
    if (table_->remove(key, created)) touched(key);
    parked_touches_.erase({std::string(key), created});
  }
}

Replica::Installed Replica::install(std::string_view key, std::string_view row,
                                    const Vector& sender) {
  if (!parse_row(row, row_)) return Installed::unreadable;
  if (is_leftover(key)) drop_leftover(key);
  const std::size_t count_before = table_->count();
  bool changed = false;
  for (const Incarnation& incarnation : row_) {
    const Dot& created = incarnation.created;
    if (deletes_.size() != 0 && deletes_.contains(key, created)) continue;
    const bool lost_here = twins_at_ && twins_at_->covers(created);
    const bool deleted_here = base_.covers(created) && !table_->holds(key, created);
    if (deleted_here && !lost_here) continue;  // and not known there
    if (!incarnation.values.empty()) {
      if (!parked_touches_.empty()) parked_touches_.erase({std::string(key), created});
    } else if (!table_->holds(key, created)) {  // else it is parked here as well, or has a value
      parked_touches_.emplace(std::string(key), created);
    }
    changed |= table_->merge(key, incarnation);
    if (incarnation.values.size() > 1) befores_.emplace(key);
  }
  if (changed) touched(key);
  // So there is nothing else of it either.
  if (table_->count() != count_before) return Installed::fresh;
  std::set<Dot> present;
  for (const Incarnation& incarnation : row_) present.insert(incarnation.created);
  drop_absent(key, present, sender);
  return Installed::merged;
}

void Replica::finish_bucket(std::uint32_t bucket, const std::set<std::string, std::less<>>& keys,
                            const Vector& sender) {
  std::vector<std::string> absent;
  table_->scan_bucket(bucket, [&](std::string_view key) {
    if (!keys.contains(key)) absent.emplace_back(key);
    return true;
  });
  for (const std::string& key : absent) {
    is_leftover(key) ? drop_leftover(key) : drop_absent(key, {}, sender);
  }
  mark_installed(bucket);
}

void Replica::mark_installed(std::uint32_t bucket) {
  assert(bucket < Table::buckets);
  installed_[bucket] = true;
}

void Replica::finish_copy() {
  assert(copying_);
  copying_ = from_nothing_ = leftovers_ = false;
  live_keys_.clear();
  twins_at_.reset();
  base_.clear();
  ahead_.clear();
  meta_dirty_ = true;
}

void Replica::abandon_copy(const Vector& sender) {
  assert(copying_ && !from_nothing_);
  copying_ = false;
  twins_at_.reset();
  ahead_.raise(seen_);
  ahead_.raise(sender);
  seen_ = base_;
  base_.clear();
  reset_log();
}

bool Replica::content_ahead() const {
  if (copying_) return true;
  return std::any_of(ahead_.begin(), ahead_.end(), [this](const Vector::Entry& entry) {
    const Origin* known = origin(entry.first);
    const bool counted = known == nullptr || counts(*known);
    return counted && !(known != nullptr && has_pruned(*known)) &&
           seen_.at(entry.first) < entry.second;
  });
}

}  // namespace muster::cache
