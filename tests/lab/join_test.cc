// SPDX-License-Identifier: MIT
//
// A node joins a running cluster: by table_info, copy, catch-up; whatever happens meanwhile.
#include <chrono>

#include "scenario.h"

namespace muster::lab {
namespace {

using namespace std::chrono_literals;

/// A cluster of all nodes but the last, with content.
bool running_cluster(World& world, std::size_t keys) {
  for (NodeIndex index = 0; index + 1 < world.size(); ++index) world.start(index);
  if (!world.run_until([&] { return world.converged(); }, 10s)) return false;
  load(world, keys);
  return world.run_until([&] { return world.converged(); }, 5s);
}

TEST(Join, ANewNodeCopiesTheTableAndIsReady) {
  for_each_seed(40, [](std::uint64_t seed) {
    Stage world(seed, world_of(2 + seed % 4));
    ASSERT_TRUE(running_cluster(*world, 300)) << world->picture();
    const NodeIndex joiner = world->size() - 1;
    world->start(joiner);
    EXPECT_TRUE(world->run_until([&] { return world->converged(); }, 10s)) << world->picture();
    EXPECT_EQ(joined(world->quiet()), "");
  });
}

TEST(Join, AJoinerWhileClientsWriteMissesNothing) {
  for_each_seed(60, [](std::uint64_t seed) {
    Stage world(seed, world_of(3, seed % 2 == 0 ? cache::OnSplit::oldest : cache::OnSplit::merge));
    ASSERT_TRUE(running_cluster(*world, 300)) << world->picture();
    drive(*world, 3s, {.gap = 2ms, .expiring = 0.0});
    world->run_for(world->random().between(0ms, 100ms));
    world->start(2);
    world->run_for(4s);
    EXPECT_EQ(joined(world->quiet()), "");
  });
}

// The join of 600 keys takes a few hundred events; each seed cuts after another number of them.
TEST(Join, SurvivesACutAndAHealAtEveryStep) {
  for_each_seed(150, [](std::uint64_t seed) {
    Stage world(seed, world_of(3));
    ASSERT_TRUE(running_cluster(*world, 600)) << world->picture();
    drive(*world, 2s, {.gap = 10ms, .expiring = 0.0});
    world->start(2);
    for (std::uint64_t step = 0; step < seed % 400 * 3; ++step) world->agenda().step();
    if (seed % 3 == 0)
      world->cut_into({{0, 1}, {2}});
    else
      world->cut(seed % 3 - 1, 2);
    world->run_for(world->random().between(0s, 5s));
    world->heal_all();
    world->run_for(3s);
    EXPECT_EQ(joined(world->quiet()), "");
  });
}

TEST(Join, GoesOnFromAnotherMemberWhenTheSourceIsKilled) {
  for_each_seed(150, [](std::uint64_t seed) {
    Stage world(seed, world_of(3));
    ASSERT_TRUE(running_cluster(*world, 600)) << world->picture();
    drive(*world, 1s, {.gap = 10ms, .expiring = 0.0});
    world->start(2);
    for (std::uint64_t step = 0; step < seed % 400 * 3; ++step) world->agenda().step();
    const NodeIndex killed = seed % 2;
    world->crash(killed, Crash::keep, seed % 3 == 0);
    EXPECT_TRUE(world->run_until([&] { return world->node(2).cache()->ready(); }, 20s))
        << world->picture();
    world->run_for(2s);
    EXPECT_EQ(joined(world->quiet()), "");
  });
}

TEST(Join, AJoinerThatIsKilledHalfwayStartsAgain) {
  for_each_seed(100, [](std::uint64_t seed) {
    Stage world(seed, world_of(3));
    ASSERT_TRUE(running_cluster(*world, 600)) << world->picture();
    for (int life = 0; life < 3; ++life) {
      world->start(2);
      const std::uint64_t steps = world->random().below(600);
      for (std::uint64_t step = 0; step < steps; ++step) world->agenda().step();
      world->crash(2, life == 1 ? Crash::lose_tail : Crash::keep);
      world->run_for(world->random().between(0s, 3s));
    }
    EXPECT_EQ(joined(world->quiet()), "");
  });
}

TEST(Join, NeverAnswersAFalseMissWhileItIsNotReady) {
  for_each_seed(40, [](std::uint64_t seed) {
    Stage world(seed, world_of(3));
    ASSERT_TRUE(running_cluster(*world, 200)) << world->picture();
    const Operation known = world->history().all().front();
    world->start(2);
    int answers = 0;
    for (int ask = 0; ask < 40; ++ask) {
      world->run_for(world->random().between(1ms, 30ms));
      world->node(2).turn([&](Now now) {
        world->node(2).cache()->get(
            now, "session", cache::Key::decode(known.key).value(),
            [&](Now, Result<std::optional<cache::Table::Found>> found) {
              if (!found) return;
              ++answers;
              EXPECT_TRUE(found->has_value() && (*found)->value == known.value)
                  << "a false miss at " << world->now().time_since_epoch().count();
            });
      });
    }
    world->run_for(5s);
    EXPECT_GT(answers, 0);
    EXPECT_EQ(joined(world->quiet()), "");
  });
}

TEST(Join, ALostDiskIsFilledAgain) {
  for_each_seed(40, [](std::uint64_t seed) {
    Stage world(seed, world_of(3));
    ASSERT_TRUE(start_cluster(*world)) << world->picture();
    load(*world, 200);
    const NodeIndex lost = world->random().index(3);
    world->crash(lost, Crash::lose_disk);
    world->run_for(world->random().between(0s, 4s));
    drive(*world, 1s);
    world->run_for(1s);
    world->start(lost);
    EXPECT_EQ(joined(world->quiet()), "");
  });
}

}  // namespace
}  // namespace muster::lab
