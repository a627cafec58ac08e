// SPDX-License-Identifier: MIT
//
// A node joins a running cluster: by table_info, copy, catch-up; whatever happens meanwhile.
#include <algorithm>
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

std::size_t received(World& world, NodeIndex joiner) {
  return world.node(joiner).cache()->table("session")->count();
}

/// Goes on until the joiner has received that share of `keys`; true when it is then amid its copy.
bool amid_the_copy(World& world, NodeIndex joiner, std::size_t keys, std::size_t percent) {
  for (int step = 0; step < 20'000 && received(world, joiner) * 100 < keys * percent; ++step)
    world.agenda().step();
  const std::size_t rows = received(world, joiner);
  return !world.node(joiner).cache()->ready() && rows > 0 && rows < keys;
}

/// Writes on all the while, to a few keys.
constexpr Traffic hot_only{.gap = 10ms, .unique = 0, .batches = 0};

std::size_t nodes_that_join(World& world) {
  std::size_t count = 0;
  for (NodeIndex index = 0; index < world.size(); ++index) {
    SimNode& node = world.node(index);
    const auto readiness = node.cache()->status(node.now()).front().readiness;
    count += readiness == cache::Readiness::joining ? 1 : 0;
  }
  return count;
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

TEST(Join, GoesOnFromAnotherMemberWhereverInTheCopyTheSourceIsKilled) {
  for_each_seed(60, [](std::uint64_t seed) {
    constexpr std::size_t keys = 600;
    constexpr std::size_t stages[] = {10, 50, 90};
    Stage world(seed, world_of(3, seed % 2 == 0 ? cache::OnSplit::oldest : cache::OnSplit::merge));
    ASSERT_TRUE(running_cluster(*world, keys)) << world->picture();
    NodeIndex source = 2;
    world->node(2).on_cache_event = [&](Now, const cache::CacheEvent& event) {
      if (event.kind == cache::CacheEvent::Kind::joining) source = world->index_of(event.peer);
    };
    drive(*world, 2s, hot_only);
    world->start(2);
    ASSERT_TRUE(amid_the_copy(*world, 2, keys, stages[seed % 3])) << received(*world, 2);
    ASSERT_NE(source, 2u);
    world->crash(source, Crash::keep, seed % 4 == 0);
    ASSERT_TRUE(world->run_until([&] { return world->node(2).cache()->ready(); }, 20s))
        << world->picture();
    EXPECT_GE(received(*world, 2), keys);
    EXPECT_FALSE(world->node(source).up());
    world->run_for(2s);
    EXPECT_EQ(joined(world->quiet()), "");
  });
}

TEST(Join, AJoinerKilledAmidTheCopyGoesOnWithItsDisk) {
  for_each_seed(60, [](std::uint64_t seed) {
    constexpr std::size_t keys = 600;
    Stage world(seed, world_of(3, seed % 2 == 0 ? cache::OnSplit::oldest : cache::OnSplit::merge));
    ASSERT_TRUE(running_cluster(*world, keys)) << world->picture();
    drive(*world, 4s, hot_only);
    for (int life = 0; life < 2; ++life) {
      world->start(2);
      const std::size_t percent = 5 + world->random().below(81);
      ASSERT_TRUE(amid_the_copy(*world, 2, keys, percent)) << received(*world, 2);
      world->crash(2, seed % 3 == 0 ? Crash::lose_tail : Crash::keep, seed % 4 == 0);
      world->run_for(world->random().between(0s, 2s));
    }
    world->start(2);
    EXPECT_TRUE(world->run_until([&] { return world->converged(); }, 20s)) << world->picture();
    EXPECT_EQ(joined(world->quiet()), "");
  });
}

TEST(Join, ThirtyNodesJoinOneFilledTableAtOnce) {
  for_each_seed(3, [](std::uint64_t seed) {
    constexpr std::size_t keys = 2000;
    WorldOptions options =
        world_of(30, seed % 2 == 0 ? cache::OnSplit::oldest : cache::OnSplit::merge);
    options.quality = {.delay = 2ms,
                       .jitter = 3ms,
                       .loss = 0.01,
                       .duplication = 0.01,
                       .bytes_per_second = 100'000};
    options.node.check_every = 100;
    Stage world(seed, options);
    const std::size_t members = 1 + seed % 2;
    for (NodeIndex index = 0; index < members; ++index) world->start(index);
    ASSERT_TRUE(world->run_until([&] { return world->converged(); }, 10s)) << world->picture();
    load(*world, keys);
    drive(*world, 5s, {.gap = 5ms});
    world->run_for(1s);
    world->start_all();
    std::size_t at_once = 0;
    EXPECT_TRUE(world->run_until(
        [&] {
          at_once = std::max(at_once, nodes_that_join(*world));
          return world->ready();
        },
        60s, 1ms))
        << world->picture();
    EXPECT_GT(at_once, 20u);
    EXPECT_EQ(joined(world->quiet()), "");
    for (NodeIndex index = 0; index < world->size(); ++index)
      EXPECT_GE(received(*world, index), keys);
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
