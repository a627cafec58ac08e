// SPDX-License-Identifier: MIT
//
// Random worlds: two to five nodes, any faults in any order, clients all the while.
#include <chrono>

#include "scenario.h"

namespace muster::lab {
namespace {

using namespace std::chrono_literals;

void random_fault(World& world, bool losses) {
  Random& random = world.random();
  const NodeIndex node = random.index(world.size());
  const NodeIndex other = random.index(world.size());
  switch (random.below(12)) {
    case 0:
    case 1: {
      std::vector<std::vector<NodeIndex>> groups(2 + random.below(2));
      for (NodeIndex index = 0; index < world.size(); ++index)
        groups[random.index(groups.size())].push_back(index);
      return world.cut_into(groups);
    }
    case 2:
      return world.cut(node, other);
    case 3:
      return world.network().cut_one_way(world.node(node).host(), world.node(other).host());
    case 4:
    case 5:
      return world.heal_all();
    case 6: {
      const Crash kind = losses && random.chance(0.3)
                             ? (random.chance(0.3) ? Crash::lose_disk : Crash::lose_tail)
                             : Crash::keep;
      return world.crash(node, kind, random.chance(0.3));
    }
    case 7:
    case 8:
      return world.start(node);
    case 9:
      return world.pause(node);
    case 10:
      return world.resume(node);
    default: {
      if (!world.node(node).up()) return world.start(node);
      return world.network().reset_between(world.node(node).host(), world.node(other).host());
    }
  }
}

void random_world(std::uint64_t seed, cache::OnSplit rule) {
  WorldOptions options = world_of(2 + seed % 4, rule);
  options.contacts = seed % 3 == 0 ? WorldOptions::Contacts::ring : WorldOptions::Contacts::all;
  if (seed % 5 == 0) options.quality = {.delay = 5ms, .jitter = 10ms, .loss = 0.02};
  Stage world(seed, options);
  Random& random = world->random();
  for (NodeIndex index = 0; index < world->size(); ++index) {
    world->network().skew(world->node(index).host(), random.between(-200ms, 200ms));
    if (random.chance(0.8)) world->start(index);
  }
  const Duration span = 20s;
  drive(*world, span);
  const bool faulty = seed % 8 != 0;
  for (const Instant end = world->now() + span; world->now() < end;) {
    world->run_for(random.between(0ms, 3s));
    if (faulty) random_fault(*world, seed % 2 == 0);
  }
  EXPECT_EQ(joined(world->quiet()), "");
}

TEST(Histories, RandomFaultsUnderOldestKeepEveryPromise) {
  for_each_seed(200, [](std::uint64_t seed) { random_world(seed, cache::OnSplit::oldest); });
}

TEST(Histories, RandomFaultsUnderMergeKeepEveryPromise) {
  for_each_seed(200, [](std::uint64_t seed) { random_world(seed, cache::OnSplit::merge); });
}

TEST(Histories, RandomFaultsUnderLargestKeepEveryPromise) {
  for_each_seed(100, [](std::uint64_t seed) { random_world(seed, cache::OnSplit::largest); });
}

// What they found: a joiner with leftovers of its first sender, a repair across a lost line, husks
// that no digest saw, a node without its disk that was refused for ever.
TEST(Histories, WorldsThatOnceBrokeAPromiseKeepThem) {
  const std::vector<std::uint64_t> seeds{147, 835, 934, 1030, 1737};
  for_each_seed(seeds.size(), [&](std::uint64_t number) {
    if (number > seeds.size()) return;
    using cache::OnSplit;
    for (const OnSplit rule : {OnSplit::oldest, OnSplit::merge, OnSplit::largest})
      random_world(seeds[number - 1], rule);
  });
}

std::uint64_t hash_of(std::uint64_t seed) {
  Stage world(seed, world_of(3));
  world->start_all();
  drive(*world, 6s);
  world->run_for(2s);
  world->cut_into({{0, 1}, {2}});
  world->run_for(4s);
  (void)world->quiet();
  return world->trace().hash();
}

TEST(Histories, TheSameSeedGivesTheSameRunToTheByte) {
  for_each_seed(10, [](std::uint64_t seed) { EXPECT_EQ(hash_of(seed), hash_of(seed)); });
}

}  // namespace
}  // namespace muster::lab
