// SPDX-License-Identifier: MIT
//
// The simulated cluster; see world.h.
#include "muster/lab/world.h"

#include <algorithm>
#include <boost/assert.hpp>
#include <stdexcept>
#include <utility>

namespace muster::lab {

using namespace std::chrono_literals;

namespace {

// "A put waits at most 2 s for a frozen or dead peer."
constexpr Duration longest_put = 2s + 100ms;
constexpr Duration longest_proxied = 2s + 600ms;
constexpr std::size_t violations_kept = 20;
// A link never queues more for a slow peer than this.
constexpr std::size_t most_queued = std::size_t{32} << 20;

NodeName name_of(NodeIndex index) {
  return NodeName::parse("n" + std::to_string(index) + "@h" + std::to_string(index)).value();
}

}  // namespace

World::World(std::uint64_t seed, WorldOptions options)
    : seed_(seed),
      options_(std::move(options)),
      random_(seed),
      network_(agenda_, trace_, random_.split("network").next()) {
  if (options_.keep_trace) trace_.keep_lines();
  network_.quality(options_.quality);
  for (NodeIndex index = 0; index < options_.nodes; ++index) by_name_[name_of(index)] = index;
  for (NodeIndex index = 0; index < options_.nodes; ++index) {
    const NodeName name = name_of(index);
    const HostId host = network_.add_host(name.text());
    SimNode::Stage stage{
        .agenda = agenda_,
        .network = network_,
        .trace = trace_,
        .host_of = [this](const NodeName& peer) -> std::optional<HostId> {
          const auto found = by_name_.find(peer);
          if (found == by_name_.end()) return std::nullopt;
          return nodes_[found->second]->host();
        },
        .violation = [this](std::string text) { violation(std::move(text)); },
        .alarm = [this, index](const cache::CacheEvent& event) { alarm(index, event); },
        .healed = [this] { history_.healed(); }};
    nodes_.push_back(std::make_unique<SimNode>(std::move(stage), options_.node, host, name,
                                               random_.split(name.text()).next()));
  }
  started_.resize(options_.nodes);
  disturbed_.resize(options_.nodes);
}

World::~World() = default;

NodeIndex World::index_of(const NodeName& name) const { return by_name_.at(name); }

const cache::TableDefinition& World::table(const std::string& name) const {
  const auto& tables = options_.node.tables;
  const auto found = std::find_if(tables.begin(), tables.end(),
                                  [&](const auto& table) { return table.name == name; });
  BOOST_ASSERT(found != tables.end());
  return *found;
}

void World::violation(std::string text) {
  trace_.say(now(), "VIOLATION: {}", text);
  if (violations_.size() < violations_kept) violations_.push_back(std::move(text));
}

/// Copies repair themselves, but must never have to.
void World::alarm(NodeIndex at, const cache::CacheEvent& event) {
  violation(fmt::format("{}: table {}, {}: {}", nodes_[at]->name().text(), event.table,
                        event.peer.text(), event.detail));
  const auto peer = by_name_.find(event.peer);
  if (peer != by_name_.end()) trace_.say(now(), "{}", differences(at, peer->second, event.table));
}

// ---- time

void World::advance(Instant end) {
  // So much in so little time is messages that answer each other for ever.
  const std::uint64_t storm = 100'000 * size();
  Instant mark = now();
  std::uint64_t executed = agenda_.executed();
  while (agenda_.next() <= end) {
    agenda_.step();
    if (now() - mark >= 100ms) {
      mark = now();
      executed = agenda_.executed();
    }
    if (agenda_.executed() - executed > storm) throw std::runtime_error("a storm of events");
  }
  agenda_.run_until(end);
}

void World::run_for(Duration span) { advance(after(now(), span)); }

bool World::run_until(const std::function<bool()>& condition, Duration limit, Duration every) {
  const Instant end = after(now(), limit);
  while (!condition()) {
    if (now() >= end) return false;
    advance(std::min(end, after(now(), every)));
  }
  return true;
}

// ---- faults

PeerSet World::contacts_of(NodeIndex index) const {
  PeerSet peers;
  const auto add = [&](NodeIndex other) {
    if (other != index) peers.insert({.name = nodes_[other]->name(), .address = "", .port = 0});
  };
  switch (options_.contacts) {
    case WorldOptions::Contacts::all:
      for (NodeIndex other = 0; other < size(); ++other) add(other);
      break;
    case WorldOptions::Contacts::first:
      add(0);
      break;
    case WorldOptions::Contacts::ring:
      add((index + 1) % size());
      break;
  }
  return peers;
}

void World::start(NodeIndex index) {
  if (nodes_[index]->up()) return;
  started_[index] = disturbed_[index] = now();
  nodes_[index]->start(contacts_of(index));
}

void World::start_all() {
  for (NodeIndex index = 0; index < size(); ++index) start(index);
}

void World::crash(NodeIndex index, Crash kind, bool power) {
  if (!nodes_[index]->up()) return;
  history_.lost(index, nodes_[index]->crash(kind, power));
}

void World::leave(NodeIndex index) {
  if (nodes_[index]->up()) nodes_[index]->leave();
}

void World::pause(NodeIndex index) { network_.pause(host(index)); }

void World::resume(NodeIndex index) {
  disturbed_[index] = now();
  network_.resume(host(index));
}

void World::cut_into(const std::vector<std::vector<NodeIndex>>& groups) {
  std::vector<int> island(network_.hosts());
  int next = 0;
  for (int& number : island) number = --next;
  for (std::size_t group = 0; group < groups.size(); ++group)
    for (const NodeIndex index : groups[group]) island[host(index)] = static_cast<int>(group);
  network_.islands(island);
}

// ---- clients

Operation& World::record(Operation::Kind kind, NodeIndex node, const std::string& table,
                         std::string_view key) {
  Operation operation;
  operation.kind = kind;
  operation.node = node;
  operation.life = nodes_[node]->life();
  operation.table = table;
  operation.key = cache::Key(key).encoded();
  operation.invoked = now();
  operation.direct = nodes_[node]->cache()->ready(table);
  if (kind == Operation::Kind::put) operation.value = "v" + std::to_string(history_.all().size());
  return history_.add(std::move(operation));
}

void World::answered(std::size_t id, const Result<cache::Written>& result) {
  Operation& operation = history_.at(id);
  if (operation.done()) return violation("operation " + std::to_string(id) + " answered twice");
  operation.completed = now();
  if (!result) {
    operation.error = result.error().text();
    trace_.say(now(), "client: {} fails: {}", id, operation.error);
    return;
  }
  operation.applied = result->applied;
  operation.acknowledged = result->acknowledged;
  for (const NodeName& holder : result->holders)
    if (operation.applied) operation.holders.emplace(index_of(holder), now());
  trace_.say(now(), "client: {} {}{}, {} holders", id,
             operation.applied ? "applied" : "not applied",
             operation.acknowledged ? " and acknowledged" : "", operation.holders.size());
  const Duration limit = operation.direct ? longest_put : longest_proxied;
  if (now() - std::max(operation.invoked, disturbed_[operation.node]) > limit)
    violation("operation " + std::to_string(id) + " took longer than 2 s");
  if (operation.acknowledged) check_holders(operation);
}

cache::Path World::path_of(NodeIndex index, const std::string& table) const {
  if (!nodes_[index]->up()) return {};
  for (const cache::TableStatus& status : nodes_[index]->cache()->status(nodes_[index]->now()))
    if (status.definition.name == table) return status.path;
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
    if (path_of(holder, operation.table) != path_of(operation.node, operation.table)) continue;
    violation("put " + std::to_string(operation.id) + " was acknowledged, but " +
              nodes_[holder]->name().text() + ", said to hold it, reads " +
              found.value_or("nothing"));
  }
}

