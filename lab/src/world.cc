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

constexpr std::size_t violations_kept = 20;
constexpr Duration after_all_is_quiet = 60s;
// A link never queues more for a slow peer than this.
constexpr std::size_t most_queued = std::size_t{32} << 20;

NodeName name_of(NodeIndex index) {
  return NodeName::parse("n" + std::to_string(index) + "@h" + std::to_string(index)).value();
}

/// Does a journal hold a value that was put again since?
bool holds_needless_records(World& world) {
  for (NodeIndex index = 0; index < world.size(); ++index) {
    SimNode& node = world.node(index);
    if (!node.up() || node.healer() == nullptr) continue;
    const Timestamp at = node.machine()->cluster_time(node.now());
    for (const cache::TableDefinition& table : world.options().node.tables)
      for (const unsplit::JournalEntry& entry : node.healer()->journal(table.name)) {
        const auto copy = node.cache()->table(table.name);
        const auto present = copy ? copy->find(entry.key, at) : std::nullopt;
        if (present && entry.stamp < present->stamp && present->value == entry.value) return true;
      }
  }
  return false;
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
        .linked =
            [this, index](const NodeName& peer, bool up) {
              const auto pair = std::pair(index, index_of(peer));
              up ? void(linked_[pair] = now()) : void(linked_.erase(pair));
            },
        .alarm = [this, index](const cache::CacheEvent& event) { alarm(index, event); },
        .forked =
            [this] {
              count("a fork met");
              lines_met_ = now();
              history_.healed();
            },
        // What clients saw there begins anew, also through those that pass their reads on.
        .dropping = [this](const std::string& table) { sessions_.forget(table); },
        .healed =
            [this](const unsplit::Heal&) {
              count("a heal");
              lines_met_ = now();
              history_.healed();
            }};
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
  if (nodes_[at]->disk_broken()) return;  // it says so, as it should
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
  if (was_forgotten(index) && !nodes_[index]->has_left()) count("a forgotten node starts again");
  started_[index] = disturbed_[index] = now();
  std::erase_if(linked_, [&](const auto& each) { return each.first.first == index; });
  sessions_.forget(index);
  history_.returned(index);
  nodes_[index]->start(contacts_of(index));
}

void World::start_all() {
  for (NodeIndex index = 0; index < size(); ++index) start(index);
}

void World::crash(NodeIndex index, Crash kind, bool power) {
  if (!nodes_[index]->up()) return;
  std::set<std::string> stored_first;
  for (const cache::TableDefinition& table : options_.node.tables) {
    const bool on_disk = table.storage != cache::Storage::ram_copies && kind != Crash::lose_disk;
    if (on_disk && table.durability == cache::Durability::sync) stored_first.insert(table.name);
  }
  history_.lost(index, nodes_[index]->crash(kind, power), stored_first);
}

void World::leave(NodeIndex index) {
  if (!nodes_[index]->up() || nodes_[index]->leaving()) return;
  nodes_[index]->turn([this, index](Now) {
    std::set<NodeIndex> company;
    for (const node::Member& member : nodes_[index]->machine()->connected()) {
      const HostId other = host(index_of(member.name));
      // A link may be cut, or the other stand still, and nobody have noticed it yet.
      const bool hears = network_.up(other) && !network_.paused(other);
      if (hears && network_.passes(host(index), other)) company.insert(index_of(member.name));
    }
    std::set<std::string> unwritten;
    for (const cache::TableDefinition& table : options_.node.tables)
      if (table.storage == cache::Storage::ram_copies || nodes_[index]->disk_broken())
        unwritten.insert(table.name);
    history_.left(index, company, unwritten, now());
    forgotten_.insert(index);
  });
  nodes_[index]->leave();
}

void World::restore(NodeIndex index) {
  crash(index);
  if (nodes_[index]->backed_up()) history_.lost(index, nodes_[index]->restore());
}

