// SPDX-License-Identifier: MIT
//
// Clients' operations on the local copy, and whom each of them waits for.
#include <fmt/format.h>

#include <algorithm>

#include "replicator.h"

namespace muster::cache {
namespace {

constexpr std::size_t pending_max = 10'000;
constexpr Duration longest_wait = std::chrono::seconds(2);

Error refused(std::string detail) {
  return {make_error_code(boost::system::errc::resource_unavailable_try_again), std::move(detail)};
}

}  // namespace

Result<void> Replicator::may_write() const {
  if (disk_failed_) {
    return refused(fmt::format("table {}: the disk failed, nothing is acknowledged any more",
                               definition_.name));
  }
  if (definition_.majority || definition_.on_split == OnSplit::majority) {
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

void Replicator::write(Now now, Write write, const WriteOptions& options,
                       CacheMachine::WriteDone done) {
  if (readiness_ != Readiness::ready) return proxy_write(now, write, options, std::move(done));
  if (auto allowed = may_write(); !allowed) return done(now, allowed.error());
  // However long it waits for a line, for replicas or for being put again: all of it counts.
  const Instant deadline = after(now.mono, std::min(options.deadline, longest_wait));
  if (write.puts.empty() || line_is_whole()) {
    return perform(now, write, options, deadline, std::move(done));
  }
  if (pending_.size() >= pending_max) {
    return done(now, refused("too many writes wait for a line"));
  }
  pending_.push_back({std::move(write), options, deadline, std::move(done)});
  seek_line(now);
}

Expiry Replicator::expiry_of(const Put& put, const Stamp& stamp,
                             const std::optional<Table::Visible>& visible) const {
  if (put.keep_expiry && visible) return visible->expiry;
  if (put.expires_at && !definition_.max_ttl) return *put.expires_at;
  std::optional<Duration> ttl = put.ttl ? put.ttl : definition_.ttl;
  if (definition_.max_ttl) ttl = std::min(ttl.value_or(*definition_.max_ttl), *definition_.max_ttl);
  if (!ttl || *ttl == forever) return never_expires;
  const std::chrono::microseconds start{static_cast<std::int64_t>(stamp.time)};
  const auto length = std::chrono::duration_cast<std::chrono::microseconds>(*ttl);
  if (length > Timestamp::max().time_since_epoch() - start) return never_expires;
  const Expiry longest(start + length);
  return put.expires_at ? std::min(*put.expires_at, longest) : longest;
}

void Replicator::perform(Now now, Write& write, const WriteOptions& options, Instant deadline,
                         CacheMachine::WriteDone done) {
  same_write_ = false;
  Waiter waiter;
  waiter.acknowledge = options.acknowledge.value_or(definition_.writes);
  waiter.since = now.mono;
  waiter.deadline = deadline;
  waiter.done = std::move(done);
  Operation puts, removes;
  puts.stamp = replica_.next_stamp(cluster(now));
  const auto at = [](const Stamp& stamp) {
    return Timestamp(std::chrono::microseconds(static_cast<std::int64_t>(stamp.time)));
  };
  std::vector<std::optional<Table::Visible>> visible(write.puts.size());
  for (std::size_t i = 0; i < write.puts.size(); ++i) {
    visible[i] = replica_.table().visible(write.puts[i].key.encoded(), at(puts.stamp));
    if (visible[i]) puts.stamp.time = std::max(puts.stamp.time, visible[i]->value_stamp.time + 1);
    const bool wrong = write.condition != Write::If::always &&
                       visible[i].has_value() != (write.condition == Write::If::present);
    if (wrong) return waiter.done(now, waiter.written);
  }
  for (std::size_t i = 0; i < write.puts.size(); ++i) {
    const Put& put = write.puts[i];
    PutItem item{.key = put.key.encoded(), .value = put.value};
    if (visible[i]) item.created = visible[i]->created;
    item.expiry = expiry_of(put, puts.stamp, visible[i]);
    puts.puts.push_back(item);
  }
  // Of a key that stands twice in one batch the later put counts.
  std::set<std::string_view> later;
  if (puts.puts.size() > 1) {
    for (std::size_t i = puts.puts.size(); i-- > 0;) {
      if (!later.insert(puts.puts[i].key).second) {
        puts.puts.erase(puts.puts.begin() + static_cast<std::ptrdiff_t>(i));
      }
    }
  }
  waiter.written.applied = true;
  for (const Key& key : write.deletes) {
    RemoveItem item{.key = key.encoded(), .dots = replica_.table().created_dots(key.encoded())};
    if (item.dots.empty()) continue;
    if (replica_.table().visible(key.encoded(), at(puts.stamp))) ++waiter.written.deleted;
    removes.removes.push_back(std::move(item));
  }
  if (!puts.puts.empty()) waiter.put = replica_.issue(puts);
  if (!removes.removes.empty()) {
    removes.stamp = replica_.next_stamp(cluster(now));
    waiter.free = replica_.issue(removes);
  }
  counters_.puts += puts.puts.size();
  counters_.deletes += waiter.written.deleted;
  wait_for(now, std::move(waiter));
}

void Replicator::touch(Now now, const Key& key, std::optional<Duration> ttl,
                       const WriteOptions& options, CacheMachine::WriteDone done) {
  if (readiness_ != Readiness::ready) return proxy_touch(now, key, ttl, std::move(done));
  if (auto allowed = may_write(); !allowed) return done(now, allowed.error());
  same_write_ = false;
  Waiter waiter;
  waiter.acknowledge = options.acknowledge.value_or(definition_.writes);
  waiter.since = now.mono;
  waiter.deadline = after(now.mono, std::min(options.deadline, longest_wait));
  waiter.done = std::move(done);
  Operation operation;
  operation.stamp = replica_.next_stamp(cluster(now));
  const auto visible = replica_.table().visible(
      key.encoded(),
      Timestamp(std::chrono::microseconds(static_cast<std::int64_t>(operation.stamp.time))));
  if (!visible || replica_.path().empty()) return waiter.done(now, waiter.written);
  operation.stamp.time = std::max(operation.stamp.time, visible->value_stamp.time + 1);
  Put put;
  put.ttl = ttl;
  TouchItem item{.key = key.encoded(), .created = visible->created};
  item.expiry = expiry_of(put, operation.stamp, visible);
  operation.touches.push_back(item);
  waiter.written.applied = true;
  waiter.free = replica_.issue(operation);
  wait_for(now, std::move(waiter));
}

void Replicator::take(Now now, const Key& key, const WriteOptions& options,
                      CacheMachine::TakeDone done) {
  if (readiness_ != Readiness::ready) return proxy_take(now, key, std::move(done));
  auto value = replica_.table().get(key.encoded(), cluster(now));
  if (!value) return done(now, std::nullopt);
  Write remove;
  remove.deletes.push_back(key);
  write(now, std::move(remove), options,
        [done = std::move(done), value = std::move(value)](Now at, Result<Written> written) {
          if (!written) return done(at, written.error());
          done(at, value);
        });
}

bool Replicator::covers(const Vector& vector, const Waiter& waiter) const {
  return (!waiter.put || vector.covers(*waiter.put)) &&
         (!waiter.free || vector.covers(*waiter.free));
}

bool Replicator::complete(const Waiter& waiter, const std::set<BootId>& required) const {
  const bool durably = definition_.durability == Durability::sync;
  if (waiter.acknowledge == Acknowledge::local) return true;
  if (durably && !covers(replica_.durable(), waiter)) return false;
  if (waiter.acknowledge == Acknowledge::async) return true;
  const auto has = [&](const RemoteCopy& copy) {
    return covers(durably ? copy.durable : copy.seen, waiter);
  };
  if (waiter.acknowledge == Acknowledge::sync) {
    return std::all_of(required.begin(), required.end(),
                       [&](BootId boot) { return has(copies_.at(boot)); });
  }
  std::size_t holders = 1;
  for (const auto& [boot, copy] : copies_) holders += copy.counted() && has(copy) ? 1 : 0;
  return 2 * holders > holders_and_admitted().second;
}

void Replicator::wait_for(Now now, Waiter waiter) {
  if (!waiter.put && !waiter.free) return finish(now, std::move(waiter), true);
  if (disk_failed_) return finish(now, std::move(waiter), false);
  if (complete(waiter, sync_set())) return finish(now, std::move(waiter), true);
  earliest_deadline_ = std::min(earliest_deadline_, waiter.deadline);
  waiters_.push_back(std::move(waiter));
}

void Replicator::finish(Now now, Waiter waiter, bool acknowledged) {
  Written& written = waiter.written;
  written.acknowledged = acknowledged && !disk_failed_;
  written.everywhere = true;
  written.holders.push_back(surroundings_.fabric.self().name);
  for (const auto& [name, status] : surroundings_.fabric.membership().nodes) {
    if (!status.admitted() || !should_hold(name) || name == surroundings_.fabric.self().name)
      continue;
    if (definition_.local_content) continue;
    const auto copy = copies_.find(status.newest.boot);
    const bool has = copy != copies_.end() && copy->second.counted() && !copy->second.apart &&
                     covers(copy->second.seen, waiter);
    if (has) written.holders.push_back(name);
    written.everywhere = written.everywhere && has;
  }
  const auto done = std::move(waiter.done);
  done(now, std::move(written));
}

void Replicator::complete_waiters(Now now) {
  acks_moved_ = false;
  if (waiters_.empty()) return;
  const std::set<BootId> required = sync_set();
  std::vector<Waiter> complete_ones;
  for (auto waiter = waiters_.begin(); waiter != waiters_.end();) {
    if (!disk_failed_ && complete(*waiter, required)) {
      complete_ones.push_back(std::move(*waiter));
      waiter = waiters_.erase(waiter);
    } else {
      ++waiter;
    }
  }
  for (Waiter& waiter : complete_ones) finish(now, std::move(waiter), true);
}

void Replicator::expire_waiters(Now now) {
  if (now.mono >= earliest_deadline_) {
    earliest_deadline_ = never;
    std::vector<Waiter> late;
    for (auto waiter = waiters_.begin(); waiter != waiters_.end();) {
      if (now.mono >= waiter->deadline) {
        late.push_back(std::move(*waiter));
        waiter = waiters_.erase(waiter);
      } else {
        earliest_deadline_ = std::min(earliest_deadline_, waiter->deadline);
        ++waiter;
      }
    }
    for (Waiter& waiter : late) finish(now, std::move(waiter), false);
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
