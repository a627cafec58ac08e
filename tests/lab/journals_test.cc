// SPDX-License-Identifier: MIT
//
// Journals in worlds: what a record is kept from, what ends it, however its node hears of it.
#include <gtest/gtest.h>

#include <chrono>
#include <set>
#include <string>

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
    winner = oldest_of(*world);
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

TEST(Journals, ALogoutIsNotUndoneByTheJournalEither) {
  for_each_seed(30, [](std::uint64_t seed) {
    Stage world(seed, world_of(2, cache::OnSplit::oldest));
    ASSERT_TRUE(start_cluster(*world)) << world->picture();
    const NodeIndex winner = oldest_of(*world), loser = 1 - winner;
    world->put(winner, "session", "signed out");
    world->put(winner, "session", "signed in");
    world->run_for(3s);
    world->cut(0, 1);
    world->run_for(4s);
    world->remove(winner, "session", "signed out");
    world->put(winner, "session", "elsewhere");
    world->run_for(1s);
    world->put(loser, "session", "signed out");  // Refreshed, later than the logout.
    const std::size_t aside = world->put(loser, "session", "signed in");
    world->run_for(2s);
    EXPECT_EQ(joined(world->quiet()), "");
    EXPECT_FALSE(world->read(loser, "session", "signed out"));
    EXPECT_EQ(journal(*world), std::set<std::string>{world->history().at(aside).value});
  });
}

TEST(Journals, ALogoutAfterTheHealReachesTheJournalsOfOthers) {
  for_each_seed(10, [](std::uint64_t seed) {
    Stage world(seed, world_of(3, cache::OnSplit::oldest));
    ASSERT_TRUE(start_cluster(*world)) << world->picture();
    const NodeIndex winner = oldest_of(*world), loser = (winner + 1) % 3;
    world->put(winner, "session", "before");
    world->run_for(2s);
    world->cut_into({{winner, (winner + 2) % 3}, {loser}});
    world->run_for(4s);
    world->put(winner, "session", "elsewhere");
    world->put(loser, "session", "signed in");
    world->run_for(2s);
    EXPECT_EQ(joined(world->quiet()), "");
    EXPECT_EQ(journal(*world).size(), 1u);
    world->remove(winner, "session", "signed in");  // It does not know the key.
    EXPECT_EQ(joined(world->quiet()), "");
    EXPECT_TRUE(journal(*world).empty());
  });
}

TEST(Journals, ARecordLivesAsLongAsItsEntryWasToLive) {
  for_each_seed(10, [](std::uint64_t seed) {
    Stage world(seed, world_of(2, cache::OnSplit::oldest));
    ASSERT_TRUE(start_cluster(*world)) << world->picture();
    const NodeIndex winner = oldest_of(*world), loser = 1 - winner;
    world->put(winner, "session", "before");
    world->run_for(2s);
    world->cut(0, 1);
    world->run_for(4s);
    world->put(winner, "session", "key");
    world->put(loser, "session", "over", 1s);
    world->put(loser, "session", "soon", 60s);
    const std::size_t prolonged = world->put(loser, "session", "prolonged", 60s);
    world->run_for(2s);
    world->touch(loser, "session", "prolonged", 3600s);
    world->run_for(2s);
    EXPECT_EQ(joined(world->quiet()), "");
    EXPECT_EQ(journal(*world).size(), 2u);
    world->run_for(120s);
    EXPECT_EQ(journal(*world), std::set<std::string>{world->history().at(prolonged).value});
  });
}

TEST(Journals, AReplayedValueIsBackEverywhereAndItsRecordGone) {
  for_each_seed(10, [](std::uint64_t seed) {
    Stage world(seed, world_of(3, cache::OnSplit::oldest));
    ASSERT_TRUE(start_cluster(*world)) << world->picture();
    const NodeIndex winner = oldest_of(*world), loser = (winner + 1) % 3;
    world->put(winner, "session", "before");
    world->run_for(2s);
    world->cut_into({{winner, (winner + 2) % 3}, {loser}});
    world->run_for(4s);
    world->put(winner, "session", "elsewhere");
    const std::size_t aside = world->put(loser, "session", "key", 600s);
    world->run_for(2s);
    EXPECT_EQ(joined(world->quiet()), "");
    SimNode& node = world->node(loser);
    const auto records = node.healer()->journal("session");
    ASSERT_EQ(records.size(), 1u);
    EXPECT_EQ(records[0].writer, node.name().text());
    EXPECT_NE(records[0].why.find("lost to that of"), std::string::npos) << records[0].why;
    Result<void> replayed = bad_input("not called");
    node.turn([&](Now at) {
      node.healer()->replay(at, "session", records[0].row,
                            [&](Now, Result<void> result) { replayed = std::move(result); });
    });
    world->run_for(2s);
    EXPECT_TRUE(replayed) << replayed.error().text();
    for (NodeIndex index = 0; index < 3; ++index)
      EXPECT_EQ(world->read(index, "session", "key"), world->history().at(aside).value);
    EXPECT_TRUE(journal(*world).empty());
  });
}

}  // namespace
}  // namespace muster::lab
