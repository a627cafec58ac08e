// SPDX-License-Identifier: MIT
//
// Expiry hides an entry; its husk stays until settled, for a touch from the other side of a cut may
// still save it.  Deletes and parked touches are kept until then too.
#include <algorithm>
#include <cassert>

#include "planted.h"
#include "replica.h"

namespace muster::cache {
namespace {

/// How far a clock may be ahead of the latest that was told: twice the drift guard.
constexpr auto writes_within = std::chrono::seconds(1);

Expiry time_of(const Stamp& stamp) {
  return Expiry(std::chrono::microseconds(static_cast<std::int64_t>(stamp.time)));
}

}  // namespace

void Replica::expire(Timestamp at, std::size_t limit, const Table::Expired& expired) {
  expired_until_ = std::max(expired_until_, at);
  const auto husk = [&](std::string_view key) {
    last_expired_ = std::max(last_expired_, at);
    if (planted::has(planted::Bug::husks_dropped)) return drop_expired(key, at);
    if (planted::has(planted::Bug::husks_without_value)) drop_expired_values(key, at);
    husks_.push_back({at, std::string(key), {}});
  };
  bool told = false;
  const auto shown = [&](std::string_view key) {
    husk(key);
    told = true;
    if (expired) expired(key);
  };
  table_->expire(at, limit, shown, husk);
  if (table_->next_expiry() > at) told_until_ = std::max(told_until_, at);  // Else more are due.
  meta_dirty_ = meta_dirty_ || (told && expired);
}

/// What a planted bug does; see planted.h.
void Replica::forget_covered_deletes() {
  std::vector<Deletes::Id> covered;
  deletes_.visit_all([&](const Deletes::Id& id, const Stamp&) {
    if (seen_.covers(id.created)) covered.push_back(id);
  });
  for (const Deletes::Id& id : covered) {
    deletes_.erase(id.key, id.created);
    delete_changed(id.key, id.created);
  }
}

/// The same.
void Replica::drop_siblings(std::string_view key, const Dot& kept) {
  for (const Dot& created : table_->created_dots(key)) {
    if (created != kept) table_->remove(key, created);
  }
}

/// The same.
void Replica::drop_expired(std::string_view key, Expiry at) {
  const std::string held(key);  // the view ends with the entry
  std::vector<Dot> over;
  for (const Incarnation& incarnation : table_->incarnations(held)) {
    if (!incarnation.live(at)) over.push_back(incarnation.created);
  }
  for (const Dot& created : over) table_->remove(held, created);
}

/// The same.
void Replica::drop_expired_values(std::string_view key, Expiry at) {
  const std::string held(key);
  std::vector<Incarnation> over;
  for (Incarnation& incarnation : table_->incarnations(held)) {
    if (!incarnation.live(at) && !incarnation.values.empty()) over.push_back(incarnation);
  }
  for (const Incarnation& incarnation : over) {
    const Dot& created = incarnation.created;
    table_->touch(held, created, {incarnation.values.front().stamp, incarnation.expiry()});
    for (const ValueRegister& value : incarnation.values) {
      table_->remove_value(held, created, value.line);
    }
    parked_touches_.emplace(held, created);
  }
}

bool Replica::forget(const Stamp& settled, Timestamp latest, std::size_t limit) {
  forget_deletes(settled, latest, limit);
  forget_husks(settled, latest, limit);
  forget_parked(settled, limit);
  forget_befores(settled, limit);
  return limit == 0;
}

/// Later than every write that was made by then on any member, whatever its clock: none is ahead of
/// all the clocks of its time.  Those of the others are at most `latest`, ours has just been told
/// to expire(), and a clock may be ahead of that by what the drift guard allows.
Expiry Replica::after_all_writes(Timestamp latest) const {
  return std::max({expired_until_, latest, time_of({clock_, {}})}) + writes_within;
}

/// Twice S must pass it.  Once: every member has it.  But before it had it, a member may have
/// written to what it names, under a later stamp; where the create's origin is pruned, nothing but
/// the delete tells that such a write, which comes late, is to something dead.
void Replica::forget_deletes(const Stamp& settled, Timestamp latest, std::size_t& limit) {
  while (limit > 0 && !settled_deletes_.empty() &&
         settled_deletes_.front().when <= time_of(settled)) {
    const SettledDelete over = std::move(settled_deletes_.front());
    settled_deletes_.pop_front();
    --limit;
    const Stamp* stamp = deletes_.find(over.id.key, over.id.created);
    if (stamp == nullptr || *stamp != over.stamp) continue;  // deleted once more: it comes again
    deletes_.erase(over.id.key, over.id.created);
    delete_changed(over.id.key, over.id.created);
    meta_dirty_ = true;
  }
  const auto kept = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(options_.keep_deletes).count());
  const Stamp once{settled.time - std::min(settled.time, kept), settled.boot};
  SettledDelete next;
  while (limit > 0 && deletes_.next_settled(once, next.id, next.stamp)) {
    next.when = after_all_writes(latest);
    settled_deletes_.push_back(next);
    --limit;
  }
}

