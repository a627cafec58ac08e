// SPDX-License-Identifier: MIT
//
// The faults of random worlds; see random_world.h.
#include "random_world.h"

#include <fmt/format.h>

#include <chrono>
#include <string>
#include <vector>

namespace muster::lab {

using namespace std::chrono_literals;

namespace {

constexpr Duration clock_off = 10s;

void random_islands(World& world) {
  std::vector<std::vector<NodeIndex>> groups(2 + world.random().below(2));
  for (NodeIndex index = 0; index < world.size(); ++index)
    groups[world.random().index(groups.size())].push_back(index);
  world.cut_into(groups);
}

void crash(World& world, NodeIndex node, bool losses) {
  Random& random = world.random();
  const Crash kind = losses && random.chance(0.3)
                         ? (random.chance(0.3) ? Crash::lose_disk : Crash::lose_tail)
                         : Crash::keep;
  if (world.node(node).up()) {
    world.count(kind == Crash::keep        ? "a crash"
                : kind == Crash::lose_tail ? "a crash that loses the tail of a disk"
                                           : "a crash that loses a disk");
  }
  world.crash(node, kind, random.chance(0.3));
}

/// By whoever may.
void forget(World& world, NodeIndex whom) {
  const auto forgotten = [&world] {
    const auto found = world.counted().find("a node forgotten");
    return found == world.counted().end() ? 0 : found->second;
  };
  const std::size_t before = forgotten();
  for (NodeIndex by = 0; by < world.size() && forgotten() == before; ++by)
    if (by != whom) world.forget(by, whom);
}

/// One that is down, or that crashes and is forgotten later; who is cut off may be, too.
void strike(World& world, NodeIndex node) {
  std::vector<NodeIndex> down;
  for (NodeIndex index = 0; index < world.size(); ++index)
    if (!world.node(index).up()) down.push_back(index);
  const NodeIndex whom = down.empty() ? node : world.random().pick(down);
  if (world.random().chance(0.5)) world.crash(whom);
  world.agenda().in(world.random().between(0s, 5s), [&world, whom] { forget(world, whom); });
}

/// Of the world that ran last.
std::uint64_t last_hash = 0;

void add_up(World& world) {
  for (const auto& [what, times] : world.counted()) tally()[what] += times;
  for (const Operation& each : world.history().all()) {
    ++tally()[each.acknowledged     ? "acknowledged"
              : !each.done()        ? "never answered"
              : !each.error.empty() ? "refused"
              : each.applied        ? "not acknowledged in time"
                                    : "of no effect"];
    if (each.maybe_lost) ++tally()["may be lost"];
    if (each.table != world.options().node.tables.front().name) ++tally()["in a second table"];
    if (each.again) ++tally()["put again"];
  }
  last_hash = world.trace().hash();
}

/// One of the kinds that `faults` adds.
void special_fault(World& world, const Faults& faults, NodeIndex node) {
  Random& random = world.random();
  SimNode& at = world.node(node);
  enum { back_up, restore, slow, broken, jump, drift, leave, be_forgotten };
  std::vector<int> kinds;
  if (faults.backups) kinds.insert(kinds.end(), {back_up, restore});
  if (faults.disks) kinds.insert(kinds.end(), {slow, broken});
  if (faults.clocks) kinds.insert(kinds.end(), {jump, drift});
  if (faults.leaves) kinds.push_back(leave);
  if (faults.forgets) kinds.insert(kinds.end(), {be_forgotten, be_forgotten});
  switch (random.pick(kinds)) {
    case back_up:
      return at.back_up();
    case restore:
      if (!at.backed_up()) return at.back_up();
      world.count("a backup restored");
      return world.restore(node);
    case slow:
      world.count("a slow disk");
      return at.slow_disk(random.between(20ms, 1500ms));
    case broken:
      world.count("a failing disk");
      if (at.up()) at.break_disk();
      return;
    case jump:
      world.count("a clock that jumps");
      return world.network().skew(at.host(), random.between(-clock_off, clock_off));
    case drift:
      world.count("a clock that drifts");
      return world.network().drift(at.host(), 0.02 * random.unit() - 0.01);
    case leave:
      world.count("a node leaves");
      return world.leave(node);
    default:
      return strike(world, node);
  }
}

void random_fault(World& world, const Faults& faults) {
  Random& random = world.random();
  const NodeIndex node = random.index(world.size());
  const NodeIndex other = random.index(world.size());
  const bool special =
      faults.backups || faults.disks || faults.clocks || faults.leaves || faults.forgets;
  switch (random.below(special ? 16 : 12)) {
    case 0:
    case 1:
      world.count("islands");
      return random_islands(world);
    case 2:
      world.count("a cut between two");
      return world.cut(node, other);
    case 3:
      world.count("a one-way cut");
      return world.network().cut_one_way(world.node(node).host(), world.node(other).host());
    case 4:
    case 5:
      return world.heal_all();
    case 6:
      return crash(world, node, faults.losses);
    case 7:
    case 8:
      return world.start(node);
    case 9:
      world.count("a pause");
      return world.pause(node);
    case 10:
      return world.resume(node);
    case 11:
      if (!world.node(node).up()) return world.start(node);
      world.count("a reset");
      return world.network().reset_between(world.node(node).host(), world.node(other).host());
    default:
      return special_fault(world, faults, node);
  }
}

std::string described(const WorldOptions& options, const Faults& faults) {
  const cache::TableDefinition& table = options.node.tables.front();
  return fmt::format(
      "{} nodes, {} tables, {}, {}, writes {}, durability {}, log of {} bytes;{}{}{}{}{}{}",
      options.nodes, options.node.tables.size(), to_string(table.on_split),
      to_string(table.storage), to_string(table.writes), to_string(table.durability),
      options.node.cache.log_bytes, faults.losses ? " losses" : "",
      faults.backups ? " backups" : "", faults.disks ? " disks" : "",
      faults.clocks ? " clocks" : "", faults.leaves ? " leaves" : "",
      faults.forgets ? " forgets" : "");
}

}  // namespace

Tally& tally() {
  static Tally all;
  return all;
}

WorldOptions random_options(std::uint64_t seed, cache::OnSplit rule) {
  WorldOptions options = world_of(2 + seed % 4, rule);
  options.contacts = seed % 3 == 0 ? WorldOptions::Contacts::ring : WorldOptions::Contacts::all;
  if (seed % 5 == 0) options.quality = {.delay = 5ms, .jitter = 10ms, .loss = 0.02};
  if (seed % 4 == 1) {
    for (auto& table : options.node.tables) table.storage = cache::Storage::disc_only_copies;
  }
  return options;
}

std::string run_random_world(std::uint64_t seed, const WorldOptions& options, const Faults& faults,
                             const Traffic& traffic) {
  Stage world(seed, options);
  Random& random = world->random();
  world->trace().say(world->now(), "world: {}", described(options, faults));
  for (NodeIndex index = 0; index < world->size(); ++index) {
    world->network().skew(world->node(index).host(), random.between(-200ms, 200ms));
    if (random.chance(0.8)) world->start(index);
  }
  for (const cache::TableDefinition& table : options.node.tables) {
    Traffic of_table = traffic;
    of_table.table = table.name;
    drive(*world, faults.span, of_table);
  }
  const bool faulty = seed % 8 != 0;
  for (const Instant end = after(world->now(), faults.span); world->now() < end;) {
    world->run_for(random.between(0ms, 3s));
    if (faulty) random_fault(*world, faults);
  }
  const std::string problems = joined(world->quiet());
  if (!problems.empty()) tell_trace();
  add_up(*world);
  return problems;
}

namespace {

struct AnyWorld {
  WorldOptions options;
  Faults faults;
  Traffic traffic;
};

AnyWorld any_world(std::uint64_t seed, cache::OnSplit rule) {
  Random random = Random(seed).split("any world");
  WorldOptions options = random_options(seed, rule);
  options.nodes = 2 + random.below(6);
  const Faults faults{.losses = random.chance(0.5),
                      .backups = random.chance(0.2),
                      .disks = random.chance(0.3),
                      .clocks = random.chance(0.3),
                      .leaves = random.chance(0.3)};
  // Once two of a ring have left, nobody may know of those between them.
  if (faults.leaves) options.contacts = WorldOptions::Contacts::all;
  if (faults.clocks) options.clock_tolerance = 4 * clock_off;
  cache::TableDefinition& table = options.node.tables.front();
  constexpr cache::Acknowledge writes[] = {cache::Acknowledge::sync, cache::Acknowledge::async,
                                           cache::Acknowledge::majority, cache::Acknowledge::sync};
  table.writes = writes[random.below(4)];
  if (random.chance(0.25)) table.durability = cache::Durability::sync;
  if (random.chance(0.2)) options.node.cache.log_bytes = 2000;
  // (Not drawn from `random`: kept seeds stay what they are.)
  options.node.cache.copy_batch_bytes = seed % 3 == 0 ? 200 : 1000;
  const Traffic traffic{
      .gap = 30ms, .batches = 0.15, .brief = 0.3, .reads = 0.4, .takes = 0.05, .if_present = 0.1};
  return {options, faults, traffic};
}

/// Stored in another way than the first.
cache::TableDefinition second_table(Random& random, const cache::TableDefinition& first) {
  using cache::Storage;
  std::vector<Storage> others{Storage::ram_copies, Storage::disc_copies, Storage::disc_only_copies};
  std::erase(others, first.storage);
  cache::TableDefinition table = table_named("second", first.on_split);
  table.storage = random.pick(others);
  return table;
}

}  // namespace

std::uint64_t hash_of_any_world(std::uint64_t seed, cache::OnSplit rule) {
  static_cast<void>(run_any_world(seed, rule));
  return last_hash;
}

std::string run_any_world(std::uint64_t seed, cache::OnSplit rule) {
  AnyWorld any = any_world(seed, rule);
  Random random = Random(seed).split("more of any world");
  any.faults.forgets = random.chance(0.35);
  if (any.faults.forgets) any.options.contacts = WorldOptions::Contacts::all;
  auto& tables = any.options.node.tables;
  if (random.chance(0.3)) tables.push_back(second_table(random, tables.front()));
  return run_random_world(seed, any.options, any.faults, any.traffic);
}

std::string run_plain_world(std::uint64_t seed, cache::OnSplit rule) {
  const AnyWorld any = any_world(seed, rule);
  return run_random_world(seed, any.options, any.faults, any.traffic);
}

}  // namespace muster::lab
