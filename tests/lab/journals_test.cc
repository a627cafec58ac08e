// SPDX-License-Identifier: MIT
//
// Journals in worlds: what ends a record, however its node hears of it.
#include <gtest/gtest.h>

#include <chrono>

#include "scenario.h"

namespace muster::lab {
namespace {

using namespace std::chrono_literals;

/// A cluster of three after a heal under `oldest`: what `loser` wrote while it was cut off stands
/// in its journal, and the log of operations is short.
struct Healed {
  explicit Healed(std::uint64_t seed) : world(seed, options()) {}
  void split_and_heal() {
    ASSERT_TRUE(start_cluster(*world)) << world->picture();
    winner = world->index_of(world->node(0).machine()->island().front().name);
    loser = (winner + 1) % 3;
    world->put(winner, "session", "before");
    world->run_for(2s);
    cut_loser_off();
    world->put(winner, "session", "elsewhere");
    world->put(loser, "session", "signed in");
    world->run_for(2s);
    EXPECT_EQ(joined(world->quiet()), "");
    EXPECT_EQ(journal(*world).size(), 1u);
  }
  void cut_loser_off() {
    world->cut_into({{winner, (winner + 2) % 3}, {loser}});
    world->run_for(4s);
  }
  void write_more_than_the_log_holds() {
    for (int i = 0; i < 100; ++i) world->put(winner, "session", "other" + std::to_string(i));
    world->run_for(2s);
  }
  static WorldOptions options() {
    WorldOptions options = world_of(3, cache::OnSplit::oldest);
    options.node.cache.log_bytes = 500;
    return options;
  }

  Stage world;
  NodeIndex winner = 0, loser = 0;
};

TEST(Journals, ALogoutEndsTheRecordOfWhoComparesItsCopyBucketByBucket) {
  for_each_seed(20, [](std::uint64_t seed) {
    Healed healed(seed);
    ASSERT_NO_FATAL_FAILURE(healed.split_and_heal());
    World& world = *healed.world;
    if (seed % 2 == 0) {  // Signed in again meanwhile: another entry of that key.
      world.put(healed.winner, "session", "signed in");
      world.run_for(2s);
    }
    healed.cut_loser_off();
    world.remove(healed.winner, "session", "signed in");
    healed.write_more_than_the_log_holds();
    EXPECT_EQ(joined(world.quiet()), "");
    EXPECT_TRUE(journal(world).empty());
  });
}

}  // namespace
}  // namespace muster::lab