void Replica::prune(const std::vector<OriginId>& over) {
  constexpr std::size_t remembered = 256;
  for (const OriginId& id : over) {
    const auto found = origins_.find(id);
    assert(found != origins_.end() && !copying_);
    const Origin origin = found->second;
    Stamp& upto = pruned_[origin.root];
    upto = std::max(upto, origin.start);
    recently_pruned_.push_back({origin, seen_.at(id)});
    seen_.erase(id);
    durable_.erase(id);
    ahead_.erase(id);
    for (auto& [number, given] : batches_) given.vector.erase(id);
    log_.forget(id);
    origins_.erase(found);
    if (line_origin_ == id) line_origin_.reset();
    for (auto waits = waiting_.lower_bound(Dot{id, 0});
         waits != waiting_.end() && waits->first.origin == id;) {
      waiting_bytes_ -= waits->second.size();
      waits = waiting_.erase(waits);
    }
    meta_dirty_ = true;
  }
  while (recently_pruned_.size() > remembered) {
    const Origin& origin = recently_pruned_.front().origin;
    Stamp& from = recent_from_[origin.root];
    from = std::max(from, origin.start);
    recently_pruned_.pop_front();
  }
}

void Replica::set_admission(std::uint32_t admission) {
  meta_dirty_ = meta_dirty_ || admission_ != admission;
  admission_ = admission;
}

void Replica::drop_member(const NodeName& name, std::uint32_t admissions) {
  std::uint32_t& known = dropped_[name];
  meta_dirty_ = meta_dirty_ || known < admissions;
  known = std::max(known, admissions);
}

void Replica::visit_unknown_to(const Vector& other, const Aside& visit) const {
  std::set<std::pair<BootId, LineId>> unknown;
  for (const auto& [id, sequence] : seen_) {
    if (other.at(id) < sequence) unknown.emplace(id.boot, origins_.at(id).line);
  }
  for (std::uint32_t bucket = 0; bucket < Table::buckets && !unknown.empty(); ++bucket) {
    table_->scan_bucket(bucket, [&](std::string_view key) {
      for (const Incarnation& incarnation : table_->incarnations(key)) {
        if (incarnation.values.empty()) continue;
        const ValueRegister& value = incarnation.values.front();
        if (unknown.contains({value.stamp.boot, value.line})) {
          visit(SetAside{std::string(key), incarnation.created, value, {}});
        }
      }
      return true;
    });
  }
}

void Replica::adopt_pruned(const Pruned& pruned) {
  for (const auto& [root, upto] : pruned) {
    if (pruned_[root] >= upto) continue;
    pruned_[root] = upto;
    recent_from_[root] = std::max(recent_from_[root], upto);
    meta_dirty_ = true;
  }
}

bool Replica::knows(const Vector& theirs) const {
  return std::all_of(theirs.begin(), theirs.end(), [this](const Vector::Entry& entry) {
    if (seen_.at(entry.first) >= entry.second) return true;
    return std::any_of(recently_pruned_.begin(), recently_pruned_.end(), [&](const Recent& each) {
      return each.origin.id == entry.first && each.sequence >= entry.second;
    });
  });
}