std::size_t World::put(NodeIndex node, const std::string& table, std::string_view key,
                       std::optional<Duration> ttl) {
  Operation& operation = record(Operation::Kind::put, node, table, key);
  operation.ttl = ttl;
  const std::size_t id = operation.id;
  trace_.say(now(), "client: {} put {} = {} at {}", id, key, operation.value,
             nodes_[node]->name().text());
  cache::Write write;
  write.puts.push_back({.key = cache::Key(key), .value = operation.value, .ttl = ttl});
  nodes_[node]->turn([this, node, id, table, write = std::move(write)](Now at) {
    nodes_[node]->cache()->write(
        at, table, write, {}, [this, id](Now, Result<cache::Written> end) { answered(id, end); });
  });
  return id;
}

std::size_t World::remove(NodeIndex node, const std::string& table, std::string_view key) {
  const std::size_t id = record(Operation::Kind::remove, node, table, key).id;
  trace_.say(now(), "client: {} delete {} at {}", id, key, nodes_[node]->name().text());
  cache::Write write;
  write.deletes.emplace_back(key);
  nodes_[node]->turn([this, node, id, table, write = std::move(write)](Now at) {
    nodes_[node]->cache()->write(
        at, table, write, {}, [this, id](Now, Result<cache::Written> end) { answered(id, end); });
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
  for (const std::string& key : puts) {
    const Operation& operation = record(Operation::Kind::put, node, table, key);
    ids.push_back(operation.id);
    write.puts.push_back({.key = cache::Key(key), .value = operation.value, .ttl = {}});
  }
  for (const std::string& key : deletes) {
    ids.push_back(record(Operation::Kind::remove, node, table, key).id);
    write.deletes.emplace_back(key);
  }
  trace_.say(now(), "client: {} batch of {} puts, {} deletes at {}", ids.front(), puts.size(),
             deletes.size(), nodes_[node]->name().text());
  nodes_[node]->turn([this, node, ids, table, write = std::move(write)](Now at) {
    nodes_[node]->cache()->write(at, table, write, {},
                                 [this, ids](Now, Result<cache::Written> end) {
                                   for (const std::size_t id : ids) answered(id, end);
                                 });
  });
  return ids;
}

std::optional<std::string> World::read(NodeIndex node, const std::string& table,
                                       std::string_view key) const {
  const SimNode& at = *nodes_[node];
  if (!at.up() || at.cache() == nullptr || !at.cache()->ready(table)) return std::nullopt;
  const auto copy = at.cache()->table(table);
  if (!copy) return std::nullopt;
  return copy->get(key, at.machine()->cluster_time(at.now()));
}

// ---- what is

bool World::meshed() const {
  const SimNode* first = nullptr;
  std::vector<node::Member> island;
  std::size_t up = 0;
  for (const auto& node : nodes_) up += node->up() ? 1 : 0;
  for (const auto& node : nodes_) {
    if (!node->up()) continue;
    if (node->machine()->connected().size() + 1 != up) return false;
    if (first == nullptr) {
      first = node.get();
      island = node->machine()->island();
    }
    if (node->machine()->island() != island) return false;
  }
  return true;
}

bool World::ready() const {
  return std::all_of(nodes_.begin(), nodes_.end(), [](const auto& node) {
    return !node->up() || node->cache() == nullptr || node->cache()->ready();
  });
}

bool World::converged() const {
  if (!meshed() || !ready()) return false;
  std::vector<std::pair<cache::Path, cache::Table::Digest>> first;
  for (const auto& node : nodes_) {
    if (!node->up() || node->cache() == nullptr) continue;
    std::vector<std::pair<cache::Path, cache::Table::Digest>> mine;
    for (const cache::TableStatus& table : node->cache()->status(node->now()))
      if (table.apart.empty()) mine.emplace_back(table.path, table.digest);
    if (first.empty()) first = mine;
    if (mine != first) return false;
  }
  return true;
}

std::vector<std::string> World::quiet(Duration limit) {
  trace_.say(now(), "quiet: faults end");
  heal_all();
  network_.quality(Quality{});
  for (NodeIndex index = 0; index < size(); ++index) {
    if (network_.paused(host(index))) resume(index);
    if (!nodes_[index]->up() && !nodes_[index]->has_left()) start(index);
  }
  const auto answered_all = [this] {
    return std::all_of(history_.all().begin(), history_.all().end(), [this](const auto& each) {
      return each.done() || each.life != nodes_[each.node]->life();
    });
  };
  std::vector<std::string> problems;
  if (!run_until([&] { return converged() && answered_all(); }, limit, 100ms))
    problems.push_back("not quiet in time:\n" + picture());
  run_for(5s);
  // Two clocks may differ for a moment about what has expired.
  if (problems.empty() && !run_until([this] { return converged(); }, 1s))
    problems.push_back("not stable:\n" + picture());
  for (std::string& problem : Checker(*this).all()) problems.push_back(std::move(problem));
  for (const auto& node : nodes_)
    if (node->most_queued() > most_queued)
      problems.push_back(node->name().text() + " queued " + std::to_string(node->most_queued()));
  problems.insert(problems.end(), violations_.begin(), violations_.end());
  if (!problems.empty()) return problems;
  std::set<NodeIndex> all;
  for (NodeIndex index = 0; index < size(); ++index)
    if (nodes_[index]->up()) all.insert(index);
  history_.settled(all, now());
  return problems;
}

}  // namespace muster::lab
