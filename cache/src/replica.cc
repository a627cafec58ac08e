// SPDX-License-Identifier: MIT
//
// Applying operations, own and others'.  Lines, copying, disk and forgetting are in
// replica_lines.cc, replica_copy.cc, replica_store.cc and replica_settle.cc.
#include "replica.h"

#include <algorithm>
#include <cassert>

#include "planted.h"

namespace muster::cache {

using planted::Bug;

namespace {

/// Of the log, while nobody else is a member.
constexpr std::size_t log_bytes_alone = std::size_t{1} << 20;

std::uint64_t micros(Timestamp time) {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(time.time_since_epoch().count(), 1));
}

}  // namespace

Replica::Replica(const Options& options, std::shared_ptr<Table> table, ReplicaListener& listener)
    : options_(options),
      table_(std::move(table)),
      listener_(listener),
      log_(std::min(options.log_bytes, log_bytes_alone)),
      installed_(Table::buckets, false) {}

const Origin* Replica::origin(const OriginId& id) const {
  const auto found = origins_.find(id);
  return found == origins_.end() ? nullptr : &found->second;
}

void Replica::learn(const Origin& origin) {
  assert(origin.id.boot.valid());
  origins_.emplace(origin.id, origin);
}

bool Replica::gone(std::string_view key, const Dot& created, bool held) const {
  if (deletes_.contains(key, created)) return true;
  if (held) return false;
  if (copying_ && !installed_[Table::bucket_of(key)]) return base_.covers(created);
  return seen_.covers(created);
}

Stamp Replica::next_stamp(Timestamp now) const {
  if (planted::has(Bug::wall_clock_stamps)) return {micros(now), options_.boot};
  return {std::max(clock_ + 1, micros(now)), options_.boot};
}

std::uint64_t Replica::newest_stamp(std::string_view key) const {
  std::uint64_t newest = 0;
  for (const Incarnation& each : table_->incarnations(key)) {
    newest = std::max(newest, each.touch.stamp.time);
    for (const ValueRegister& value : each.values) newest = std::max(newest, value.stamp.time);
  }
  return newest;
}

Dot Replica::issue(Operation& operation) {
  assert(!path_.empty());
  const bool lineless = operation.lineless();
  std::optional<OriginId>& current = lineless ? free_origin_ : line_origin_;
  operation.stamp.boot = options_.boot;
  operation.origin.reset();
  if (!current) {
    current = OriginId{options_.boot, next_origin_number_++};
    // What began at or before the pruning stamp of its root counts as known to all.
    const auto pruned = pruned_.find(path_.front().id);
    if (pruned != pruned_.end()) {
      operation.stamp.time = std::max(operation.stamp.time, pruned->second.time + 1);
    }
    const bool early = planted::has(Bug::origins_opened_early);
    operation.origin = Origin{*current, lineless ? 0 : path_.back().id, path_.front().id,
                              early ? path_.back().stamp : operation.stamp};
    learn(*operation.origin);
  }
  operation.dot = {*current, seen_.at(*current) + 1};
  encoded_.clear();
  encode(operation, encoded_);
  clock_ = std::max(clock_, operation.stamp.time);
  apply(operation, lineless ? 0 : path_.back().id, Timestamp::min());
  if (copying_ && base_.at(operation.dot.origin) + 1 == operation.dot.sequence) {
    base_.set(operation.dot.origin, operation.dot.sequence);
  }
  listener_.applied(operation, log_.append(operation.dot, encoded_));
  return operation.dot;
}

Replica::Received Replica::receive(std::string_view encoded, Timestamp now, bool goes_on) {
  if (!decode(encoded, scratch_)) return Received::malformed;
  const Dot dot = scratch_.dot;
  const bool is_put = !scratch_.lineless();
  if (goes_on && !is_put && put_waits_ == dot.origin.boot) return Received::gap;
  const Received received = apply_received(scratch_, encoded, now);
  put_waits_.reset();
  if (is_put && received == Received::gap) put_waits_ = dot.origin.boot;
  if (received == Received::applied && !waiting_.empty()) apply_waiting(dot.origin, now);
  return received;
}

