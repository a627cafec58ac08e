// SPDX-License-Identifier: MIT
//
// Filling a copy bucket by bucket from another one, while live operations go on top.
//
// The working vector is the sender's from before the first bucket was read, so operations after it
// are applied at once.  One of them may find its incarnation missing: in a bucket that has not come
// yet that says nothing, in one that has it says "deleted".  What is here and not there, although
// the sender covers its create, was deleted there.  A copy from nothing that goes on from another
// sender keeps what it has where the two agree, and takes the new one's word where they do not.
#include <algorithm>
#include <cassert>

#include "replica.h"

namespace muster::cache {

void Replica::reset_log() {
  log_.clear();
  for (const auto& [origin, sequence] : seen_) log_.raise_floor(origin, sequence);
}

void Replica::start_copy(Path path, std::set<BootId> members, const Vector& vector) {
  table_->clear();
  deletes_.clear();
  parked_touches_.clear();
  husks_.clear();
  befores_.clear();
  waiting_.clear();
  waiting_bytes_ = 0;
  dirty_keys_.clear();
  dirty_deletes_.clear();
  batches_.clear();
  base_.clear();
  durable_.clear();
  free_origin_.reset();
  set_path(std::move(path), std::move(members));
  seen_ = vector;
  copying_ = from_nothing_ = true;
  leftovers_ = false;
  live_keys_.clear();
  clear_first_ = options_.stores;
  std::fill(installed_.begin(), installed_.end(), false);
  reset_log();
}

void Replica::start_compare(const Vector& vector) {
  if (copying_ && from_nothing_) {
    seen_ = vector;  // the new sender's alone: what the old one's promised may not be here
    reset_log();
    deletes_.visit_all(
        [this](const Deletes::Id& id, const Stamp&) { delete_changed(id.key, id.created); });
    deletes_.clear();  // they come with every bucket
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
  std::vector<OriginId> origins;
  for (const auto& [dot, encoded] : waiting_) origins.push_back(dot.origin);
  origins.erase(std::unique(origins.begin(), origins.end()), origins.end());
  for (const OriginId& origin : origins) apply_waiting(origin, Timestamp{});
}

void Replica::install_delete(std::string_view key, const Dot& created, const Stamp& stamp) {
  if (table_->remove(key, created)) touched(key);
  if (!parked_touches_.empty()) parked_touches_.erase({std::string(key), created});
  deletes_.add(key, created, stamp);
  delete_changed(key, created);
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
    if (table_->remove(key, created)) touched(key);
    parked_touches_.erase({std::string(key), created});
  }
}

void Replica::install(std::string_view key, std::string_view row, const Vector& sender) {
  auto incarnations = Table::decode_row(row);
  if (!incarnations) return;  // a bad row is skipped; the digest check will tell
  if (is_leftover(key)) drop_leftover(key);
  std::set<Dot> present;
  bool changed = false;
  for (const Incarnation& incarnation : *incarnations) {
    present.insert(incarnation.created);
    if (deletes_.contains(key, incarnation.created)) continue;
    const bool held = table_->holds(key, incarnation.created);
    if (!held && base_.covers(incarnation.created)) continue;  // deleted here, unknown there
    changed |= table_->merge(key, incarnation);
    if (incarnation.values.size() > 1) befores_.emplace(key);
    if (incarnation.values.empty() && !held) {
      parked_touches_.emplace(std::string(key), incarnation.created);
    } else if (!parked_touches_.empty()) {
      parked_touches_.erase({std::string(key), incarnation.created});
    }
  }
  if (changed) touched(key);
  drop_absent(key, present, sender);
}

void Replica::finish_bucket(std::uint32_t bucket, const std::set<std::string>& keys,
                            const Vector& sender) {
  std::vector<std::string> absent;
  table_->scan_bucket(bucket, [&](std::string_view key) {
    if (!keys.contains(std::string(key))) absent.emplace_back(key);
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
  base_.clear();
  meta_dirty_ = true;
}

void Replica::abandon_copy() {
  assert(copying_ && !from_nothing_);
  copying_ = false;
  seen_ = base_;  // what came meanwhile stands in the table, ahead of the vector; it comes again
  base_.clear();
  reset_log();
}

}  // namespace muster::cache
