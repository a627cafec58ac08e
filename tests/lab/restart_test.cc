// SPDX-License-Identifier: MIT
//
// Crashes and restarts: with the disk intact, with its tail lost, with nothing left.
#include <gmock/gmock.h>

#include <chrono>

#include "scenario.h"

namespace muster::lab {
namespace {

using namespace std::chrono_literals;

std::string reasons_to_stay(World& world, NodeIndex index) {
  return joined(world.node(index).cache()->not_handed_off());
}

TEST(Restart, ANodeThatComesBackWithAnOldDiskCatchesUp) {
  for_each_seed(80, [](std::uint64_t seed) {
    Stage world(seed, world_of(3, seed % 2 == 0 ? cache::OnSplit::oldest : cache::OnSplit::merge));
    ASSERT_TRUE(start_cluster(*world)) << world->picture();
    drive(*world, 2s, {.gap = 10ms});
    world->run_for(world->random().between(500ms, 2s));
    const NodeIndex gone = world->random().index(3);
    world->crash(gone, seed % 3 == 0 ? Crash::lose_tail : Crash::keep, seed % 4 == 0);
    drive(*world, 3s, {.gap = 10ms});
    world->run_for(world->random().between(0s, 10s));
    world->start(gone);
    world->run_for(2s);
    EXPECT_EQ(joined(world->quiet()), "");
  });
}

TEST(Restart, ANodeAloneIsReadyOnItsOwnDisk) {
  for_each_seed(40, [](std::uint64_t seed) {
    Stage world(seed, world_of(2));
    ASSERT_TRUE(start_cluster(*world)) << world->picture();
    load(*world, 50);
    const Operation known = world->history().all().front();
    world->crash(0);
    world->crash(1);
    world->run_for(5s);
    world->start(1);
    EXPECT_TRUE(world->run_until([&] { return world->node(1).cache()->ready(); }, 3s))
        << world->picture();
    EXPECT_EQ(world->read(1, "session", known.key), known.value);
    EXPECT_EQ(joined(world->quiet()), "");
  });
}

TEST(Restart, AWholeClusterComesBackWithAllItHad) {
  for_each_seed(60,
                [](std::uint64_t seed) {
                  const std::size_t nodes = 2 + seed % 3;
                  Stage world(seed, world_of(nodes));
                  ASSERT_TRUE(start_cluster(*world)) << world->picture();
                  load(*world, 100);
                  ASSERT_TRUE(world->run_until([&] { return world->converged(); }, 5s));
                  world->run_for(1s);
                  std::vector<NodeIndex> order;
                  for (NodeIndex index = 0; index < nodes; ++index) order.push_back(index);
                  world->random().shuffle(order);
                  for (const NodeIndex index : order) {
                    world->crash(index, Crash::keep, seed % 2 == 0);
                    world->run_for(world->random().between(0ms, 500ms));
                  }
                  world->run_for(world->random().between(0s, 30s));
                  world->random().shuffle(order);
                  for (const NodeIndex index : order) {
                    world->start(index);
                    world->run_for(world->random().between(0s, 3s));
                  }
                  EXPECT_EQ(joined(world->quiet()), "");
                },
                "MUSTER_SEEDS", {479});
}

// Whoever was down when a session was logged out must not bring it back.
TEST(Restart, AnOldDiskDoesNotBringBackWhatWasDeletedMeanwhile) {
  for_each_seed(60, [](std::uint64_t seed) {
    Stage world(seed, world_of(3, seed % 2 == 0 ? cache::OnSplit::oldest : cache::OnSplit::merge));
    ASSERT_TRUE(start_cluster(*world)) << world->picture();
    for (int key = 0; key < 20; ++key) world->put(0, "session", "key" + std::to_string(key));
    world->run_for(3s);
    world->crash(2);
    world->run_for(world->random().between(0s, 3s));
    for (int key = 0; key < 10; ++key) world->remove(1, "session", "key" + std::to_string(key));
    world->run_for(3s);
    for (int key = 0; key < 10; ++key)
      EXPECT_FALSE(world->read(0, "session", "key" + std::to_string(key)));
    if (seed % 3 == 0) {  // Even when it serves alone first.
      world->crash(0);
      world->crash(1);
    }
    world->start(2);
    world->run_for(world->random().between(0s, 5s));
    EXPECT_EQ(joined(world->quiet()), "");
    for (int key = 0; key < 10; ++key)
      EXPECT_FALSE(world->read(2, "session", "key" + std::to_string(key)));
  });
}

TEST(Restart, RollingRestartsUnderLoadLoseNothing) {
  for_each_seed(40, [](std::uint64_t seed) {
    Stage world(seed, world_of(3));
    ASSERT_TRUE(start_cluster(*world)) << world->picture();
    drive(*world, 12s, {.gap = 20ms});
    for (NodeIndex index = 0; index < 3; ++index) {
      world->run_for(1s);
      if (seed % 2 == 0)
        world->crash(index);
      else
        world->leave(index);
      world->run_for(world->random().between(500ms, 2s));
      world->start(index);
      EXPECT_TRUE(world->run_until([&] { return world->ready(); }, 10s)) << world->picture();
    }
    EXPECT_EQ(joined(world->quiet()), "");
  });
}

TEST(Restart, WhoeverHandsOffBeforeItLeavesTakesNothingWithIt) {
  for_each_seed(40, [](std::uint64_t seed) {
    WorldOptions options = world_of(3);
    options.node.tables.front().writes = cache::Acknowledge::async;
    Stage world(seed, options);
    ASSERT_TRUE(start_cluster(*world)) << world->picture();
    load(*world, 10);
    ASSERT_TRUE(world->run_until([&] { return reasons_to_stay(*world, 0).empty(); }, 1s));
    world->pause(1);
    world->pause(2);
    for (int key = 0; key < 20; ++key) world->put(0, "session", "last" + std::to_string(key));
    world->run_for(world->random().between(1ms, 700ms));
    EXPECT_THAT(reasons_to_stay(*world, 0), testing::HasSubstr("not all that this node has is on"));
    world->resume(1);
    EXPECT_FALSE(world->run_until([&] { return reasons_to_stay(*world, 0).empty(); }, 200ms))
        << "both are waited for";
    world->resume(2);
    EXPECT_TRUE(world->run_until([&] { return reasons_to_stay(*world, 0).empty(); }, 1s));
    world->leave(0);
    world->run_for(100ms);
    for (int key = 0; key < 20; ++key)
      for (const NodeIndex stays : {1, 2})
        EXPECT_TRUE(world->read(stays, "session", "last" + std::to_string(key)));
    EXPECT_EQ(joined(world->quiet()), "");
  });
}

TEST(Restart, AClockThatWentBackOverARestartLosesNoWrite) {
  for_each_seed(40, [](std::uint64_t seed) {
    Stage world(seed, world_of(2, cache::OnSplit::merge));
    ASSERT_TRUE(start_cluster(*world)) << world->picture();
    world->put(0, "session", "key");
    world->run_for(3s);
    world->crash(0);
    world->crash(1);
    const Duration back = world->random().between(0s, 60s);
    for (NodeIndex index = 0; index < 2; ++index)
      world->network().skew(world->node(index).host(), -back);
    world->run_for(1s);
    world->start(seed % 2);
    world->run_for(3s);
    const std::size_t second = world->put(seed % 2, "session", "key");
    world->run_for(3s);
    ASSERT_TRUE(world->history().at(second).applied);
    EXPECT_EQ(world->read(seed % 2, "session", "key"), world->history().at(second).value);
    EXPECT_EQ(joined(world->quiet()), "");
  });
}

TEST(Restart, WhoStoodStillServesNothingOldWhateverComesFirst) {
  for_each_seed(60, [](std::uint64_t seed) {
    Stage world(seed, world_of(2 + seed % 3));
    ASSERT_TRUE(start_cluster(*world)) << world->picture();
    world->put(0, "session", "key");
    world->run_for(2s);
    world->pause(1);
    world->run_for(world->random().between(3500ms, 20s));
    const std::size_t id = world->put(0, "session", "key");
    world->run_for(world->random().between(100ms, 3s));
    ASSERT_TRUE(world->history().at(id).acknowledged);
    world->resume(1);
    const auto answer = [&] { return world->read(1, "session", "key"); };
    EXPECT_TRUE(world->run_until([&] { return answer().has_value(); }, 10s, 1ms));
    EXPECT_EQ(answer(), world->history().at(id).value);
    EXPECT_EQ(joined(world->quiet()), "");
  });
}

}  // namespace
}  // namespace muster::lab