Replica::Received Replica::apply_received(const Operation& operation, std::string_view encoded,
                                          Timestamp now) {
  const Dot& dot = operation.dot;
  if (path_.empty() || is_own(dot.origin)) {
    return seen_.covers(dot) ? Received::duplicate : Received::refused;
  }
  const std::uint64_t have = seen_.at(dot.origin);
  if (dot.sequence <= have) return Received::duplicate;
  const Origin* origin = this->origin(dot.origin);
  if (origin == nullptr && operation.origin) origin = &*operation.origin;
  if (origin != nullptr && (origin->line == 0) != operation.lineless()) return Received::malformed;
  if (origin != nullptr && !counts(*origin)) return Received::refused;
  if (origin != nullptr && has_pruned(*origin)) return Received::duplicate;
  const bool next = dot.sequence == have + 1 || planted::has(Bug::vector_over_hole);
  if (origin == nullptr || !next) {
    wait_for_predecessor(dot, encoded);
    return Received::gap;
  }
  const LineId line = origin->line;
  learn(*origin);
  apply(operation, line, now);
  listener_.applied(operation, log_.append(dot, encoded));
  return Received::applied;
}

void Replica::wait_for_predecessor(const Dot& dot, std::string_view encoded) {
  if (waiting_bytes_ + encoded.size() > waiting_bytes_max) return;  // catch-up will bring it
  if (waiting_.emplace(dot, encoded).second) waiting_bytes_ += encoded.size();
}

void Replica::apply_waiting(const OriginId& origin, Timestamp now) {
  auto next = waiting_.lower_bound(Dot{origin, 0});
  while (next != waiting_.end() && next->first.origin == origin) {
    const std::uint64_t have = seen_.at(origin);
    if (next->first.sequence > have + 1) return;
    const std::string encoded = std::move(next->second);
    waiting_bytes_ -= encoded.size();
    next = waiting_.erase(next);
    if (decode(encoded, scratch_)) static_cast<void>(apply_received(scratch_, encoded, now));
  }
}

void Replica::apply(const Operation& operation, LineId line, Timestamp now) {
  for (const PutItem& put : operation.puts) apply_put(put, operation, line);
  for (const TouchItem& touch : operation.touches) apply_touch(touch, operation);
  for (const RemoveItem& remove : operation.removes) apply_remove(remove, operation);
  if (leftovers_) {
    for (const PutItem& put : operation.puts) live_keys_.emplace(put.key);
    for (const TouchItem& touch : operation.touches) live_keys_.emplace(touch.key);
    for (const RemoveItem& remove : operation.removes) live_keys_.emplace(remove.key);
  }
  seen_.set(operation.dot.origin, operation.dot.sequence);
  if (now != Timestamp::min()) {
    clock_ = std::max(clock_, std::min(operation.stamp.time, micros(now + drift_most)));
  }
  meta_dirty_ = true;
  if (planted::has(Bug::deletes_not_kept)) forget_covered_deletes();
}

void Replica::apply_put(const PutItem& put, const Operation& operation, LineId line) {
  const bool create = !put.created || *put.created == operation.dot;
  const Dot created = create ? operation.dot : *put.created;
  const ValueRegister value{operation.stamp, line, put.expiry, put.value};
  const bool usual = !create && siblings_.empty() && parked_touches_.empty();
  if (usual && !deletes_.contains(put.key, created)) {
    // By one look-up.  What is overwritten so is not gone, and keeps nothing from before.
    if (const auto changed = table_->overwrite(put.key, created, value)) {
      if (*changed) touched(put.key);
      return;
    }
  }
  const bool held = !create && table_->holds(put.key, created);
  if (gone(put.key, created, held)) return;
  if (!parked_touches_.empty()) parked_touches_.erase({std::string(put.key), created});
  if (!siblings_.empty()) note_conflicts(put, created, value);
  if (!table_->put(put.key, created, value)) return;
  touched(put.key);
  if (planted::has(Bug::puts_kill_siblings)) drop_siblings(put.key, created);
  if (!held || path_.size() < 2) return;
  for (const Incarnation& each : table_->incarnations(put.key)) {
    if (each.values.size() > 1) befores_.emplace(put.key);
  }
}