bool Replica::knows_what_was_pruned(const Vector& have, const Pruned& pruned) const {
  const auto known = [&](LineId root, const Stamp& upto) {
    const auto theirs = pruned.find(root);
    return theirs != pruned.end() && upto <= theirs->second;
  };
  for (const auto& [root, upto] : recent_from_) {
    if (!known(root, upto)) return false;
  }
  return std::all_of(recently_pruned_.begin(), recently_pruned_.end(), [&](const Recent& recent) {
    return known(recent.origin.root, recent.origin.start) ||
           have.at(recent.origin.id) >= recent.sequence;
  });
}

/// Twice S must pass it.  Once: every member has on disk what made it expire, and since it reported
/// so, judges its writes by that.  But earlier it may have written to what an older register left
/// alive, under a stamp above this S (say, elsewhere a touch cut the time short, and this put is
/// later than the new end).  A member that got such a write after it had forgotten the husk would
/// find its create covered and absent, hence deleted: live where it was made, gone here.
/// All those writes precede the reports that this S was made of.  Once S has passed this time as
/// well, every member has them all on disk: what still is as the first S covered it is over for
/// ever.
void Replica::forget_husks(const Stamp& settled, Timestamp latest, std::size_t& limit) {
  const Expiry bound = time_of(settled);
  while (limit > 0 && !husks_.empty() && husks_.front().when <= bound) {
    Husk husk = std::move(husks_.front());
    husks_.pop_front();
    --limit;
    if (husk.settled == Stamp{}) {
      husk.settled = settled;
      husk.when = after_all_writes(latest);
      if (!planted::has(planted::Bug::husks_settled_once)) {
        husks_.push_back(std::move(husk));
        continue;
      }
    }
    std::vector<Dot> over;
    bool left = false;  // changed since: it is looked at anew
    for (const Incarnation& incarnation : table_->incarnations(husk.key)) {
      if (incarnation.values.empty() || incarnation.expiry() > expired_until_) continue;
      const bool done = incarnation.expiry() <= time_of(husk.settled) &&
                        incarnation.touch.stamp <= husk.settled &&
                        incarnation.values.front().stamp <= husk.settled;
      if (done) over.push_back(incarnation.created);
      left = left || !done;
    }
    for (const Dot& created : over) table_->remove(husk.key, created);
    if (!over.empty()) {
      touched(husk.key);
      meta_dirty_ = true;
    }
    const Expiry later = std::max(expired_until_, bound + std::chrono::microseconds(1));
    if (left) husks_.push_back({later, std::move(husk.key), {}});
  }
}

void Replica::forget_parked(const Stamp& settled, std::size_t& limit) {
  for (auto parked = parked_touches_.begin(); limit > 0 && parked != parked_touches_.end();) {
    --limit;
    bool over = true;
    for (const Incarnation& incarnation : table_->incarnations(parked->first)) {
      if (incarnation.created != parked->second) continue;
      over = incarnation.values.empty() && incarnation.touch.stamp <= settled;
    }
    if (!over) {
      ++parked;
      continue;
    }
    if (table_->remove(parked->first, parked->second)) touched(parked->first);
    parked = parked_touches_.erase(parked);
    meta_dirty_ = true;
  }
}

void Replica::forget_befores(const Stamp& settled, std::size_t& limit) {
  for (auto key = befores_.begin(); limit > 0 && key != befores_.end();) {
    --limit;
    bool left = false;
    std::vector<Dot> over;
    for (const Incarnation& incarnation : table_->incarnations(*key)) {
      if (incarnation.values.size() < 2) continue;
      const bool done = incarnation.values.front().stamp <= settled;
      if (done) over.push_back(incarnation.created);
      left = left || !done;
    }
    for (const Dot& created : over) table_->remove_before(*key, created);
    if (!over.empty()) {
      touched(*key);
      meta_dirty_ = true;
    }
    key = left ? std::next(key) : befores_.erase(key);
  }
}

}  // namespace muster::cache