void World::forget(NodeIndex by, NodeIndex whom) {
  if (!nodes_[by]->up()) return;
  nodes_[by]->turn([this, by, whom](Now at) {
    const auto done = nodes_[by]->machine()->forget(at, nodes_[whom]->name());
    trace_.say(now(), "{}: forgets {}: {}", nodes_[by]->name().text(), nodes_[whom]->name().text(),
               done ? "done" : done.error().text());
    if (!done) return;
    count("a node forgotten");
    forgotten_.insert(whom);
  });
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
  std::vector<std::pair<cache::LineId, cache::Table::Digest>> first;
  for (const auto& node : nodes_) {
    if (!node->up() || node->cache() == nullptr) continue;
    std::vector<std::pair<cache::LineId, cache::Table::Digest>> mine;
    for (const cache::TableStatus& table : node->cache()->status(node->now()))
      if (table.apart.empty())
        mine.emplace_back(table.path.empty() ? 0 : table.path.back().id, table.digest);
    if (first.empty()) first = mine;
    if (mine != first) return false;
  }
  return true;
}

/// In a quiet cluster every node takes writes, every node reads them, and nothing is kept any more
/// for somebody who may come back.
void World::check_service(std::vector<std::string>& problems) {
  std::vector<std::size_t> puts;
  for (const cache::TableDefinition& table : options_.node.tables)
    for (NodeIndex index = 0; index < size(); ++index)
      if (nodes_[index]->up() && nodes_[index]->cache() != nullptr)
        puts.push_back(put(index, table.name, "quiet" + std::to_string(history_.all().size())));
  run_for(2500ms);
  std::size_t up = 0;
  for (const auto& node : nodes_) up += node->up() ? 1 : 0;
  for (const std::size_t id : puts) {
    const Operation& operation = history_.at(id);
    // Who left while cut off counts as a member until it is forgotten.
    const bool needs_more =
        table(operation.table).writes == cache::Acknowledge::majority && 2 * up <= size();
    if (!operation.acknowledged && !(needs_more && operation.applied))
      problems.push_back(fmt::format("n{} takes no writes in a quiet cluster: {}", operation.node,
                                     operation.done() ? operation.error : "no answer"));
    for (NodeIndex index = 0; index < size(); ++index)
      if (nodes_[index]->up() && read(index, operation.table, operation.key) != operation.value)
        problems.push_back(fmt::format("n{} does not read what n{} wrote when all was quiet", index,
                                       operation.node));
  }
  // Who left while cut off is taken for dead: what is deleted is kept for its return.
  const bool all_up =
      std::all_of(nodes_.begin(), nodes_.end(), [](const auto& node) { return node->up(); });
  const auto kept = [this] {
    std::size_t count = 0;
    for (const auto& node : nodes_)
      if (node->up() && node->cache() != nullptr)
        for (const cache::TableStatus& table : node->cache()->status(node->now()))
          if (table.definition.reuse == cache::Reuse::always) count += table.deletes_kept;
    return count;
  };
  if (all_up && !run_until([&] { return kept() == 0; }, after_all_is_quiet, 500ms))
    problems.push_back(fmt::format("{} deletes are kept for ever", kept()));
  // Another node than the one that put a value again hears of it when it next looks its journal
  // through; what stays after that the checker tells.
  run_until([this] { return !holds_needless_records(*this); },
            options_.node.unsplit.prune_every + 1s, 500ms);
}

std::vector<std::string> World::quiet(Duration limit) {
  trace_.say(now(), "quiet: faults end");
  heal_all();
  network_.quality(Quality{});
  for (NodeIndex index = 0; index < size(); ++index) {
    if (network_.paused(host(index))) resume(index);
    network_.drift(host(index), 0);
    nodes_[index]->slow_disk(options_.node.disk_most);
    if (nodes_[index]->disk_broken()) crash(index);  // it was replaced by its mirror
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
  if (problems.empty() && !run_until([this] { return converged(); }, options_.clock_tolerance))
    problems.push_back("not stable:\n" + picture());
  if (problems.empty()) check_service(problems);
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
