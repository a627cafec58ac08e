// SPDX-License-Identifier: MIT
//
// The quiet end of a schedule, and what must hold there.  It is judged by what was issued and by
// the vector that all copies end with: an operation that it does not cover was lost with every disk
// that had it, and may or may not have had its effect.
#include <fmt/format.h>

#include <algorithm>

#include "schedule.h"

namespace muster::lab {

using cache::Dot;
using cache::Expiry;
using cache::Stamp;
using cache::Vector;

namespace {

constexpr std::int64_t clocks_differ_us = 10'000;  // at pace 1
constexpr std::int64_t a_long_time_us = 20'000'000;

/// What is known of one incarnation.
struct Known {
  bool killed = false;
  Stamp newest_put, newest;              ///< Of operations that survived.
  Expiry expiry = cache::never_expires;  ///< As the newest one set it.
  bool maybe_killed = false;             ///< By one that was lost.
  Stamp maybe_newest;                    ///< Of those that were lost.
};

}  // namespace

void Schedule::quiet() {
  say("quiet");
  std::fill(island_.begin(), island_.end(), 0);
  for (std::size_t index = 0; index < copies_.size(); ++index)
    if (!copies_[index]->up) restart(index);
  if (std::none_of(copies_.begin(), copies_.end(), [](const auto& each) { return each->ready; })) {
    if (!lossy_) problem("nobody is ready, although no disk lost anything");
    return;  // nobody is left who had anything
  }
  while (!air_.empty()) deliver();
  constexpr std::size_t most = 40;
  for (std::size_t round = 0; round < most && !equal(); ++round) exchange();
  repair();
  for (std::size_t index = 0; index < copies_.size(); ++index) {
    const Copy& copy = *copies_[index];
    if (!copy.ready || copy.copying) return problem(fmt::format("n{} never gets ready", index));
    if (!same_vectors(copy, *copies_[0]))
      return problem(fmt::format("the vectors of n0 and n{} stay different", index));
    copy.replica->check_invariants();
  }
  if (!lossy_) check_all_covered();
  check_contents();
  if (problems_.empty()) check_memory();
}

/// But for what one of them has pruned.
bool Schedule::same_vectors(const Copy& a, const Copy& b) const {
  return covers(a, b.replica->seen()) && covers(b, a.replica->seen());
}

/// No disk lost anything, so no copy lacks anything.
void Schedule::check_all_covered() {
  for (std::size_t index = 0; index < copies_.size(); ++index)
    for (const auto& [origin, operations] : history_)
      if (!covers(*copies_[index], operations.back().dot))
        problem(fmt::format("n{} lacks {} of {}", index, name(operations.back().dot),
                            operations.back().key));
}

bool Schedule::equal() const {
  return std::all_of(copies_.begin(), copies_.end(), [this](const auto& copy) {
    return copy->ready && !copy->copying && same_vectors(*copy, *copies_[0]);
  });
}

void Schedule::exchange() {
  now_us_ += 1000;
  for (std::size_t a = 0; a < copies_.size(); ++a) {
    expire(*copies_[a]);
    for (std::size_t b = 0; b < copies_.size(); ++b) {
      if (a == b) continue;
      contact(a, b);
      if (copies_[a]->copying) {
        for (std::size_t bucket = 0; bucket < buckets_.size() + 2 && copies_[a]->copying; ++bucket)
          copy_bucket(a);
      }
      pull(a, b, SIZE_MAX);
    }
  }
  for (std::size_t a = 0; a < copies_.size(); ++a) {  // no progress: two may wait for each other
    if (copies_[a]->copying && random_.chance(0.5)) stop_copying(a);
  }
  for (const auto& copy : copies_) {
    store(*copy, true);
    store(*copy, true);
  }
  for (std::size_t a = 0; a < copies_.size(); ++a) forget(a);
}

/// At equal vectors content may differ in one case only: a copy got from a sender more than its
/// vector says, and the sender lost it.  Then the digests tell, and the copies are compared.
void Schedule::repair() {
  const auto differ = [this] {
    return std::any_of(copies_.begin(), copies_.end(), [this](const auto& each) {
      return each->replica->table().digest() != copies_[0]->replica->table().digest();
    });
  };
  now_us_ += 2 * clocks_differ_us * pace_;
  const Expiry at{
      std::chrono::microseconds(now_us_ + clocks_differ_us * pace_)};  // to all the same time
  for (const auto& copy : copies_) copy->replica->expire(at, SIZE_MAX, nullptr);
  if (!differ()) return;
  ++counts_.repairs;
  if (!lossy_) problem("contents differ at equal vectors, although no disk lost anything");
  for (std::size_t round = 0; round < 2 && differ(); ++round) {
    for (std::size_t a = 0; a < copies_.size(); ++a)
      for (std::size_t b = 0; b < copies_.size(); ++b) {
        if (a == b || copies_[a]->copying) continue;
        start_copying(a, b);
        for (std::size_t bucket = 0; bucket < buckets_.size() + 2 && copies_[a]->copying; ++bucket)
          copy_bucket(a);
      }
    exchange();
  }
}

std::string Schedule::visible(const Copy& copy, Expiry at) const {
  std::string text;
  for (const std::string& key : keys_)
    for (const cache::Incarnation& each : copy.replica->table().incarnations(key)) {
      if (!each.live(at)) continue;
      const cache::ValueRegister& value = each.values.front();
      text += fmt::format("{} {}.{}.{} = {} {}.{} until {}\n", key, each.created.origin.boot.value,
                          each.created.origin.number, each.created.sequence, value.bytes,
                          value.stamp.time, value.stamp.boot.value,
                          each.expiry().time_since_epoch().count());
    }
  return text;
}

void Schedule::check_contents() {
  const Expiry at{std::chrono::microseconds(now_us_ + clocks_differ_us * pace_)};
  const cache::Replica& first = *copies_[0]->replica;
  const std::string shown = visible(*copies_[0], at);
  for (std::size_t index = 1; index < copies_.size(); ++index) {
    const std::string other = visible(*copies_[index], at);
    if (other != shown)
      problem(fmt::format("diverged: n0 has\n{}n{} has\n{}", shown, index, other));
  }
  std::map<Dot, Known> known;
  for (const auto& [origin, operations] : history_)
    for (const Made& each : operations) {
      const bool survived = covers(*copies_[0], each.dot);
      for (const Dot& dead : each.kills)
        (survived ? known[dead].killed : known[dead].maybe_killed) = true;
      if (each.kind == 'D') continue;
      Known& of = known[each.created];
      if (!survived) {
        of.maybe_newest = std::max(of.maybe_newest, each.stamp);
        continue;
      }
      if (of.newest < each.stamp) {
        of.newest = each.stamp;
        of.expiry = each.expiry;
      }
      if (each.kind == 'P') of.newest_put = std::max(of.newest_put, each.stamp);
    }
  for (const std::string& key : keys_)
    for (const cache::Incarnation& each : first.table().incarnations(key))
      if (each.live(at) && known[each.created].killed)
        problem(fmt::format("resurrected: {} of {}, which was deleted", each.values.front().bytes,
                            key));
  for (const auto& [origin, operations] : history_)
    for (const Made& each : operations) {
      if (each.kind != 'P' || !covers(*copies_[0], each.dot)) continue;
      const Known& of = known[each.created];
      if (of.killed || of.maybe_killed || each.stamp < of.maybe_newest) continue;
      if (each.stamp < of.newest_put || of.expiry <= at || of.newest < of.maybe_newest) continue;
      bool found = false;
      for (const cache::Incarnation& held : first.table().incarnations(each.key))
        found |= held.created == each.created && held.live(at) &&
                 held.values.front().stamp >= each.stamp;
      if (!found)
        problem(fmt::format("lost: {} of {}, which nobody deleted", each.value, each.key));
    }
}

/// What was kept for those that might have needed it goes when nobody can.
void Schedule::check_memory() {
  for (int round = 0; round < 4; ++round) {
    now_us_ += a_long_time_us;
    exchange();
    exchange();
  }
  for (std::size_t index = 0; index < copies_.size(); ++index) {
    const cache::Replica& replica = *copies_[index]->replica;
    if (replica.deletes().size() != 0)
      problem(fmt::format("n{} keeps {} deletes for ever", index, replica.deletes().size()));
    for (const std::string& key : keys_)
      for (const cache::Incarnation& each : replica.table().incarnations(key))
        if (!each.live(clock(*copies_[index])))
          problem(fmt::format("n{} keeps a husk of {} for ever", index, key));
    for (const auto& [id, sequence] : replica.seen()) {
      const bool lives = std::any_of(copies_.begin(), copies_.end(),
                                     [&](const auto& copy) { return copy->boot == id.boot; });
      if (!lossy_ && !lives)
        problem(fmt::format("n{} keeps the origin of {} for ever", index, name({id, sequence})));
    }
  }
}

}  // namespace muster::lab
