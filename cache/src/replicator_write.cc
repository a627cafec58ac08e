// SPDX-License-Identifier: MIT
//
// Clients' operations on the local copy, and whom each of them waits for.
#include <fmt/format.h>

#include <algorithm>
#include <boost/container/small_vector.hpp>

#include "planted.h"
#include "replicator.h"

namespace muster::cache {

using planted::Bug;

namespace {

constexpr std::size_t pending_max = 10'000;
constexpr Duration longest_wait = std::chrono::seconds(2);

Error refused(std::string detail) {
  return {make_error_code(boost::system::errc::resource_unavailable_try_again), std::move(detail)};
}

}  // namespace

Result<void> Replicator::may_write() const {
  if (disk_ != DiskState::good) {
    return refused(
        fmt::format("table {} takes no writes on this node: {}", definition_.name, disk_why_));
  }
  if (waiters_.size() >= surroundings_.options.waiting_max) {
    return refused(fmt::format("table {}: too many writes wait for others or for the disk ({})",
                               definition_.name, waiters_.size()));
  }
  if (needs_majority_) {
    const auto [holders, admitted] = holders_and_admitted();
    if (2 * holders <= admitted) {
      return refused(fmt::format("table {}: {} of {} members are reachable, no majority",
                                 definition_.name, holders, admitted));
    }
  }
  return {};
}

/// Members that should hold a copy: in the island, and admitted.
std::pair<std::size_t, std::size_t> Replicator::holders_and_admitted() const {
  std::size_t here = 0, admitted = 0;
  const NodeName& own = surroundings_.fabric.self().name;
  bool counted_self = false;
  for (const auto& [name, status] : surroundings_.fabric.membership().nodes) {
    if (!status.admitted() || !should_hold(name)) continue;
    ++admitted;
    counted_self = counted_self || name == own;
    if (name == own || in_view(status.newest.boot)) ++here;
  }
  if (!counted_self && hosted_) ++here, ++admitted;
  return {here, admitted};
}

/// A delete of a key that is not there must still reach the journals that hold a value of it.
bool Replicator::journals_are_empty() const {
  return replica_.journal().empty() &&
         std::none_of(copies_.begin(), copies_.end(),
                      [](const auto& each) { return each.second.journal; });
}

void Replicator::write(Now now, Write&& write, const WriteOptions& options,
                       CacheMachine::WriteDone done) {
  if (readiness_ != Readiness::ready) return proxy_write(now, write, options, std::move(done));
  if (auto allowed = may_write(); !allowed) return done(now, allowed.error());
  // However long it waits for a line, for replicas or for being put again: all of it counts.
  const Instant deadline = after(now.mono, std::min(options.deadline, longest_wait));
  // A delete belongs to no line, but to the root of one.
  const bool needs_line = !write.puts.empty() || (replica_.path().empty() && !journals_are_empty());
  if (!needs_line || line_is_whole()) {
    return perform(now, write, options, deadline, std::move(done));
  }
  if (pending_.size() >= pending_max) {
    return done(now, refused("too many writes wait for a line"));
  }
  pending_.push_back({std::move(write), options, deadline, std::move(done)});
  seek_line(now);
}

/// When a write happens for all that expires: at its stamp, unless what it overwrites was made by a
/// clock far ahead, which says nothing of the time.
Timestamp Replicator::moment(Now now, const Stamp& stamp) const {
  const Timestamp at(std::chrono::microseconds(static_cast<std::int64_t>(stamp.time)));
  return std::min(at, cluster(now) + drift_most);
}

Expiry Replicator::expiry_of(const Put& put, Timestamp when,
                             const std::optional<Table::Visible>& visible) const {
  if (put.keep_expiry && visible) return visible->expiry;
  if (put.expires_at && !definition_.max_ttl) return *put.expires_at;
  std::optional<Duration> ttl = put.ttl ? put.ttl : definition_.ttl;
  if (definition_.max_ttl) ttl = std::min(ttl.value_or(*definition_.max_ttl), *definition_.max_ttl);
  if (!ttl || *ttl == forever) return never_expires;
  const auto start = when.time_since_epoch();
  const auto length = std::chrono::duration_cast<std::chrono::microseconds>(*ttl);
  if (length > Timestamp::max().time_since_epoch() - start) return never_expires;
  const Expiry longest(start + length);
  return put.expires_at ? std::min(*put.expires_at, longest) : longest;
}

/// The least time of a stamp for a write that goes on from what is visible: after its value and,
/// where expiries may differ, after what touched it, by whatever clock that was.
std::uint64_t Replicator::continued(const Put& put, const Table::Visible& visible) const {
  const bool expires = put.ttl || put.expires_at || definition_.ttl || definition_.max_ttl ||
                       visible.expiry != never_expires;
  const std::uint64_t above = expires ? replica_.newest_stamp(put.key.encoded()) : 0;
  return std::max(above, visible.value_stamp.time) + 1;
}

/// `reuse: never`, for a key that is not there.
Result<void> Replicator::may_put(const Key& key, const Stamp& stamp) const {
  if (definition_.reuse == Reuse::always) return {};
  const Stamp deleted = replica_.deletes().newest(key.encoded());
  if (deleted == Stamp{}) return {};
  const Duration since =
      std::chrono::microseconds(stamp.time) - std::chrono::microseconds(deleted.time);
  const Duration barred = deletes_bar_puts_for() - since;
  if (barred <= Duration()) return {};
  return Error{
      std::make_error_code(std::errc::operation_not_permitted),
      fmt::format("table {}: this key was deleted, and the table has reuse: never: no put "
                  "within {} s",
                  definition_.name, std::chrono::ceil<std::chrono::seconds>(barred).count())};
}

void Replicator::perform(Now now, Write& write, const WriteOptions& options, Instant deadline,
                         CacheMachine::WriteDone done) {
  same_write_ = false;
  Waiter waiter;
  waiter.acknowledge = options.acknowledge.value_or(definition_.writes);
  waiter.since = now.mono;
  waiter.deadline = deadline;
  waiter.done = std::move(done);
  Operation puts;
  puts.stamp = replica_.next_stamp(cluster(now));
  boost::container::small_vector<std::optional<Table::Visible>, 4> visible(write.puts.size());
  for (std::size_t i = 0; i < write.puts.size(); ++i) {
    visible[i] = replica_.table().visible(write.puts[i].key.encoded(), moment(now, puts.stamp));
    const bool above = visible[i] && !planted::has(Bug::wall_clock_stamps);
    if (above) puts.stamp.time = std::max(puts.stamp.time, continued(write.puts[i], *visible[i]));
    const bool wrong = write.condition != Write::If::always &&
                       visible[i].has_value() != (write.condition == Write::If::present);
    if (wrong) return waiter.done(now, waiter.written);
    if (visible[i]) continue;
    if (auto allowed = may_put(write.puts[i].key, puts.stamp); !allowed)
      return waiter.done(now, allowed.error());
  }
  const Timestamp when = moment(now, puts.stamp);
  for (std::size_t i = 0; i < write.puts.size(); ++i) {
    const Put& put = write.puts[i];
    PutItem item{.key = put.key.encoded(), .value = put.value};
    if (visible[i]) item.created = visible[i]->created;
    item.expiry = expiry_of(put, when, visible[i]);
    puts.puts.push_back(item);
  }
  // Of a key that stands twice in one batch the later put counts.
  if (puts.puts.size() > 1) {
    std::set<std::string_view> later;
    for (std::size_t i = puts.puts.size(); i-- > 0;) {
      if (!later.insert(puts.puts[i].key).second) {
        puts.puts.erase(puts.puts.begin() + static_cast<std::ptrdiff_t>(i));
      }
    }
  }
  waiter.written.applied = true;
  std::vector<RemoveItem> removes;
  for (const Key& key : write.deletes) {
    RemoveItem item{.key = key.encoded(), .dots = replica_.table().created_dots(key.encoded())};
    if (item.dots.empty()) wait_for_delete_of(key, waiter);
    if (item.dots.empty() && journals_are_empty()) continue;
    if (replica_.table().visible(key.encoded(), when)) ++waiter.written.deleted;
    removes.push_back(std::move(item));
  }
  if (!puts.puts.empty()) {
    waiter.put = replica_.issue(puts);
    waiter.stamp = puts.stamp;
  }
  if (!removes.empty()) {
    Operation operation;
    operation.stamp = replica_.next_stamp(cluster(now));
    for (const RemoveItem& item : removes) {
      operation.stamp.time = std::max(operation.stamp.time, replica_.newest_stamp(item.key) + 1);
    }
    operation.removes = std::move(removes);
    waiter.free = replica_.issue(operation);
  }
  counters_.puts += puts.puts.size();
  counters_.deletes += waiter.written.deleted;
  wait_for(now, waiter);
}

void Replicator::touch(Now now, const Key& key, std::optional<Duration> ttl,
                       const WriteOptions& options, CacheMachine::WriteDone done) {
  if (readiness_ != Readiness::ready) return proxy_touch(now, key, ttl, options, std::move(done));
  if (auto allowed = may_write(); !allowed) return done(now, allowed.error());
  same_write_ = false;
  Waiter waiter;
  waiter.acknowledge = options.acknowledge.value_or(definition_.writes);
  waiter.since = now.mono;
  waiter.deadline = after(now.mono, std::min(options.deadline, longest_wait));
  waiter.done = std::move(done);
  Operation operation;
  operation.stamp = replica_.next_stamp(cluster(now));
  const auto visible = replica_.table().visible(key.encoded(), moment(now, operation.stamp));
  if (!visible || replica_.path().empty()) return waiter.done(now, waiter.written);
  const Put put{.key = key, .value = {}, .ttl = ttl};
  operation.stamp.time = std::max(operation.stamp.time, continued(put, *visible));
  TouchItem item{.key = key.encoded(), .created = visible->created};
  item.expiry = expiry_of(put, moment(now, operation.stamp), visible);
  operation.touches.push_back(item);
  waiter.written.applied = true;
  waiter.free = replica_.issue(operation);
  wait_for(now, waiter);
}

void Replicator::take(Now now, const Key& key, const WriteOptions& options,
                      CacheMachine::TakeDone done) {
  if (readiness_ != Readiness::ready) return proxy_take(now, key, options, std::move(done));
  auto value = replica_.table().get(key.encoded(), cluster(now));
  if (!value) return done(now, Taken{});
  Write remove;
  remove.deletes.push_back(key);
  write(now, std::move(remove), options,
        [done = std::move(done), value = std::move(value)](Now at, Result<Written> written) {
          if (!written) return done(at, written.error());
          done(at, Taken{value, *written});
        });
}

bool Replicator::covers(const Vector& vector, const Pruned& pruned, const Waiter& waiter) const {
  // What is pruned here everybody had.
  const auto has = [&](const std::optional<Dot>& own) {
    return !own || vector.covers(*own) || !replica_.seen().contains(own->origin);
  };
  return has(waiter.put) && has(waiter.free) &&
         !owes(vector, pruned, waiter.earlier, waiter.earlier);
}

/// A delete of what was deleted before is answered for that one: a client that tries again learns
/// whether every member has it.
void Replicator::wait_for_delete_of(const Key& key, Waiter& waiter) const {
  const Stamp deleted = replica_.deletes().newest(key.encoded());
  if (deleted == Stamp{}) return;
  for (const auto& [id, sequence] : replica_.seen()) {
    if (id.boot == deleted.boot && replica_.origins().at(id).line == 0)
      waiter.earlier.set(id, sequence);
  }
}

bool Replicator::complete(const Waiter& waiter) const {
  if (disk_ != DiskState::good) return false;
  if (planted::has(Bug::acknowledged_unapplied)) return true;
  if (waiter.acknowledge == Acknowledge::local) return true;
  const bool durably = acknowledges_from_disk(surroundings_.now);
  if (durably && !covers(replica_.durable(), replica_.pruned(), waiter)) return false;
  if (waiter.acknowledge == Acknowledge::async) return true;
  if (left_) return false;  // the island that it is left with is none to count on
  if (waiter.acknowledge == Acknowledge::sync) {
    return std::all_of(copies_.begin(), copies_.end(), [&](const auto& each) {
      const auto& [boot, copy] = each;
      return has(copy, waiter) || (!must_have(boot, copy) && !is_being_told(boot, copy));
    });
  }
  std::size_t holders = 1;
  for (const auto& [boot, copy] : copies_) {
    const bool holds = copy.counted() && copy.pace != DiskPace::stuck && !copy.disk_behind;
    holders += holds && has(copy, waiter) ? 1 : 0;
  }
  return 2 * holders > holders_and_admitted().second;
}

/// Has it, so that it is read there, and on its disk where that is asked for.  A disk that is stuck
/// or far behind is not waited for, what is read is.
bool Replicator::has(const RemoteCopy& copy, const Waiter& waiter) const {
  if (!covers(copy.seen, copy.pruned, waiter)) return false;
  const bool asked = definition_.durability == Durability::sync || copy.pace == DiskPace::late;
  if (!asked || !copy.stores || copy.pace == DiskPace::stuck || copy.disk_behind) return true;
  return covers(copy.durable, copy.pruned, waiter);
}

void Replicator::wait_for(Now now, Waiter& waiter) {
  const bool changes = waiter.put || waiter.free || !waiter.earlier.empty();
  if (!changes || complete(waiter)) return finish(now, {&waiter, 1}, true);
  earliest_deadline_ = std::min(earliest_deadline_, waiter.deadline);
  waiters_.push_back(std::move(waiter));
}

/// Who else should hold a copy, at this moment.
std::vector<Replicator::OtherHolder> Replicator::other_holders() const {
  std::vector<OtherHolder> others;
  const NodeName& own = surroundings_.fabric.self().name;
  for (const auto& [name, status] : surroundings_.fabric.membership().nodes) {
    if (!status.admitted() || name == own || !should_hold(name)) continue;
    const auto copy = copies_.find(status.newest.boot);
    const bool counts = copy != copies_.end() && copy->second.counted() && !copy->second.apart;
    others.push_back({&name, counts ? &copy->second : nullptr});
  }
  return others;
}

void Replicator::name_holders(Waiter& waiter, const std::vector<OtherHolder>& others) const {
  Written& written = waiter.written;
  written.everywhere = true;
  written.holders.reserve(1 + others.size());
  written.holders.push_back(surroundings_.fabric.self().name);
  for (const auto& [name, copy] : others) {
    const bool has = copy != nullptr && covers(copy->seen, copy->pruned, waiter);
    if (has) written.holders.push_back(*name);
    written.everywhere = written.everywhere && has;
  }
}

/// Answers them; nothing of an answer depends on what is done upon another.
void Replicator::finish(Now now, std::span<Waiter> waiters, bool acknowledged) {
  const std::vector<OtherHolder> others = other_holders();
  for (Waiter& waiter : waiters) {
    waiter.written.acknowledged = acknowledged;
    name_holders(waiter, others);
  }
  for (Waiter& waiter : waiters) {
    const auto done = std::move(waiter.done);
    done(now, std::move(waiter.written));
  }
}

/// Whoever leaves says of what still waits for others who has it, as it would at the deadline.
void Replicator::give_up_waiting(Now now) {
  for (Waiter& waiter : waiters_) waiter.deadline = now.mono;
  for (PendingWrite& pending : pending_) pending.deadline = now.mono;
  earliest_deadline_ = now.mono;
  expire_waiters(now);
}

/// Those for which `ends` holds; the others stay in their order.
template <class Ends>
std::vector<Replicator::Waiter> Replicator::take_waiters(const Ends& ends) {
  std::vector<Waiter> taken;
  auto kept = waiters_.begin();
  for (auto waiter = kept; waiter != waiters_.end(); ++waiter) {
    if (ends(*waiter)) {
      if (taken.empty()) taken.reserve(static_cast<std::size_t>(waiters_.end() - waiter));
      taken.push_back(std::move(*waiter));
    } else {
      if (kept != waiter) *kept = std::move(*waiter);
      ++kept;
    }
  }
  waiters_.erase(kept, waiters_.end());
  return taken;
}

void Replicator::complete_waiters(Now now) {
  acks_moved_ = false;
  if (waiters_.empty()) return;
  auto acknowledged = take_waiters([this](const Waiter& waiter) { return complete(waiter); });
  if (!acknowledged.empty()) finish(now, acknowledged, true);
}

void Replicator::expire_waiters(Now now) {
  if (now.mono >= earliest_deadline_) {
    auto late = take_waiters([&](const Waiter& waiter) { return now.mono >= waiter.deadline; });
    earliest_deadline_ = never;
    for (const Waiter& waiter : waiters_) {
      earliest_deadline_ = std::min(earliest_deadline_, waiter.deadline);
    }
    if (!late.empty()) finish(now, late, false);
  }
  // Those that are put again after a heal keep the deadlines they had: the front is not the first.
  std::vector<PendingWrite> late;
  for (auto pending = pending_.begin(); pending != pending_.end();) {
    if (now.mono >= pending->deadline) {
      late.push_back(std::move(*pending));
      pending = pending_.erase(pending);
    } else {
      ++pending;
    }
  }
  for (PendingWrite& pending : late) {
    pending.done(now, refused(fmt::format("table {}: the members could not agree in time on a line "
                                          "to write on",
                                          definition_.name)));
  }
}

}  // namespace muster::cache
