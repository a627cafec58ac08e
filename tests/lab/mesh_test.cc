// SPDX-License-Identifier: MIT
//
// Nodes without tables: they find each other, notice who is gone, and agree on who is oldest.
#include <algorithm>
#include <chrono>

#include "scenario.h"

namespace muster::lab {
namespace {

using namespace std::chrono_literals;

void start_one_by_one(World& world, Duration apart) {
  for (NodeIndex index = 0; index < world.size(); ++index) {
    world.start(index);
    world.run_for(world.random().between(0ms, apart));
  }
}

TEST(Mesh, NodesThatKnowOneOfThemLearnAllOthers) {
  for_each_seed(60, [](std::uint64_t seed) {
    WorldOptions options = nodes_only(2 + seed % 9);
    options.contacts = seed % 2 == 0 ? WorldOptions::Contacts::first : WorldOptions::Contacts::ring;
    Stage world(seed, options);
    start_one_by_one(*world, 500ms);
    EXPECT_TRUE(world->run_until([&] { return world->meshed(); }, 3s)) << world->picture();
    EXPECT_EQ(joined(world->quiet()), "");
  });
}

TEST(Mesh, SimultaneousDialsEndInOneLinkPerPair) {
  for_each_seed(60, [](std::uint64_t seed) {
    Stage world(seed, nodes_only(2 + seed % 4));
    world->start_all();
    EXPECT_TRUE(world->run_until([&] { return world->meshed(); }, 2s)) << world->picture();
    world->run_for(20s);
    EXPECT_TRUE(world->meshed()) << world->picture();
  });
}

TEST(Mesh, FormsOverALossyNetwork) {
  for_each_seed(30, [](std::uint64_t seed) {
    WorldOptions options = nodes_only(5);
    options.quality = {.delay = 20ms, .jitter = 20ms, .loss = 0.05};
    Stage world(seed, options);
    start_one_by_one(*world, 100ms);
    EXPECT_TRUE(world->run_until([&] { return world->meshed(); }, 20s)) << world->picture();
    EXPECT_EQ(joined(world->quiet()), "");
  });
}

/// How long until nobody of the others has `gone` in its island any more.
Duration detection(World& world, NodeIndex gone) {
  const Instant start = world.now();
  const auto unseen = [&] {
    for (NodeIndex index = 0; index < world.size(); ++index) {
      if (index == gone || !world.node(index).up()) continue;
      const auto island = world.node(index).machine()->island();
      if (std::any_of(island.begin(), island.end(), [&](const node::Member& member) {
            return member.name == world.node(gone).name();
          }))
        return false;
    }
    return true;
  };
  return world.run_until(unseen, 30s) ? world.now() - start : forever;
}

TEST(Mesh, ACrashedProcessIsNoticedAtOnceAndADarkHostWithinTwoSeconds) {
  std::vector<Duration> dark;
  for_each_seed(40, [&](std::uint64_t seed) {
    Stage world(seed, nodes_only(3 + seed % 6));
    world->start_all();
    ASSERT_TRUE(world->run_until([&] { return world->meshed(); }, 3s)) << world->picture();
    world->run_for(world->random().between(1s, 4s));
    world->crash(1);
    EXPECT_LE(detection(*world, 1), 100ms);
    world->crash(0, Crash::keep, true);
    dark.push_back(detection(*world, 0));
  });
  if (dark.empty()) return;
  std::sort(dark.begin(), dark.end());
  const Duration p99 = dark[(dark.size() * 99 + 99) / 100 - 1];
  EXPECT_LE(p99, 2s) << "median " << dark[dark.size() / 2].count() / 1'000'000 << " ms, p99 "
                     << p99.count() / 1'000'000 << " ms";
}

TEST(Mesh, ACutIsNoticedAndHealed) {
  for_each_seed(40, [](std::uint64_t seed) {
    Stage world(seed, nodes_only(4));
    world->start_all();
    ASSERT_TRUE(world->run_until([&] { return world->meshed(); }, 3s)) << world->picture();
    world->cut_into({{0, 1}, {2, 3}});
    EXPECT_TRUE(world->run_until(
        [&] {
          return world->node(0).machine()->island().size() == 2 &&
                 world->node(3).machine()->island().size() == 2;
        },
        4s))
        << world->picture();
    world->run_for(world->random().between(0s, 20s));
    world->heal_all();
    EXPECT_TRUE(world->run_until([&] { return world->meshed(); }, 15s)) << world->picture();
    EXPECT_EQ(joined(world->quiet()), "");
  });
}

TEST(Mesh, AShortPauseIsNoFalseAlarm) {
  for_each_seed(40, [](std::uint64_t seed) {
    Stage world(seed, nodes_only(4));
    world->start_all();
    ASSERT_TRUE(world->run_until([&] { return world->meshed(); }, 3s)) << world->picture();
    world->run_for(3s);
    int alarms = 0;
    for (NodeIndex index = 0; index < world->size(); ++index)
      world->node(index).on_node_event = [&](Now, const node::NodeEvent& event) {
        alarms += event.kind == node::NodeEvent::Kind::nodedown ? 1 : 0;
      };
    world->pause(2);
    world->run_for(world->random().between(100ms, 1s));
    world->resume(2);
    world->run_for(10s);
    EXPECT_EQ(alarms, 0);
  });
}

TEST(Mesh, TwoNodesThatShareANeighbourStayInOneIsland) {
  for_each_seed(40, [](std::uint64_t seed) {
    Stage world(seed, nodes_only(3));
    world->start_all();
    ASSERT_TRUE(world->run_until([&] { return world->meshed(); }, 3s)) << world->picture();
    world->cut(0, 2);
    world->run_for(10s);
    for (NodeIndex index = 0; index < 3; ++index)
      EXPECT_EQ(world->node(index).machine()->island().size(), 3u) << world->picture();
    EXPECT_EQ(joined(world->quiet()), "");
  });
}

TEST(Mesh, ANodeThatLeavesIsNotDeadAndARestartedOneIsTheYoungest) {
  for_each_seed(40, [](std::uint64_t seed) {
    Stage world(seed, nodes_only(4));
    start_one_by_one(*world, 300ms);
    ASSERT_TRUE(world->run_until([&] { return world->meshed(); }, 3s)) << world->picture();
    world->leave(3);
    ASSERT_TRUE(world->run_until([&] { return !world->node(3).up(); }, 5s));
    world->run_for(3s);
    const auto& members = world->node(1).machine()->membership().nodes;
    ASSERT_TRUE(members.contains(world->node(3).name()));
    EXPECT_FALSE(members.at(world->node(3).name()).admitted());

    const NodeName oldest = world->node(1).machine()->island().front().name;
    const NodeIndex restarted = world->index_of(oldest);
    world->crash(restarted);
    world->run_for(world->random().between(0s, 5s));
    world->start(restarted);
    ASSERT_TRUE(world->run_until([&] { return world->meshed(); }, 15s)) << world->picture();
    EXPECT_EQ(world->node(1).machine()->island().back().name, oldest) << world->picture();
    EXPECT_EQ(joined(world->quiet()), "");
  });
}

TEST(Mesh, RandomFaultsEndInAFullMeshThatAgrees) {
  for_each_seed(60, [](std::uint64_t seed) {
    Stage world(seed, nodes_only(2 + seed % 6));
    Random& random = world->random();
    for (int step = 0; step < 40; ++step) {
      const NodeIndex node = random.index(world->size());
      const NodeIndex other = random.index(world->size());
      switch (random.below(9)) {
        case 0:
        case 1:
        case 2:
          world->start(node);
          break;
        case 3:
          world->crash(node, Crash::keep, random.chance(0.3));
          break;
        case 4:
          world->cut(node, other);
          break;
        case 5:
          world->network().cut_one_way(static_cast<HostId>(node), static_cast<HostId>(other));
          break;
        case 6:
          world->heal_all();
          break;
        case 7:
          world->pause(node);
          break;
        default:
          world->resume(node);
          break;
      }
      world->run_for(random.between(0s, 3s));
    }
    EXPECT_EQ(joined(world->quiet()), "");
  });
}

std::uint64_t hash_of(std::uint64_t seed) {
  Stage world(seed, nodes_only(5));
  start_one_by_one(*world, 300ms);
  world->run_for(5s);
  world->cut_into({{0, 1}, {2, 3, 4}});
  world->run_for(10s);
  (void)world->quiet();
  return world->trace().hash();
}

TEST(Mesh, TheSameSeedGivesTheSameRunToTheByte) {
  for_each_seed(10, [](std::uint64_t seed) { EXPECT_EQ(hash_of(seed), hash_of(seed)); });
}

}  // namespace
}  // namespace muster::lab