void Replica::note_conflicts(const PutItem& put, const Dot& created, const ValueRegister& value) {
  for (const Incarnation& other : table_->incarnations(put.key)) {
    if (other.values.empty() || !concurrent(other.values.front().line, value.line)) continue;
    const ValueRegister& theirs = other.values.front();
    const bool ours_older = theirs.stamp < value.stamp;
    SetAside aside;
    aside.key = put.key;
    aside.created = ours_older ? other.created : created;
    aside.value = ours_older ? theirs : value;
    aside.before = ours_older ? value.stamp : theirs.stamp;
    aside.why = "merge: a newer value of the key";
    listener_.outdone(aside);
  }
}

/// Put on sibling lines, so neither knew of the other.
bool Replica::concurrent(LineId a, LineId b) const {
  if (a == b) return false;
  const auto first = siblings_.find(a), second = siblings_.find(b);
  if (first != siblings_.end() && second != siblings_.end()) {
    return first->second.group != second->second.group;
  }
  if (first == siblings_.end() && second == siblings_.end()) return false;
  const LineId on_ours = first == siblings_.end() ? a : b;
  const LineId last_common = (first == siblings_.end() ? second : first)->second.last_common;
  for (std::size_t i = path_.size(); i-- > 0 && path_[i].id != last_common;) {
    if (path_[i].id == on_ours) return i != 0 || last_common == 0;
  }
  return false;
}

void Replica::apply_touch(const TouchItem& touch, const Operation& operation) {
  const bool held = table_->holds(touch.key, touch.created);
  if (gone(touch.key, touch.created, held)) return;
  if (!held && planted::has(Bug::touches_not_parked)) return;
  if (!held) parked_touches_.emplace(std::string(touch.key), touch.created);
  if (table_->touch(touch.key, touch.created, {operation.stamp, touch.expiry})) touched(touch.key);
}

void Replica::apply_remove(const RemoveItem& remove, const Operation& operation) {
  for (const Dot& created : remove.dots) {
    if (table_->remove(remove.key, created)) touched(remove.key);
    if (!parked_touches_.empty()) parked_touches_.erase({std::string(remove.key), created});
    if (planted::has(Bug::deletes_not_parked) && !seen_.covers(created)) continue;
    keep_delete(remove.key, created, operation.stamp);
  }
  if (remove.dots.empty()) keep_delete(remove.key, {}, operation.stamp);
}

void Replica::keep_delete(std::string_view key, const Dot& created, const Stamp& stamp) {
  deletes_.add(key, created, stamp);
  delete_changed(key, created);
}

void Replica::touched(std::string_view key) {
  if (!collects() || from_nothing()) return;
  const bool with_its_bucket = unstored_ != Table::buckets && Table::bucket_of(key) >= unstored_;
  if (!with_its_bucket) dirty_keys_.add(key);
}

void Replica::delete_changed(std::string_view key, const Dot& created) {
  if (collects()) dirty_deletes_.emplace(key, created);
}

void Replica::check_invariants() const {
  log_.check_invariants();
  for (const auto& [id, sequence] : seen_) {
    assert(sequence != 0);
    assert(origins_.contains(id));
    assert(counts(origins_.at(id)));
  }
  for (const auto& [dot, encoded] : waiting_) assert(!encoded.empty());
  assert(waiting_bytes_ <= waiting_bytes_max);
  assert(valid_path(path_));
  assert(path_.empty() || !members_.empty());
  deletes_.visit_all([this](const Deletes::Id& id, const Stamp&) {
    assert(!table_->holds(id.key, id.created));  // a delete wins for ever
  });
}

}  // namespace muster::cache
