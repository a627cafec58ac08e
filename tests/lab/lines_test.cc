// SPDX-License-Identifier: MIT
//
// What the first simulation of the rules of lines left out, each by name: tables that stay apart,
// majorities, a journal's disk, backups, clocks, members forgotten twice, roots named twice.
#include <chrono>
#include <set>
#include <string>

#include "random_world.h"

namespace muster::lab {
namespace {

using namespace std::chrono_literals;
using cache::OnSplit;

TEST(Lines, TablesThatStayApartStillShareTheirDeletes) {
  for_each_seed(20, [](std::uint64_t seed) {
    WorldOptions options = world_of(3);
    options.node.with_healer = false;
    Stage world(seed, options);
    ASSERT_TRUE(start_cluster(*world)) << world->picture();
    for (const char* key : {"common", "stays"}) world->put(0, "session", key);
    world->run_for(3s);
    world->cut_into({{0}, {1, 2}});
    world->run_for(4s);
    world->put(0, "session", "left");
    world->put(1, "session", "right");
    world->run_for(4s);
    world->heal_all();
    ASSERT_TRUE(world->run_until([&] { return world->meshed(); }, 20s)) << world->picture();
    world->run_for(2s);
    for (int round = 0; round < 3; ++round) {  // and for long
      world->put(0, "session", "left");
      world->put(2, "session", "right");
      world->run_for(10s);
    }
    world->remove(seed % 2 == 0 ? 0 : 2, "session", "common");
    world->run_for(3s);
    for (NodeIndex index = 0; index < 3; ++index) {
      EXPECT_FALSE(world->read(index, "session", "common")) << "n" << index;
      EXPECT_TRUE(world->read(index, "session", "stays")) << "n" << index;
      EXPECT_EQ(world->read(index, "session", "left").has_value(), index == 0);
      EXPECT_EQ(world->read(index, "session", "right").has_value(), index != 0);
    }
    EXPECT_EQ(joined(world->violations()), "");
  });
}

TEST(Lines, UnderMajorityTheSmallerIslandRefusesAndNothingIsSetAside) {
  for_each_seed(40, [](std::uint64_t seed) {
    Stage world(seed, world_of(3 + 2 * (seed % 2), OnSplit::majority));
    ASSERT_TRUE(start_cluster(*world)) << world->picture();
    load(*world, 20);
    std::vector<NodeIndex> many, few;
    for (NodeIndex index = 0; index < world->size(); ++index)
      (index <= world->size() / 2 ? many : few).push_back(index);
    world->cut_into({many, few});
    world->run_for(4s);
    const std::size_t kept = world->put(many.front(), "session", "key");
    const std::size_t refused = world->put(few.front(), "session", "key");
    drive(*world, 4s);
    world->run_for(6s);
    EXPECT_TRUE(world->history().at(kept).acknowledged);
    EXPECT_FALSE(world->history().at(refused).applied);
    EXPECT_NE(world->history().at(refused).error, "");
    EXPECT_EQ(joined(world->quiet()), "");
    EXPECT_TRUE(journals(*world).empty());
  });
}

TEST(Lines, AJournalThatLosesItsDiskIsStillInThoseOfItsIsland) {
  for_each_seed(30, [](std::uint64_t seed) {
    Stage world(seed, world_of(4, OnSplit::oldest));
    ASSERT_TRUE(start_cluster(*world)) << world->picture();
    const NodeIndex oldest = oldest_of(*world);
    const NodeIndex beside = (oldest + 1) % 4, lost = (oldest + 2) % 4, other = (oldest + 3) % 4;
    world->put(oldest, "session", "root");  // or the line that was founded first would win
    world->run_for(1s);
    world->cut_into({{oldest, beside}, {lost, other}});
    world->run_for(4s);
    world->put(oldest, "session", "here");
    const std::size_t aside = world->put(lost, "session", "there");
    world->run_for(3s);
    EXPECT_EQ(joined(world->quiet()), "");
    EXPECT_EQ(journals(*world).count(world->history().at(aside).value), 2u);
    world->crash(lost, Crash::lose_disk);
    world->run_for(world->random().between(0s, 3s));
    EXPECT_EQ(joined(world->quiet()), "");
    EXPECT_EQ(journals(*world).count(world->history().at(aside).value), 1u);
  });
}

TEST(Lines, ADirectoryFromABackupBringsNothingBackAndMissesNothing) {
  for_each_seed(60, [](std::uint64_t seed) {
    WorldOptions options = world_of(3, seed % 2 == 0 ? OnSplit::oldest : OnSplit::merge);
    if (seed % 3 == 0) options.node.cache.log_bytes = 500;  // too short for a delta
    Stage world(seed, options);
    ASSERT_TRUE(start_cluster(*world)) << world->picture();
    for (int key = 0; key < 20; ++key) world->put(0, "session", "key" + std::to_string(key));
    world->run_for(3s);
    world->node(2).back_up();
    for (int key = 0; key < 10; ++key) world->remove(1, "session", "key" + std::to_string(key));
    if (seed % 4 < 2) {  // another life since, which is not in the backup either
      world->crash(2);
      world->run_for(3s);
      world->start(2);
    }
    load(*world, 20);
    world->run_for(world->random().between(0s, 20s));  // the deletes may be forgotten by now
    world->restore(2);
    world->run_for(world->random().between(0s, 3s));
    if (seed % 5 == 0) {  // it serves alone first
      world->crash(0);
      world->crash(1);
    }
    world->start(2);
    world->run_for(world->random().between(0s, 5s));
    EXPECT_EQ(joined(world->quiet()), "");
    for (NodeIndex index = 0; index < 3; ++index)
      for (int key = 0; key < 20; ++key)
        EXPECT_EQ(world->read(index, "session", "key" + std::to_string(key)).has_value(), key >= 10)
            << "n" << index << " key" << key;
  });
}

TEST(Lines, AClockThatJumpsWhileItRunsLosesNoWriteAndNoSession) {
  for_each_seed(40, [](std::uint64_t seed) {
    WorldOptions options = world_of(3, seed % 2 == 0 ? OnSplit::oldest : OnSplit::merge);
    options.clock_tolerance = 40s;
    Stage world(seed, options);
    ASSERT_TRUE(start_cluster(*world)) << world->picture();
    drive(*world, 20s, {.expiring = 0, .reads = 0.4});
    for (int jump = 0; jump < 10; ++jump) {
      const NodeIndex node = world->random().index(3);
      world->network().skew(world->node(node).host(), world->random().between(-10s, 10s));
      world->network().drift(world->node(node).host(), 0.02 * world->random().unit() - 0.01);
      world->run_for(2s);
    }
    EXPECT_EQ(joined(world->quiet()), "");
  });
}

TEST(Lines, MembersForgottenByOverlappingMajoritiesComeBackAsOneCluster) {
  for_each_seed(40,
                [](std::uint64_t seed) {
                  Stage world(seed, world_of(5, seed % 2 == 0 ? OnSplit::oldest : OnSplit::merge));
                  ASSERT_TRUE(start_cluster(*world)) << world->picture();
                  load(*world, 20);
                  world->crash(3);
                  world->crash(4);
                  world->run_for(4s);
                  world->forget(0, 4);
                  if (seed % 3 == 0) world->run_for(world->random().between(0ms, 300ms));
                  world->cut_into({{0}, {1, 2, 3}, {4}});  // the others may not have heard of it
                  world->start(3);
                  world->run_for(6s);
                  world->forget(1, seed % 4 < 2 ? 0 : 4);
                  drive(*world, 3s);
                  world->run_for(5s);
                  world->start(4);
                  world->run_for(world->random().between(0s, 5s));
                  EXPECT_EQ(joined(world->quiet()), "");
                },
                "MUSTER_SEEDS", {216, 222, 648});
}

TEST(Lines, TwoRootsNamedByTwoSidesOfOneClusterEndAsOne) {
  for_each_seed(60, [](std::uint64_t seed) {
    constexpr OnSplit rules[] = {OnSplit::oldest, OnSplit::merge, OnSplit::largest};
    const OnSplit rule = rules[seed % 3];
    Stage world(seed, world_of(4, rule));
    ASSERT_TRUE(start_cluster(*world)) << world->picture();
    world->cut_into({{0, 1}, {2, 3}});  // nothing was ever written
    world->run_for(seed % 2 == 0 ? 4s : 0s);
    const std::size_t left = world->put(0, "session", "left");
    world->run_for(world->random().between(0ms, 500ms));
    const std::size_t right = world->put(2, "session", "right");
    world->run_for(5s);
    EXPECT_EQ(joined(world->quiet()), "");
    for (const std::size_t id : {left, right}) {
      const Operation& put = world->history().at(id);
      if (!put.applied) continue;
      const bool there = world->read(1, "session", put.key).has_value();
      EXPECT_TRUE(there || (rule != OnSplit::merge && journals(*world).contains(put.value)));
    }
  });
}

// A copy spread over time: what is written while it goes on is neither missed nor put back.
TEST(Lines, ACopyOverASlowLinkUnderLoadMissesNothing) {
  for_each_seed(30, [](std::uint64_t seed) {
    WorldOptions options = world_of(3, seed % 2 == 0 ? OnSplit::oldest : OnSplit::merge);
    options.node.cache.log_bytes = 3000;
    Stage world(seed, options);
    ASSERT_TRUE(start_cluster(*world)) << world->picture();
    load(*world, 300);
    world->crash(2, seed % 3 == 0 ? Crash::lose_disk : Crash::keep);
    drive(*world, 3s, {.gap = 10ms, .removes = 0.4, .reads = 0.2});
    world->run_for(4s);
    for (const NodeIndex other : {0, 1})
      world->network().quality(world->node(2).host(), world->node(other).host(),
                               {.delay = 30ms, .jitter = 60ms, .loss = 0.02});
    drive(*world, 8s, {.gap = 10ms, .removes = 0.4, .reads = 0.2});
    world->start(2);
    world->run_for(world->random().between(100ms, 2s));
    if (seed % 4 == 0) world->crash(seed % 2);  // its sponsor, perhaps
    world->run_for(8s);
    EXPECT_EQ(joined(world->quiet()), "");
  });
}

}  // namespace
}  // namespace muster::lab
