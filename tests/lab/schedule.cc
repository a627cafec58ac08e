// SPDX-License-Identifier: MIT
//
// The steps of a schedule; its end is in schedule_end.cc.
#include "schedule.h"

#include <fmt/format.h>

#include <algorithm>

namespace muster::lab {

using cache::BootId;
using cache::Dot;
using cache::Expiry;
using cache::Stamp;
using cache::Vector;

namespace {

constexpr std::int64_t millisecond = 1000;
constexpr std::int64_t slow_pace = 140;  // clocks then differ by almost 1 s, as they may

}  // namespace

std::shared_ptr<cache::Table> TablePool::take() {
  if (free_.empty()) return std::make_shared<cache::Table>(cache::Table::Options{.ordered = false});
  auto [table, uses] = std::move(free_.back());
  free_.pop_back();
  uses_[table.get()] = uses;
  return table;
}

void TablePool::give_back(std::shared_ptr<cache::Table> table) {
  const std::size_t uses = ++uses_[table.get()];
  uses_.erase(table.get());
  if (uses >= uses_most) return;
  table->clear();
  free_.emplace_back(std::move(table), uses);
}

void Schedule::Copy::applied(const cache::Operation& operation, std::string_view encoded) {
  if (operation.dot.origin.boot == boot) last_issued = encoded;
}

Schedule::Schedule(std::uint64_t seed, TablePool& pool, bool tells)
    : pool_(pool), random_(seed), tells_(tells) {
  now_us_ = 1'700'000'000'000'000 + static_cast<std::int64_t>(seed) * 3'600'000'000;
  if (seed % 2 == 0) pace_ = slow_pace;
  const std::size_t size = 2 + random_.index(3);
  log_bytes_ = 40 + random_.index(500);
  lossy_ = random_.chance(0.5);
  definition_.storage = cache::Storage::disc_copies;
  path_ = {cache::Line{.id = 1, .parent = 0, .namer = {1, BootId{1}}, .view = 1, .stamp = {}}};
  for (std::size_t key = 1 + random_.index(3); key > 0; --key) {
    keys_.push_back(cache::Key("key" + std::to_string(key)).encoded());
    buckets_.push_back(cache::Table::bucket_of(keys_.back()));
  }
  std::sort(buckets_.begin(), buckets_.end());
  buckets_.erase(std::unique(buckets_.begin(), buckets_.end()), buckets_.end());
  island_.resize(size);
  for (std::size_t index = 0; index < size; ++index) {
    auto copy = std::make_unique<Copy>();
    copy->boot = BootId{next_boot_++};
    copy->skew_us =
        (static_cast<std::int64_t>(random_.below(7 * millisecond)) - 3 * millisecond) * pace_;
    copies_.push_back(std::move(copy));
  }
  std::vector<BootId> boots;
  for (const auto& copy : copies_) boots.push_back(copy->boot);
  for (const auto& copy : copies_) {
    copy->boots = boots;
    copy->heard.resize(size);
    copy->replica = make_replica(*copy);
    copy->replica->follow(path_, {boots.begin(), boots.end()});
  }
}

Schedule::~Schedule() {
  for (const auto& copy : copies_) {
    auto table = copy->replica->shared_table();
    copy->replica.reset();
    pool_.give_back(std::move(table));
  }
}

std::unique_ptr<cache::Replica> Schedule::make_replica(Copy& copy) {
  return std::make_unique<cache::Replica>(
      cache::Replica::Options{.boot = copy.boot, .log_bytes = log_bytes_, .stores = true},
      pool_.take(), copy);
}

std::string Schedule::name(const Dot& dot) {
  return fmt::format("{}.{}.{}", dot.origin.boot.value, dot.origin.number, dot.sequence);
}

void Schedule::say(const std::string& line) {
  if (tells_)
    trace_ +=
        fmt::format("{:9.3f} {}\n", static_cast<double>(now_us_ % 3'600'000'000) / 1000, line);
}

void Schedule::problem(std::string text) {
  say("PROBLEM: " + text);
  problems_.push_back(std::move(text));
}

bool Schedule::linked(std::size_t a, std::size_t b) const {
  return a != b && copies_[a]->up && copies_[b]->up && island_[a] == island_[b];
}

Timestamp Schedule::clock(const Copy& copy) const {
  return Timestamp(std::chrono::microseconds(now_us_ + copy.skew_us));
}

const Schedule::Made& Schedule::made(const Dot& dot) const {
  return history_.at(dot.origin).at(dot.sequence - 1);
}

std::string Schedule::random_key() { return random_.pick(keys_); }

std::vector<std::string> Schedule::run() {
  for (std::size_t steps = 20 + random_.index(60); steps > 0; --steps) step();
  quiet();
  return problems_;
}

void Schedule::step() {
  now_us_ += static_cast<std::int64_t>(random_.below(3 * millisecond)) * pace_;
  const std::size_t index = random_.index(copies_.size());
  const std::size_t other = random_.index(copies_.size());
  Copy& copy = *copies_[index];
  if (copy.up) expire(copy);
  const std::uint64_t dice = random_.below(100);
  if (dice < 38) {
    write(index);
  } else if (dice < 58) {
    deliver();
  } else if (dice < 78) {
    if (!linked(index, other)) return;
    contact(index, other);
    pull(index, other, random_.chance(0.5) ? SIZE_MAX : 1 + random_.index(3));
  } else if (dice < 84) {
    if (copy.up) store(copy, random_.chance(0.5));
  } else if (dice < 90) {
    if (copy.copying) copy_bucket(index);
    if (copy.copying && random_.chance(0.1)) stop_copying(index);
  } else if (dice < 94) {
    if (copy.up) forget(index);
  } else if (dice < 96) {
    cut();
  } else if (dice < 98) {
    copy.up ? crash(index) : restart(index);
  } else if (linked(index, other) && copy.ready && copies_[other]->ready && !copy.copying) {
    start_copying(index, other);  // a repair may be asked for at any time
  }
}

void Schedule::cut() {
  for (int& number : island_) number = static_cast<int>(random_.below(2));
  say("cut");
}

void Schedule::expire(Copy& copy) { copy.replica->expire(clock(copy), 1000, nullptr); }

// ---- writes

void Schedule::write(std::size_t index) {
  Copy& copy = *copies_[index];
  if (!copy.up || !copy.ready) return;
  ++counts_.operations;
  const std::string key = random_key();
  const std::uint64_t dice = random_.below(10);
  if (dice < 6) put(index, key);
  if (dice == 6 || dice == 7) touch(index, key);
  if (dice > 7) remove(index, key);
}

void Schedule::put(std::size_t index, const std::string& key) {
  Copy& copy = *copies_[index];
  cache::Operation operation;
  operation.stamp = copy.replica->next_stamp(clock(copy));
  Made made{.kind = 'P', .key = key, .value = "v" + std::to_string(next_value_++)};
  if (random_.chance(0.4))
    made.expiry = Expiry(std::chrono::microseconds(
        static_cast<std::int64_t>(operation.stamp.time) +
        static_cast<std::int64_t>(random_.below(40 * millisecond)) * pace_));
  const Timestamp at{std::chrono::microseconds(static_cast<std::int64_t>(operation.stamp.time))};
  cache::PutItem item{.key = made.key, .value = made.value, .expiry = made.expiry};
  if (const auto visible = copy.replica->table().visible(key, at)) {
    item.created = made.created = visible->created;
    operation.stamp.time = std::max(operation.stamp.time, visible->value_stamp.time + 1);
  }
  operation.puts.push_back(item);
  issued(index, operation, made);
}

void Schedule::touch(std::size_t index, const std::string& key) {
  Copy& copy = *copies_[index];
  cache::Operation operation;
  operation.stamp = copy.replica->next_stamp(clock(copy));
  const Timestamp at{std::chrono::microseconds(static_cast<std::int64_t>(operation.stamp.time))};
  const auto visible = copy.replica->table().visible(key, at);
  if (!visible) return;
  operation.stamp.time = std::max(operation.stamp.time, visible->value_stamp.time + 1);
  Made made{.kind = 'T', .key = key, .value = "", .created = visible->created};
  made.expiry = Expiry(std::chrono::microseconds(
      static_cast<std::int64_t>(operation.stamp.time) +
      static_cast<std::int64_t>(random_.below(80 * millisecond)) * pace_));
  operation.touches.push_back({.key = made.key, .created = made.created, .expiry = made.expiry});
  issued(index, operation, made);
}

void Schedule::remove(std::size_t index, const std::string& key) {
  Copy& copy = *copies_[index];
  cache::Operation operation;
  Made made{.kind = 'D', .key = key, .value = "", .kills = copy.replica->table().created_dots(key)};
  if (made.kills.empty()) return;
  operation.stamp = copy.replica->next_stamp(clock(copy));
  operation.stamp.time = std::max(operation.stamp.time, copy.replica->newest_stamp(key) + 1);
  operation.removes.push_back({.key = made.key, .dots = made.kills});
  issued(index, operation, made);
}

void Schedule::issued(std::size_t index, cache::Operation& operation, Made& made) {
  Copy& copy = *copies_[index];
  made.dot = copy.replica->issue(operation);
  made.stamp = operation.stamp;
  made.encoded = copy.last_issued;
  if (made.kind == 'P' && made.created == Dot{}) made.created = made.dot;
  std::string kills;
  for (const Dot& dot : made.kills) kills += " " + name(dot);
  say(fmt::format("n{} issues {} {} {} {} incarnation {}{} until {}", index, made.kind,
                  name(made.dot), made.key, made.value, name(made.created), kills,
                  made.expiry == cache::never_expires
                      ? "ever"
                      : std::to_string(made.expiry.time_since_epoch().count() % 3'600'000'000)));
  for (std::size_t to = 0; to < copies_.size(); ++to)
    if (linked(index, to)) air_.push_back({made.dot, index, to, copy.boot, copies_[to]->boot});
  history_[made.dot.origin].push_back(std::move(made));
}

void Schedule::deliver() {
  if (air_.empty()) return;
  const std::size_t at = random_.index(air_.size());
  const Packet packet = air_[at];
  if (!random_.chance(0.2)) {  // else it comes once more
    air_[at] = air_.back();
    air_.pop_back();
  }
  Copy& to = *copies_[packet.to];
  // Of a boot that is known to be over nothing is taken from the wire any more.
  if (!to.up || to.boot != packet.to_boot || to.boots[packet.from] != packet.from_boot) return;
  if (!to.ready && !to.replica->copying()) return;
  ++counts_.packets;
  const auto received = to.replica->receive(made(packet.dot).encoded, clock(to));
  say(fmt::format("n{} receives {}: {}", packet.to, name(packet.dot), static_cast<int>(received)));
}

// ---- disks and lives

void Schedule::store(Copy& copy, bool all) {
  if (copy.replica->dirty() && copy.batch == copy.stored)
    copy.disk.submit(copy.replica->make_batch(definition_, ++copy.batch));
  if (!all || copy.disk.waiting() == 0) return;
  copy.stored = copy.disk.commit_one().number;
  copy.replica->stored(copy.stored);
}

void Schedule::crash(std::size_t index) {
  Copy& copy = *copies_[index];
  ++counts_.crashes;
  const bool loses_all = lossy_ && random_.chance(0.25);
  if (lossy_ && random_.chance(0.5)) {
    copy.disk.lose_waiting();  // as by a power cut
  } else {
    if (!lossy_) {  // an orderly end
      copy.disk.commit_all();
      if (copy.replica->dirty())
        copy.disk.submit(copy.replica->make_batch(definition_, ++copy.batch));
    }
    copy.disk.commit_all();
  }
  if (loses_all) copy.disk.wipe();
  counts_.losses += lossy_ ? 1 : 0;
  say(fmt::format("n{} crashes{}", index, loses_all ? ", disk lost" : ""));
  copy.up = copy.ready = false;
  copy.copying.reset();
}

void Schedule::restart(std::size_t index) {
  Copy& copy = *copies_[index];
  auto table = copy.replica->shared_table();
  copy.replica.reset();
  pool_.give_back(std::move(table));
  copy.boot = copy.boots[index] = BootId{next_boot_++};
  copy.batch = copy.stored = 0;
  copy.replica = make_replica(copy);
  for (Report& report : copy.heard) report = {};
  std::optional<cache::TableDefinition> definition;
  const auto loaded = copy.replica->load(copy.disk, definition_.name, definition);
  if (!loaded) return problem("a disk cannot be read: " + loaded.error().text());
  copy.up = true;
  copy.ready = *loaded;
  say(fmt::format("n{} starts as {}{}", index, copy.boot.value, copy.ready ? "" : ", empty"));
}

// ---- between two copies

void Schedule::contact(std::size_t a, std::size_t b) {
  for (std::size_t index = 0; index < copies_.size(); ++index) {
    auto& mine = copies_[a]->boots[index];
    auto& theirs = copies_[b]->boots[index];
    mine = theirs = std::max(mine, theirs);
  }
  for (const std::size_t index : {a, b}) {
    const Report fresh = report(*copies_[index], next_report_++);
    copies_[a]->heard[index] = copies_[b]->heard[index] = fresh;
  }
  for (std::size_t index = 0; index < copies_.size(); ++index) {
    Report& mine = copies_[a]->heard[index];
    Report& theirs = copies_[b]->heard[index];
    (mine.version < theirs.version ? mine : theirs) = mine.version < theirs.version ? theirs : mine;
  }
}

Schedule::Report Schedule::report(const Copy& copy, std::uint64_t version) const {
  Report report;
  report.version = version;
  report.seen = copy.replica->covered();
  report.durable = copy.replica->durable();
  report.pruned = copy.replica->pruned();
  report.compares = copy.copying && !copy.copying->twins;
  report.clock_us = static_cast<std::uint64_t>(clock(copy).time_since_epoch().count());
  report.ready = copy.ready;
  report.boots = copy.boots;
  return report;
}

void Schedule::pull(std::size_t a, std::size_t b, std::size_t most) {
  Copy& mine = *copies_[a];
  const Copy& theirs = *copies_[b];
  if (!theirs.ready || theirs.replica->copying()) return;
  if (mine.copying && mine.copying->sponsor != b) return;
  if (!mine.ready && !mine.copying) return start_copying(a, b);
  const Vector wanted = owed(mine, theirs);
  const bool tells_pruned =
      theirs.replica->knows_what_was_pruned(mine.replica->seen(), mine.replica->pruned());
  if (tells_pruned && mine.replica->seen().covers(wanted))
    return mine.replica->adopt_pruned(theirs.replica->pruned());
  if (!tells_pruned || !theirs.replica->log().reaches(mine.replica->seen(), wanted)) {
    if (!mine.copying) start_copying(a, b);
    return;
  }
  ++counts_.deltas;
  std::vector<std::string> operations;
  theirs.replica->log().visit_missing(mine.replica->seen(), [&](const Dot& dot, auto encoded) {
    if (wanted.covers(dot)) operations.emplace_back(encoded);
    return operations.size() < most;
  });
  say(fmt::format("n{} takes {} operations from n{}", a, operations.size(), b));
  for (const std::string& encoded : operations) mine.replica->receive(encoded, clock(mine));
}

Vector Schedule::owed(const Copy& mine, const Copy& theirs) const {
  Vector wanted;
  for (const auto& [id, sequence] : theirs.replica->seen()) {
    const bool pruned = mine.replica->has_pruned(theirs.replica->origins().at(id));
    if (id.boot != mine.boot && !pruned) wanted.set(id, sequence);
  }
  return wanted;
}

void Schedule::start_copying(std::size_t a, std::size_t b) {
  Copy& mine = *copies_[a];
  const Copy& theirs = *copies_[b];
  if (!theirs.ready || theirs.replica->from_nothing()) return;
  Vector vector = theirs.replica->covered();
  const bool twins = mine.replica->is_twin(vector, theirs.replica->pruned());
  for (const Vector::Entry& entry : Vector(vector))
    if (entry.first.boot == mine.boot) vector.erase(entry.first);
  const bool anew = !mine.ready && !mine.replica->from_nothing();
  if (anew)
    mine.replica->start_copy(path_, theirs.replica->members(), vector, theirs.replica->pruned(),
                             theirs.replica->dropped());
  for (const auto& [id, sequence] : vector) mine.replica->learn(theirs.replica->origins().at(id));
  const cache::Origins& origins = theirs.replica->origins();
  if (!anew)
    twins ? mine.replica->start_repair(vector, origins)
          : mine.replica->start_compare(vector, origins);
  mine.copying = Copying{.sponsor = b,
                         .sponsor_boot = theirs.boot,
                         .twins = twins && !anew,
                         .end = {},
                         .pruned = theirs.replica->pruned()};
  mine.ready ? ++counts_.copies : ++counts_.joins;
  say(fmt::format("n{} {} n{}", a, anew ? "joins" : "compares itself with", b));
}

void Schedule::copy_bucket(std::size_t a) {
  Copy& mine = *copies_[a];
  Copying& copying = *mine.copying;
  const Copy& theirs = *copies_[copying.sponsor];
  if (theirs.boot != copying.sponsor_boot || !linked(a, copying.sponsor) || !theirs.ready ||
      theirs.replica->from_nothing())
    return stop_copying(a);
  if (copying.next_bucket == buckets_.size()) return end_copying(a);
  const std::uint32_t bucket = buckets_[copying.next_bucket++];
  const cache::Replica& source = *theirs.replica;
  Vector sender = source.covered();
  copying.end.raise(sender);
  for (const auto& [id, sequence] : mine.replica->seen()) {  // what it has pruned it had in full
    const cache::Origin& origin = mine.replica->origins().at(id);
    if (!sender.contains(id) && begun_by(copying.pruned, origin)) sender.set(id, sequence);
  }
  const bool same =
      source.table().bucket_digest(bucket) == mine.replica->table().bucket_digest(bucket);
  source.deletes().visit_bucket(bucket, [&](const cache::Deletes::Id& id, const Stamp& stamp) {
    mine.replica->install_delete(id.key, id.created, stamp);
  });
  std::set<std::string, std::less<>> keys;
  if (!same) {
    source.table().scan_bucket(bucket, [&](std::string_view key) {
      keys.emplace(key);
      return true;
    });
    for (const std::string& key : keys) mine.replica->install(key, source.table().row(key), sender);
    mine.replica->finish_bucket(bucket, keys, sender);
  } else {
    mine.replica->mark_installed(bucket);
  }
  say(fmt::format("n{} has bucket {} of n{}{}", a, bucket, copying.sponsor, same ? ", same" : ""));
}

void Schedule::end_copying(std::size_t a) {
  Copy& mine = *copies_[a];
  Vector needed;
  for (const auto& [id, sequence] : mine.copying->end)
    if (id.boot != mine.boot && !mine.replica->has_pruned(origin_of(id))) needed.set(id, sequence);
  if (!mine.replica->seen().covers(needed)) return pull(a, mine.copying->sponsor, SIZE_MAX);
  mine.replica->finish_copy();
  mine.replica->adopt_pruned(mine.copying->pruned);
  mine.copying.reset();
  mine.ready = true;
  say(fmt::format("n{} has copied", a));
}

void Schedule::stop_copying(std::size_t a) {
  Copy& mine = *copies_[a];
  const Vector end = mine.copying->end;
  mine.copying.reset();
  if (mine.replica->copying() && !mine.replica->from_nothing()) mine.replica->abandon_copy(end);
  say(fmt::format("n{} stops copying", a));
}

}  // namespace muster::lab
