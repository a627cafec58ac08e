// SPDX-License-Identifier: MIT
//
// The clients of a world: what they ask, what they are told, and what is wrong at once with that;
// see world.h.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "muster/lab/world.h"

namespace muster::lab {

using namespace std::chrono_literals;

namespace {

// "A put waits at most 2 s for a frozen or dead peer."
constexpr Duration longest_put = 2s + 100ms;
constexpr std::size_t batches_kept = 64;

}  // namespace

Operation& World::record(Operation::Kind kind, NodeIndex node, const std::string& table,
                         std::string_view key) {
  Operation operation;
  operation.kind = kind;
  operation.node = node;
  operation.life = nodes_[node]->life();
  operation.table = table;
  operation.key = cache::Key(key).encoded();
  operation.invoked = now();
  if (kind == Operation::Kind::put) operation.value = "v" + std::to_string(history_.all().size());
  return history_.add(std::move(operation));
}

void World::answered(std::size_t id, const Result<cache::Written>& result) {
  Operation& operation = history_.at(id);
  if (operation.done()) return violation("operation " + std::to_string(id) + " answered twice");
  operation.completed = now();
  if (!result) {
    operation.error = result.error().text();
    operation.unknown = result.error().code == std::errc::timed_out;
    limit_wait(operation);
    trace_.say(now(), "client: {} fails: {}", id, operation.error);
    return;
  }
  operation.applied = result->applied;
  operation.acknowledged = result->acknowledged;
  const bool itself = operation.direct && operation.life == nodes_[operation.node]->life();
  if (itself) operation.line = line_of(operation.node, operation.table);
  if (operation.applied) held(operation, result->holders);
  trace_.say(now(), "client: {} {}{}, {} holders", id,
             operation.applied ? "applied" : "not applied",
             operation.acknowledged ? " and acknowledged" : "", operation.holders.size());
  limit_wait(operation);
  if (operation.acknowledged) {
    check_holders(operation);
    check_readers(operation);
  }
  const bool session = operation.kind == Operation::Kind::put && operation.applied && itself &&
                       !operation.again && !operation.ttl;
  if (session)
    static_cast<void>(sessions_.saw(operation.node, operation.table, operation.key, operation.value,
                                    operation.invoked, now()));
}

void World::limit_wait(const Operation& operation) {
  if (now() - std::max(operation.invoked, disturbed_[operation.node]) > longest_put)
    violation("operation " + std::to_string(operation.id) + " took longer than 2 s");
}

/// Of those whose process ended meanwhile nobody can say whether it was on their disk.
void World::held(Operation& operation, const std::vector<NodeName>& named) {
  std::set<NodeIndex> holders;
  for (const NodeName& name : named) {
    const NodeIndex index = index_of(name);
    const SimNode& node = *nodes_[index];
    const bool same_life = node.up() && started_[index] <= operation.invoked;
    if (same_life || node.has_left()) holders.insert(index);
  }
  operation.maybe_lost = holders.empty() && !named.empty();
  if (!holders.empty()) history_.held(operation.id, holders, now());
}

cache::LineId World::line_of(NodeIndex index, const std::string& table) const {
  if (!nodes_[index]->up()) return {};
  for (const cache::TableStatus& status : nodes_[index]->cache()->status(nodes_[index]->now()))
    if (status.definition.name == table && !status.path.empty()) return status.path.back().id;
  return {};
}

void World::check_holders(const Operation& operation) {
  // Only where nothing else can have happened to the key.
  if (operation.kind != Operation::Kind::put || operation.ttl) return;
  if (history_.of(operation.table, operation.key).size() != 1) return;
  for (const auto& [holder, since] : operation.holders) {
    if (!nodes_[holder]->up() || started_[holder] > operation.invoked) continue;
    // A copy that is complete and about to be ready holds, too.
    const auto copy = nodes_[holder]->cache()->table(operation.table);
    const auto found =
        copy->get(operation.key, nodes_[holder]->machine()->cluster_time(nodes_[holder]->now()));
    if (found == operation.value) continue;
    // One that came over to another line since it answered has set the value aside.
    if (line_of(holder, operation.table) != line_of(operation.node, operation.table)) continue;
    violation("put " + std::to_string(operation.id) + " was acknowledged, but " +
              nodes_[holder]->name().text() + ", said to hold it, reads " +
              found.value_or("nothing"));
  }
}

/// "After put returns under sync, every ready node of the island reads it": of those that were in
/// touch with its node all the while, for who was cut off may not know it yet; and where no two
/// lines met meanwhile, for until they are healed each has its own.
void World::check_readers(const Operation& put) {
  if (put.again || put.kind != Operation::Kind::put || !put.direct || !lives(put)) return;
  if (table(put.table).writes != cache::Acknowledge::sync) return;
  if (history_.of(put.table, put.key).size() != 1) return;
  for (NodeIndex index = 0; index < size(); ++index) {
    SimNode& node = *nodes_[index];
    if (index == put.node || !in_touch(put.node, index, put.invoked)) continue;
    // Who was struck may write until it has heard of it; that goes to its journal.
    if (was_forgotten(put.node) || was_forgotten(index)) continue;
    const auto found = read(index, put.table, put.key);
    if (!node.cache()->ready(put.table)) continue;  // Which it knows when it is asked.
    ++counted_["a put looked for at another node"];
    if (found == put.value || line_of(index, put.table) != line_of(put.node, put.table)) continue;
    violation(fmt::format("put {} was acknowledged, but {} is ready and reads {}", put.id,
                          node.name().text(), found.value_or("nothing")));
  }
}

bool World::in_touch(NodeIndex a, NodeIndex b, Instant since) const {
  // A lag may be known to one side before the other has been told, and a heal likewise.
  const auto well_before = [since](Instant when) {
    return when != never && after(when, Network::retransmit_late + 200ms) <= since;
  };
  if (lines_met_ != Instant{} && !well_before(lines_met_)) return false;
  for (const auto& [from, to] : {std::pair(a, b), std::pair(b, a)}) {
    const SimNode& node = *nodes_[from];
    const auto linked = linked_.find({from, to});
    if (!node.up() || node.leaving() || network_.paused(host(from))) return false;
    if (linked == linked_.end() || linked->second > since) return false;
    if (!well_before(network_.passes_since(host(from), host(to)))) return false;
    if (disturbed_[from] != started_[from] && !well_before(disturbed_[from])) return false;
  }
  return true;
}

bool World::lives(const Operation& put) const {
  return !put.ttl || after(now(), options_.clock_tolerance) < put.invoked + *put.ttl;
}

void World::submit(NodeIndex node, std::vector<std::size_t> ids, cache::Write write) {
  const std::string table = history_.at(ids.front()).table;
  nodes_[node]->turn([this, node, ids = std::move(ids), table, write = std::move(write)](Now at) {
    cache::CacheMachine& cache = *nodes_[node]->cache();
    for (const std::size_t id : ids) history_.at(id).direct = cache.ready(table);
    cache.write(at, table, write, {}, [this, ids](Now, Result<cache::Written> end) {
      for (const std::size_t id : ids) answered(id, end);
    });
    for (const std::size_t id : ids)
      if (history_.at(id).direct) history_.at(id).asked_on = line_of(node, table);
  });
}

std::size_t World::put(NodeIndex node, const std::string& table, std::string_view key,
                       std::optional<Duration> ttl, cache::Write::If condition) {
  Operation& operation = record(Operation::Kind::put, node, table, key);
  operation.ttl = ttl;
  operation.if_present = condition == cache::Write::If::present;
  const std::size_t id = operation.id;
  trace_.say(now(), "client: {} put {} = {} at {}", id, key, operation.value,
             nodes_[node]->name().text());
  cache::Write write;
  write.condition = condition;
  write.puts.push_back({.key = cache::Key(key), .value = operation.value, .ttl = ttl});
  if (ttl) sessions_.forget(table, operation.key);
  submit(node, {id}, std::move(write));
  return id;
}

std::size_t World::remove(NodeIndex node, const std::string& table, std::string_view key) {
  const std::size_t id = record(Operation::Kind::remove, node, table, key).id;
  trace_.say(now(), "client: {} delete {} at {}", id, key, nodes_[node]->name().text());
  cache::Write write;
  write.deletes.emplace_back(key);
  submit(node, {id}, std::move(write));
  return id;
}

std::size_t World::take(NodeIndex node, const std::string& table, std::string_view key) {
  const std::size_t id = record(Operation::Kind::remove, node, table, key).id;
  trace_.say(now(), "client: {} take {} at {}", id, key, nodes_[node]->name().text());
  nodes_[node]->turn([this, node, id, table, key = cache::Key(key)](Now at) {
    cache::CacheMachine& cache = *nodes_[node]->cache();
    const bool direct = history_.at(id).direct = cache.ready(table);
    cache.take(at, table, key, {}, [this, node, id, direct](Now, Result<cache::Taken> end) {
      if (!end) return answered(id, end.error());
      answered(id, end->written);
      if (!end->value) return;
      const std::string& value = *end->value;
      const Operation* put = history_.put_of(value);
      if (put == nullptr || put->key != history_.at(id).key)
        violation("take " + std::to_string(id) + " gave " + value + ", which nobody wrote");
      if (direct && !taken_.emplace(node, value).second)
        violation("n" + std::to_string(node) + " gave " + value + " to two that took it");
    });
  });
  return id;
}

std::size_t World::touch(NodeIndex node, const std::string& table, std::string_view key,
                         Duration ttl) {
  Operation& operation = record(Operation::Kind::touch, node, table, key);
  operation.ttl = ttl;
  const std::size_t id = operation.id;
  trace_.say(now(), "client: {} touch {} at {}", id, key, nodes_[node]->name().text());
  nodes_[node]->turn([this, node, id, table, ttl, key = cache::Key(key)](Now at) {
    history_.at(id).direct = nodes_[node]->cache()->ready(table);
    nodes_[node]->cache()->touch(
        at, table, key, ttl, {},
        [this, id](Now, Result<cache::Written> end) { answered(id, end); });
  });
  return id;
}

std::vector<std::size_t> World::write(NodeIndex node, const std::string& table,
                                      const std::vector<std::string>& puts,
                                      const std::vector<std::string>& deletes) {
  std::vector<std::size_t> ids;
  cache::Write write;
  Batch batch{.table = table, .puts = {}};
  for (const std::string& key : puts) {
    const Operation& operation = record(Operation::Kind::put, node, table, key);
    ids.push_back(operation.id);
    write.puts.push_back({.key = cache::Key(key), .value = operation.value, .ttl = {}});
    batch.puts.push_back(operation.key);
  }
  for (const std::string& key : deletes) {
    ids.push_back(record(Operation::Kind::remove, node, table, key).id);
    write.deletes.emplace_back(key);
  }
  trace_.say(now(), "client: {} batch of {} puts, {} deletes at {}", ids.front(), puts.size(),
             deletes.size(), nodes_[node]->name().text());
  batches_.push_back(std::move(batch));
  if (batches_.size() > batches_kept) batches_.pop_front();
  submit(node, ids, std::move(write));
  return ids;
}

/// "A batch is applied at once on each node": of keys that one batch alone ever wrote, a reader
/// sees all or none.
void World::look_at_batches(NodeIndex node) {
  for (const Batch& batch : batches_) {
    std::size_t found = 0;
    bool alone = true;
    for (const std::string& key : batch.puts) {
      alone = alone && history_.of(batch.table, key).size() == 1;
      found += read(node, batch.table, key) ? 1 : 0;
    }
    if (alone && found != 0 && found != batch.puts.size())
      violation(fmt::format("n{} shows {} of {} keys of the batch that wrote {}", node, found,
                            batch.puts.size(), batch.puts.front()));
  }
}

void World::get(NodeIndex node, const std::string& table, std::string_view key) {
  const std::string encoded = cache::Key(key).encoded();
  nodes_[node]->turn(
      [this, node, table, encoded, life = nodes_[node]->life(), key = cache::Key(key)](Now at) {
        const Instant invoked = now();
        nodes_[node]->cache()->get(at, table, key,
                                   [this, node, table, encoded, life, invoked](
                                       Now, Result<std::optional<cache::Table::Found>> end) {
                                     if (end && life == nodes_[node]->life())
                                       judge_read(node, table, encoded, *end, invoked);
                                   });
      });
}

void World::judge_read(NodeIndex node, const std::string& table, const std::string& key,
                       const std::optional<cache::Table::Found>& found, Instant invoked) {
  const auto operations = history_.of(table, key);
  std::optional<std::string> value;
  if (found) value = found->value;
  if (value) {
    const Operation* put = history_.put_of(*value);
    if (put == nullptr || put->key != key)
      return violation(fmt::format("n{} reads {} for {}, which nobody wrote", node, *value, key));
    if (const auto until = latest_expiry(*put, operations);
        until && now() > after(*until, options_.clock_tolerance))
      violation(fmt::format("n{} reads {} for {}, which has expired", node, *value, key));
  }
  const bool plain = std::all_of(operations.begin(), operations.end(), [](const Operation* each) {
    return each->kind == Operation::Kind::put && !each->ttl;
  });
  const bool brief = operations.size() == 1 && lives(*operations.front());
  if (!plain && !brief) return;
  ++counted_[found ? "a read" : "a miss"];
  if (const auto wrong = sessions_.saw(node, table, key, value, invoked, now())) violation(*wrong);
}

/// None: it may live for ever.
std::optional<Instant> World::latest_expiry(const Operation& put,
                                            const std::vector<const Operation*>& same_key) {
  if (!put.ttl) return std::nullopt;
  const auto end_of = [](const Operation& each) {
    return after(each.done() ? each.completed : after(each.invoked, longest_put), *each.ttl);
  };
  if (put.unknown) return std::nullopt;
  Instant latest = end_of(put);
  for (const Operation* each : same_key) {
    if (each->kind != Operation::Kind::touch) continue;
    if (each->unknown) return std::nullopt;
    latest = std::max(latest, end_of(*each));
  }
  return latest;
}

std::optional<std::string> World::read(NodeIndex node, const std::string& table,
                                       std::string_view key) const {
  SimNode& at = *nodes_[node];
  if (!at.up() || at.cache() == nullptr) return std::nullopt;
  if (!network_.paused(at.host())) at.cache()->look(at.now());
  if (!at.cache()->ready(table)) return std::nullopt;
  const auto copy = at.cache()->table(table);
  if (!copy) return std::nullopt;
  return copy->get(key, at.machine()->cluster_time(at.now()));
}

}  // namespace muster::lab
