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
  world.crash(node, kind, random.chance(0.3));
}

/// One of the kinds that `faults` adds.
void special_fault(World& world, const Faults& faults, NodeIndex node, NodeIndex other) {
  Random& random = world.random();
  SimNode& at = world.node(node);
  std::vector<int> kinds;
  if (faults.backups) kinds.insert(kinds.end(), {0, 1});
  if (faults.disks) kinds.insert(kinds.end(), {2, 3});
  if (faults.clocks) kinds.insert(kinds.end(), {4, 5});
  if (faults.leaves) kinds.push_back(6);
  if (faults.forgets) kinds.push_back(7);
  switch (random.pick(kinds)) {
    case 0:
      return at.back_up();
    case 1:
      return at.backed_up() ? world.restore(node) : at.back_up();
    case 2:
      return at.slow_disk(random.between(20ms, 1500ms));
    case 3:
      if (at.up()) at.break_disk();
      return;
    case 4:
      return world.network().skew(at.host(), random.between(-clock_off, clock_off));
    case 5:
      return world.network().drift(at.host(), 0.02 * random.unit() - 0.01);
    case 6:
      return world.leave(node);
    default:
      return world.forget(node, other);
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
      return random_islands(world);
    case 2:
      return world.cut(node, other);
    case 3:
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
      return world.pause(node);
    case 10:
      return world.resume(node);
    case 11:
      if (!world.node(node).up()) return world.start(node);
      return world.network().reset_between(world.node(node).host(), world.node(other).host());
    default:
      return special_fault(world, faults, node, other);
  }
}

std::string described(const WorldOptions& options, const Faults& faults) {
  const cache::TableDefinition& table = options.node.tables.front();
  return fmt::format("{} nodes, {}, {}, writes {}, durability {}, log of {} bytes;{}{}{}{}{}{}",
                     options.nodes, to_string(table.on_split), to_string(table.storage),
                     to_string(table.writes), to_string(table.durability),
                     options.node.cache.log_bytes, faults.losses ? " losses" : "",
                     faults.backups ? " backups" : "", faults.disks ? " disks" : "",
                     faults.clocks ? " clocks" : "", faults.leaves ? " leaves" : "",
                     faults.forgets ? " forgets" : "");
}

}  // namespace

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
  drive(*world, faults.span, traffic);
  const bool faulty = seed % 8 != 0;
  for (const Instant end = after(world->now(), faults.span); world->now() < end;) {
    world->run_for(random.between(0ms, 3s));
    if (faulty) random_fault(*world, faults);
  }
  const std::string problems = joined(world->quiet());
  if (!problems.empty()) tell_trace();
  return problems;
}

std::string run_any_world(std::uint64_t seed, cache::OnSplit rule) {
  Random random = Random(seed).split("any world");
  WorldOptions options = random_options(seed, rule);
  options.nodes = 2 + random.below(6);
  const Faults faults{.losses = random.chance(0.5),
                      .backups = random.chance(0.2),
                      .disks = random.chance(0.3),
                      .clocks = random.chance(0.3),
                      .leaves = random.chance(0.3),
                      .forgets = false};
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
  return run_random_world(
      seed, options, faults,
      {.gap = 30ms, .batches = 0.15, .reads = 0.4, .takes = 0.05, .if_present = 0.1});
}

}  // namespace muster::lab
