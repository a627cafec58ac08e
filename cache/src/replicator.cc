// SPDX-License-Identifier: MIT
//
// The life of a copy, the dispatch of messages and the disk.  The rest of the class is in
// replicator_*.cc, by subject.
#include "replicator.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>

#include "planted.h"
#include "wire_codec.h"

namespace muster::cache {
namespace {

constexpr Duration tick = std::chrono::milliseconds(500);
constexpr Duration echo_wait = std::chrono::seconds(2);
/// Of a vector that is told beside other things; a joiner gets it with the answer to its join.
constexpr std::size_t told_origins_max = 4096;
/// Whether a queue has drained; where the fabric's owner says so itself, that comes before.
constexpr Duration look_for_room = std::chrono::milliseconds(20);

class RowsOnDisk final : public ValueSource {
 public:
  RowsOnDisk(const StoreImage& image, std::string table)
      : image_(image), table_(std::move(table)) {}
  [[nodiscard]] Result<std::string> row(std::string_view key) const override {
    auto row = image_.read(table_, Replica::row_key(key));
    if (!row) return row.error();
    return row->has_value() ? std::move(**row) : std::string();
  }

 private:
  const StoreImage& image_;
  const std::string table_;
};

}  // namespace

bool Replicator::stores(const Surroundings& surroundings, const TableDefinition& definition) {
  return surroundings.image != nullptr && definition.storage != Storage::ram_copies;
}

Replicator::Replicator(Surroundings& surroundings, TableDefinition definition)
    : surroundings_(surroundings),
      definition_(std::move(definition)),
      replica_({.boot = surroundings.fabric.self().boot,
                .log_bytes = surroundings.options.log_bytes,
                .copy_batch_bytes = surroundings.options.copy_batch_bytes,
                .merges = definition_.on_split == OnSplit::merge,
                .keep_deletes = deletes_bar_puts_for()},
               std::make_shared<Table>(
                   Table::Options{.ordered = true,
                                  .keep_before = definition_.on_split != OnSplit::merge &&
                                                 !planted::has(planted::Bug::no_before)}),
               *this) {
  hosted_ = should_hold(surroundings_.fabric.self().name);
  keep_values_where_asked();
}

/// In memory, or on disk alone.
void Replicator::keep_values_where_asked() {
  const bool stored = stores(surroundings_, definition_);
  const bool on_disk_alone = stored && definition_.storage == Storage::disc_only_copies;
  if (on_disk_alone) {
    replica_.table().set_source(
        std::make_shared<RowsOnDisk>(*surroundings_.image, definition_.name));
  }
  replica_.set_stores(stored, on_disk_alone);
}

bool Replicator::should_hold(const NodeName& name) const {
  if (definition_.local_content && name != surroundings_.fabric.self().name) return false;
  const auto& copies = definition_.copies;
  return copies.empty() || std::find(copies.begin(), copies.end(), name) != copies.end();
}

Result<void> Replicator::load(const StoreImage& image) {
  std::optional<TableDefinition> stored_definition;
  auto loaded = replica_.load(image, definition_.name, stored_definition);
  if (!loaded) return loaded.error();
  loaded_ = *loaded;
  loaded_vector_ = replica_.seen();
  needs_majority_ = loaded_ && stored_definition && stored_definition->majority;
  return {};
}

void Replicator::start(Now now) {
  started_ = true;
  next_tick_ = now.mono + tick;
  next_store_ = now.mono + surroundings_.options.store_every;
  const bool nobody_to_wait_for =
      loaded_ && !replica_.shared() && !surroundings_.options.others_may_come;
  start_deadline_ =
      nobody_to_wait_for ? now.mono : after(now.mono, surroundings_.options.start_alone_after);
  for (const node::Member& member : surroundings_.fabric.island()) view_.insert(member.boot);
  weigh_majority();
  if (!loaded_) replica_.set_admission(own_admissions());
  if (!hosted_) {
    detail_ = "no copy on this node";
  } else if (definition_.local_content) {
    set_readiness(now, Readiness::ready, "local content");
  } else if (loaded_) {
    readiness_ = Readiness::catching_up;
    detail_ = "looking for members that know more";
  } else {
    detail_ = "looking for a member that runs it";
  }
  for (const node::Member& peer : surroundings_.fabric.connected()) connected(now, peer);
  progress(now);
}

RemoteCopy* Replicator::copy_of(BootId boot) {
  const auto found = copies_.find(boot);
  return found == copies_.end() ? nullptr : &found->second;
}

const RemoteCopy* Replicator::copy_of(BootId boot) const {
  const auto found = copies_.find(boot);
  return found == copies_.end() ? nullptr : &found->second;
}

wire::Message& Replicator::control(RemoteCopy& copy) {
  if (!copy.has_control) {
    copy.control.Clear();
    copy.control_bytes = 0;
    copy.control.set_table(definition_.name);
    copy.has_control = true;
  }
  return copy.control;
}

void Replicator::connected(Now now, const node::Member& peer) {
  if (!started_ || definition_.local_content) return;
  view_.insert(peer.boot);
  RemoteCopy& copy = copies_[peer.boot];
  copy.member = peer;
  copy.linked = true;
  copy.met = copy.subscribed = copy.apart = copy.outdated = false;
  copy.streaming = true;
  copy.judged_ours = copy.judged_theirs = 0;
  copy.passed_on.clear();
  copy.has_control = false;
  copy.wanted = {};
  copy.pieces = {};
  if (hosted_) {
    note_dropped();
    fill_report(now, *control(copy).mutable_report());
    ++report_version_;
  }
  copy.lagging = false;  // it is told so once more; but it may have been ready alone meanwhile
  copy.lag_target.clear();
  if (wants_sponsor()) look_for_sponsor(now);
}

void Replicator::disconnected(Now now, const node::Member& peer) {
  RemoteCopy* copy = copy_of(peer.boot);
  if (copy == nullptr) return;
  copy->linked = copy->met = copy->subscribed = false;
  check_healings(now);
  copy->has_control = false;
  copy->wanted = {};
  copy->lacking_since.reset();
  if (fetching_ && fetching_->from == peer.boot) fetching_.reset();
  if (copying_ && copying_->sponsor == peer.boot) stop_copying(now);
  for (auto& [id, asked] : asked_) {
    if (asked.of == peer.boot) asked.deadline = Instant::min();
  }
}

void Replicator::island_changed(Now now) {
  if (!started_ || definition_.local_content) return;
  view_.clear();
  for (const node::Member& member : surroundings_.fabric.island()) view_.insert(member.boot);
  view_.insert(self());
  const auto& known = surroundings_.fabric.membership().nodes;
  for (auto copy = copies_.begin(); copy != copies_.end();) {
    const auto status = known.find(copy->second.member.name);
    const bool over = !copy->second.linked && !in_view(copy->first) &&
                      (status == known.end() || !status->second.admitted() ||
                       status->second.newest.boot != copy->first);
    if (over && !(fetching_ && fetching_->from == copy->first)) {
      copy = copies_.erase(copy);
    } else {
      ++copy;
    }
  }
  if (readiness_ == Readiness::ready && view_.size() > 1) detail_.clear();  // "alone" no more
  note_dropped();
  weigh_majority();
  left_ = own_admissions() != 0 && own_admissions() % 2 == 0;
  if (left_) give_up_waiting(now);
  relay_targets_.clear();
  line_asked_ = false;
  acks_moved_ = report_stale_ = true;
  expire_asked(now);
  retry_pending(now);
  progress(now);
}

RemoteCopy* Replicator::heard_from(const node::Member& peer) {
  RemoteCopy* copy = copy_of(peer.boot);
  if (copy == nullptr || !copy->linked || definition_.local_content) return nullptr;
  return superseded(peer) ? nullptr : copy;
}

void Replicator::received(Now now, const node::Member& from, const wire::Message& message) {
  RemoteCopy* copy = heard_from(from);
  if (copy == nullptr) return;
  if (message.has_piece()) {
    if (const auto whole = collect(*copy, message.piece())) received(now, from, *whole);
    return;
  }
  if (message.has_report()) receive_report(now, from, message.report());
  for (const wire::Report& report : message.relayed()) receive_report(now, from, report);
  if (message.has_join()) answer_join(now, *copy, message.join());
  if (message.has_join_answer()) admitted(now, *copy, message.join_answer());
  if (message.operations_size() != 0 && !copy->outdated) {
    const std::vector<std::string_view> operations(message.operations().begin(),
                                                   message.operations().end());
    receive_operations(now, from, operations, !message.has_delta());
  }
  receive_acks(now, from, message);
  if (message.has_fetch()) copy->wanted.fetch = message.fetch();
  if (message.has_delta()) receive_delta(now, *copy, message);
  if (message.has_copy_request()) receive_copy_request(*copy, message.copy_request());
  if (message.has_copy_answer()) receive_buckets(now, *copy, message.copy_answer());
  if (message.has_lagging()) fell_behind(now, *copy, from_wire(message.lagging().upto()));
  if (message.has_ask()) receive_ask(now, from, message.ask());
  if (message.has_answer()) receive_answer(now, from, message.answer());
  progress(now);
}

void Replicator::report(Now now, CacheEvent::Kind kind, const NodeName& peer,
                        std::string detail) const {
  surroundings_.effects.report(
      now, CacheEvent{kind, definition_.name, {}, peer, std::move(detail), {}, {}});
}

void Replicator::set_readiness(Now now, Readiness readiness, std::string_view why) {
  detail_ = why;
  if (readiness_ == readiness) return;
  const bool was_ready = readiness_ == Readiness::ready;
  readiness_ = readiness;
  almost_ = false;
  announce();
  if (readiness == Readiness::ready) {
    report(now, CacheEvent::Kind::ready, {}, detail_);
    retry_pending(now);
    tell_differences(now);
  } else if (was_ready) {
    report(now, CacheEvent::Kind::not_ready, {}, detail_);
  }
}

/// Looks at what this copy waits for, after anything that may have brought it.
void Replicator::progress(Now now) {
  if (!hosted_ || definition_.local_content) return;
  if (copying_ || replica_.copying()) check_copied(now);
  consider_fetch(now);
  check_healings(now);
  if (readiness_ == Readiness::starting && now.mono >= start_deadline_) start_alone(now);
  if (readiness_ == Readiness::catching_up && !almost_ && !fetching_ && !copying_) {
    bool source = false, behind = behind_what_was_asked();
    for (const auto& [boot, copy] : copies_) {
      if (!copy.met || !copy.takes_part() || copy.apart) continue;
      if (relate(replica_.path(), copy.path) != Relation::equal) continue;
      source = true;
      behind = behind || lacks(copy);
    }
    const bool waited =
        now.mono >= start_deadline_ && (alone_deadline_ == never || now.mono >= alone_deadline_);
    if (source && !behind) begin_almost(now);
    if (!source && waited) begin_almost(now);
  }
  if (!almost_) return;
  for (const auto& [boot, copy] : copies_) {
    if (!in_view(boot) || copy.version == 0 || copy.outdated) continue;
    if (copy.apart || copy.lagging) continue;
    const bool goes_first = copy.counted() || copy.takes_part();
    const bool on_our_line = relate(replica_.path(), copy.path) == Relation::equal;
    if (goes_first && copy.met && on_our_line && lacks(copy)) return;
    if (now.mono - almost_since_ > echo_wait) continue;
    // Those that join or start, too, may be ready before our next word reaches them.
    if (copy.waits_since < almost_report_) return;
  }
  const bool alone = view_.size() <= 1;
  if (!alone) replica_.set_admission(own_admissions());  // the others took it as it came back
  const bool loaded_alone = loaded_ && readiness_ == Readiness::catching_up && alone;
  if (std::exchange(joined_, false)) report(now, CacheEvent::Kind::joined, {}, detail_);
  set_readiness(now, Readiness::ready,
                loaded_alone ? "alone, with what its disk had"
                : alone      ? "alone"
                             : "");
}

void Replicator::begin_almost(Now now) {
  if (almost_) return;
  almost_ = true;
  almost_since_ = now.mono;
  almost_report_ = report_version_ + 1;
  announce();
}

void Replicator::wake(Now now) {
  if (!started_) return;
  std::uint64_t expired = 0;
  replica_.expire(cluster(now), 1000, [&](std::string_view key) {
    ++expired;
    surroundings_.effects.report(
        now,
        CacheEvent{CacheEvent::Kind::expired, definition_.name, std::string(key), {}, {}, {}, {}});
  });
  counters_.expired += expired;
  const bool ticked = now.mono >= next_tick_;
  if (ticked) next_tick_ = now.mono + tick;
  expire_asked(now);
  expire_waiters(now);
  if (now.mono >= line_retry_) retry_pending(now);
  if (now.mono >= join_retry_) {
    join_retry_ = never;
    if (wants_sponsor()) look_for_sponsor(now);
  }
  if (fetching_ && now.mono >= fetching_->deadline) {
    if (RemoteCopy* copy = copy_of(fetching_->from)) copy->no_fetch_before = now.mono + tick;
    fetching_.reset();
  }
  if (now.mono >= telling_until_) {
    telling_until_ = never;
    acks_moved_ = true;
  }
  if (ticked || now.mono >= lag_due()) check_lag(now);
  if (ticked) {
    relay_due_ = std::exchange(relays_withheld_, false) || relay_due_;
    if (copying_ && now.mono - copying_->progress > 4 * tick) stop_copying(now);
    if (!kept_.empty() && readiness_ == Readiness::ready) drop_needless_records(false);
    if (report_stale_ || now.mono - last_report_ >= 10 * tick) announce();
  }
  if (ticked || now.mono >= forget_again_) forget_settled(now);
  progress(now);
}

/// When somebody may lag who does not yet; after that it is looked at with each tick.
Instant Replicator::lag_due() const {
  return waiters_.empty() ? never : after(waiters_.front().since, surroundings_.options.lag_max);
}

Instant Replicator::next_wake() const {
  if (!started_) return never;
  const Now now = surroundings_.now;
  Instant next = next_tick_;
  const bool may_store = disk_ != DiskState::failed && batch_number_ == stored_number_;
  if (replica_.dirty() && may_store) next = std::min(next, next_store_);
  next = std::min({next, line_retry_, join_retry_, forget_again_});
  if (waits_for_room_) next = std::min(next, now.mono + look_for_room);
  if (hosted_ && readiness_ == Readiness::starting && start_deadline_ > now.mono) {
    next = std::min(next, start_deadline_);
  }
  if (readiness_ == Readiness::catching_up) {
    next = std::min(next, std::max(start_deadline_,
                                   alone_deadline_ == never ? start_deadline_ : alone_deadline_));
    if (next <= now.mono) next = next_tick_;
  }
  const Instant echoed = almost_since_ + echo_wait + std::chrono::milliseconds(1);
  if (almost_ && echoed > now.mono) next = std::min(next, echoed);
  const bool may_fetch = !fetching_ && (takes_part() || replica_.copying());
  if (gap_since_ && may_fetch) next = std::min(next, *gap_since_ + std::chrono::milliseconds(50));
  if (fetching_) next = std::min(next, fetching_->deadline);
  for (const auto& [id, asked] : asked_) next = std::min(next, asked.deadline);
  if (!waiters_.empty()) next = std::min(next, earliest_deadline_);
  if (lag_due() > now.mono) next = std::min(next, lag_due());
  next = std::min(next, telling_until_);
  for (const PendingWrite& pending : pending_) next = std::min(next, pending.deadline);
  const Timestamp expiry = replica_.table().next_expiry();
  if (expiry != never_expires) {
    const auto wait = expiry - cluster(now);
    next = std::min(next, wait.count() <= 0 ? now.mono : after(now.mono, wait));
  }
  return next;
}

void Replicator::flush(Now now) {
  if (!started_) return;
  serve_waiting(now);
  store_if_due(now);
  if (!definition_.local_content) {
    if (std::exchange(told_pace_, pace(now)) != pace(now)) announce();
    send_acks();
    send_reports(now);
    for (auto& [boot, copy] : copies_) send_control(copy);
    send_stream(now);
  }
  relay_targets_.clear();
  if (acks_moved_) complete_waiters(now);
}

TableStatus Replicator::status(Now now) const {
  TableStatus status = counters_;
  status.definition = definition_;
  status.readiness = readiness_;
  status.detail = detail_;
  if (copying_) {
    status.detail = fmt::format("copying, {} %", 100 * copying_->done_buckets / Table::buckets);
  }
  status.differs = all_differences();
  if (hosted_) status.replicas.push_back(surroundings_.fabric.self().name);
  for (const auto& [boot, copy] : copies_) {
    if (in_view(boot) && copy.version != 0) status.replicas.push_back(copy.member.name);
    if (copy.apart && in_view(boot)) status.apart.push_back(copy.member.name);
  }
  status.disk = disk_;
  status.disk_late = disk_late(now);
  status.rows_to_store = replica_.stores() ? replica_.rows_to_store() : 0;
  if (disk_ != DiskState::good) {
    status.detail =
        fmt::format("{}: {}", disk_ == DiskState::full ? "disk full" : "disk failed", disk_why_);
  }
  status.entries = replica_.table().count();
  status.bytes = replica_.table().bytes();
  if (const auto allowed = may_write(); hosted_ && !allowed) {
    status.refuses_writes = allowed.error().detail;
  }
  status.deletes_kept = replica_.deletes().size();
  status.journal = replica_.journal().size();
  status.path = replica_.path();
  status.digest = replica_.table().digest();
  return status;
}

wire::TableInfo Replicator::table_info() const {
  wire::TableInfo info;
  to_wire(definition_, *info.mutable_definition());
  info.set_readiness(static_cast<std::uint32_t>(readiness_));
  info.add_replicas(surroundings_.fabric.self().name.text());
  for (const auto& [boot, copy] : copies_) {
    if (in_view(boot) && copy.takes_part()) info.add_replicas(copy.member.name.text());
  }
  info.set_entries(replica_.table().count());
  info.set_bytes(replica_.table().bytes());
  to_wire(replica_.path(), *info.mutable_path());
  if (replica_.covered().size() <= told_origins_max)
    to_wire(replica_.covered(), replica_.origins(), *info.mutable_vector());
  return info;
}

void Replicator::change_journal(Now now, std::string key, std::optional<std::string> value) {
  replica_.journal(std::move(key), std::move(value));
  store_if_due(now);
}

void Replicator::check_invariants() const {
  replica_.check_invariants();
  for (const auto& [boot, copy] : copies_) assert(boot == copy.member.boot);
  assert(!almost_ || readiness_ == Readiness::catching_up);
  assert(readiness_ != Readiness::ready || !replica_.from_nothing());
  for (const Waiter& waiter : waiters_) assert(waiter.done);
}

}  // namespace muster::cache
