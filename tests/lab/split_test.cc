// SPDX-License-Identifier: MIT
//
// Islands that both wrote, and what is left when they meet.
#include <algorithm>
#include <chrono>
#include <set>

#include "scenario.h"

namespace muster::lab {
namespace {

using namespace std::chrono_literals;
using cache::OnSplit;

OnSplit rule_of(std::uint64_t seed) {
  constexpr OnSplit rules[] = {OnSplit::oldest, OnSplit::merge, OnSplit::largest};
  return rules[seed % 3];
}

TEST(Split, UnderOldestTheOldestNodesSideStaysAndTheOthersGoToTheJournal) {
  for_each_seed(60, [](std::uint64_t seed) {
    Stage world(seed, world_of(4, OnSplit::oldest));
    for (NodeIndex index = 0; index < 4; ++index) {
      world->start(index);
      world->run_for(200ms);
    }
    ASSERT_TRUE(world->run_until([&] { return world->converged(); }, 10s)) << world->picture();
    world->put(0, "session", "before");
    world->run_for(2s);
    const NodeIndex oldest = oldest_of(*world);
    const NodeIndex beside = (oldest + 1) % 4;
    const NodeIndex other = (oldest + 2) % 4;
    const NodeIndex last = (oldest + 3) % 4;
    world->cut_into({{oldest, beside}, {other, last}});
    world->run_for(4s);
    const std::size_t kept = world->put(beside, "session", "key");
    const std::size_t aside = world->put(other, "session", "key");
    const std::size_t created_aside = world->put(last, "session", "only here");
    world->run_for(3s);
    EXPECT_TRUE(world->history().at(kept).acknowledged);
    EXPECT_TRUE(world->history().at(aside).acknowledged);
    int heard = 0;
    for (NodeIndex index = 0; index < 4; ++index)
      world->node(index).on_cache_event = [&](Now, const cache::CacheEvent& event) {
        heard += event.kind == cache::CacheEvent::Kind::inconsistent_database ? 1 : 0;
      };
    EXPECT_EQ(joined(world->quiet()), "");
    EXPECT_GT(heard, 0);
    for (NodeIndex index = 0; index < 4; ++index) {
      EXPECT_EQ(world->read(index, "session", "key"), world->history().at(kept).value);
      EXPECT_FALSE(world->read(index, "session", "only here"));
      EXPECT_TRUE(world->read(index, "session", "before"));
    }
    EXPECT_EQ(journal(*world), (std::set<std::string>{world->history().at(aside).value,
                                                      world->history().at(created_aside).value}));
  });
}

TEST(Split, ALaterDeleteEndsAJournalRecordAndAnEarlierOneDoesNot) {
  for_each_seed(30, [](std::uint64_t seed) {
    Stage world(seed, world_of(2, OnSplit::oldest));
    ASSERT_TRUE(start_cluster(*world)) << world->picture();
    const NodeIndex oldest = oldest_of(*world);
    world->put(oldest, "session", "signed out first");
    world->run_for(2s);
    world->cut_into({{oldest}});
    world->run_for(4s);
    world->remove(oldest, "session", "signed out first");
    world->run_for(100ms);
    world->remove(1 - oldest, "session", "signed out first");
    const std::size_t anew = world->put(1 - oldest, "session", "signed out first");
    const std::size_t aside = world->put(1 - oldest, "session", "signed out later");
    world->put(oldest, "session", "elsewhere");
    world->run_for(2s);
    EXPECT_EQ(joined(world->quiet()), "");
    EXPECT_EQ(journal(*world), (std::set<std::string>{world->history().at(anew).value,
                                                      world->history().at(aside).value}));
    world->put(oldest, "session", "signed out later");
    world->run_for(2s);
    world->remove(oldest, "session", "signed out later");
    EXPECT_EQ(joined(world->quiet()), "");
    EXPECT_EQ(journal(*world), (std::set<std::string>{world->history().at(anew).value}));
  });
}

TEST(Split, UnderMergeBothSidesStay) {
  for_each_seed(60, [](std::uint64_t seed) {
    Stage world(seed, world_of(2 + seed % 3, OnSplit::merge));
    ASSERT_TRUE(start_cluster(*world)) << world->picture();
    world->cut_into({{0}});
    world->run_for(4s);
    const std::size_t left = world->put(0, "session", "left");
    const std::size_t right = world->put(1, "session", "right");
    world->run_for(5s);
    EXPECT_EQ(joined(world->quiet()), "");
    EXPECT_EQ(world->read(1, "session", "left"), world->history().at(left).value);
    EXPECT_EQ(world->read(0, "session", "right"), world->history().at(right).value);
  });
}

TEST(Split, WhenOneSideOnlyWroteThereIsNoEventAndNothingIsSetAside) {
  for_each_seed(60, [](std::uint64_t seed) {
    Stage world(seed, world_of(3, rule_of(seed)));
    ASSERT_TRUE(start_cluster(*world)) << world->picture();
    load(*world, 20);
    int heard = 0;
    for (NodeIndex index = 0; index < 3; ++index)
      world->node(index).on_cache_event = [&](Now, const cache::CacheEvent& event) {
        heard += event.kind == cache::CacheEvent::Kind::inconsistent_database ? 1 : 0;
      };
    world->cut_into({{0, 1}, {2}});
    world->run_for(4s);
    const NodeIndex writer = seed % 2 == 0 ? 0 : 2;
    for (int key = 0; key < 10; ++key) world->put(writer, "session", "k" + std::to_string(key));
    world->run_for(3s);
    EXPECT_EQ(joined(world->quiet()), "");
    EXPECT_EQ(heard, 0);
    EXPECT_TRUE(journal(*world).empty());
    EXPECT_TRUE(world->read(1, "session", "k3"));
    EXPECT_TRUE(world->read(2, "session", "k3"));
  });
}

TEST(Split, ADeleteOnOneSideBeatsARefreshOnTheOther) {
  for_each_seed(90, [](std::uint64_t seed) {
    Stage world(seed, world_of(2 + seed % 2, rule_of(seed)));
    ASSERT_TRUE(start_cluster(*world)) << world->picture();
    world->put(0, "session", "key");
    world->put(0, "session", "stays");
    world->run_for(3s);
    world->cut_into({{0}});
    world->run_for(seed % 4 == 0 ? 100ms : 4s);
    const bool deletes_first = seed % 2 == 0;
    const NodeIndex deleter = (seed / 2) % 2;
    if (deletes_first) world->remove(deleter, "session", "key");
    world->run_for(500ms);
    world->put(1 - deleter, "session", "key");
    world->touch(1 - deleter, "session", "key", 3600s);
    world->run_for(500ms);
    if (!deletes_first) world->remove(deleter, "session", "key");
    world->run_for(4s);
    EXPECT_EQ(joined(world->quiet()), "");
    for (NodeIndex index = 0; index < world->size(); ++index) {
      EXPECT_FALSE(world->read(index, "session", "key"));
      EXPECT_TRUE(world->read(index, "session", "stays"));
    }
  });
}

TEST(Split, ThreeIslandsEndAlikeInWhateverOrderTheyMeet) {
  for_each_seed(120, [](std::uint64_t seed) {
    Stage world(seed, world_of(3 + seed % 3, rule_of(seed)));
    ASSERT_TRUE(start_cluster(*world)) << world->picture();
    load(*world, 20);
    std::vector<std::vector<NodeIndex>> groups(3);
    for (NodeIndex index = 0; index < world->size(); ++index) groups[index % 3].push_back(index);
    world->cut_into(groups);
    world->run_for(4s);
    drive(*world, 5s);
    world->run_for(6s);
    // Two of them meet first, then all.
    const std::size_t apart = world->random().index(3);
    std::vector<NodeIndex> together;
    for (std::size_t group = 0; group < 3; ++group)
      if (group != apart)
        together.insert(together.end(), groups[group].begin(), groups[group].end());
    world->cut_into({together, groups[apart]});
    drive(*world, 5s);
    world->run_for(world->random().between(0s, 12s));
    EXPECT_EQ(joined(world->quiet()), "");
  });
}

TEST(Split, AHealedClusterHealsTheNextSplit) {
  for_each_seed(60, [](std::uint64_t seed) {
    Stage world(seed, world_of(4, rule_of(seed)));
    ASSERT_TRUE(start_cluster(*world)) << world->picture();
    for (int round = 0; round < 3; ++round) {
      std::vector<std::vector<NodeIndex>> groups(2);
      for (NodeIndex index = 0; index < 4; ++index)
        groups[world->random().index(2)].push_back(index);
      world->cut_into(groups);
      drive(*world, 6s);
      world->run_for(world->random().between(0s, 10s));
      ASSERT_EQ(joined(world->quiet()), "") << "round " << round;
    }
  });
}

TEST(Split, AHealThatIsCutByTheNextSplitIsFinishedLater) {
  for_each_seed(100, [](std::uint64_t seed) {
    Stage world(seed, world_of(4, rule_of(seed)));
    ASSERT_TRUE(start_cluster(*world)) << world->picture();
    load(*world, 100);
    world->cut_into({{0, 1}, {2, 3}});
    drive(*world, 6s, {.gap = 10ms});
    world->run_for(7s);
    world->heal_all();
    world->run_until(
        [&] {
          return !world->node(0).machine()->connected().empty() &&
                 world->node(0).machine()->connected().size() > 1;
        },
        10s, 1ms);
    for (std::uint64_t step = 0; step < seed % 300 * 4; ++step) world->agenda().step();
    world->cut_into({{0, 2}, {1, 3}});
    drive(*world, 5s);
    world->run_for(world->random().between(0s, 8s));
    EXPECT_EQ(joined(world->quiet()), "");
  });
}

TEST(Split, ANodeStartedAloneThatWroteMeetsTheOthers) {
  for_each_seed(90, [](std::uint64_t seed) {
    Stage world(seed, world_of(3, rule_of(seed)));
    ASSERT_TRUE(start_cluster(*world)) << world->picture();
    load(*world, 30);
    for (NodeIndex index = 0; index < 3; ++index) world->crash(index);
    world->run_for(3s);
    const NodeIndex alone = seed % 3;
    world->start(alone);
    world->run_for(5s);
    for (int key = 0; key < 5; ++key) world->put(alone, "session", "alone" + std::to_string(key));
    world->run_for(3s);
    if (seed % 2 == 0) {  // The others run and write, too, without it.
      world->cut_into({{alone}, {(alone + 1) % 3, (alone + 2) % 3}});
      world->start((alone + 1) % 3);
      world->start((alone + 2) % 3);
      world->run_for(5s);
      drive(*world, 2s);
      world->run_for(3s);
    }
    EXPECT_EQ(joined(world->quiet()), "");
  });
}

TEST(Split, TwoClustersThatNeverMetJoinAndTheYoungerRootFollows) {
  for_each_seed(60, [](std::uint64_t seed) {
    Stage world(seed, world_of(4, seed % 2 == 0 ? OnSplit::oldest : OnSplit::merge));
    world->cut_into({{0, 1}, {2, 3}});
    world->start_all();
    world->run_for(5s);
    world->put(0, "session", "left");
    world->run_for(world->random().between(0s, 2s));
    world->put(2, "session", "right");
    world->run_for(3s);
    EXPECT_EQ(joined(world->quiet()), "");
  });
}

TEST(Split, WithoutAHealerTheTablesStayApartAndSayIt) {
  for_each_seed(20, [](std::uint64_t seed) {
    WorldOptions options = world_of(2);
    options.node.with_healer = false;
    Stage world(seed, options);
    ASSERT_TRUE(start_cluster(*world)) << world->picture();
    world->cut(0, 1);
    world->run_for(4s);
    world->put(0, "session", "left");
    world->put(1, "session", "right");
    world->run_for(4s);
    world->heal_all();
    ASSERT_TRUE(world->run_until([&] { return world->meshed(); }, 20s)) << world->picture();
    world->run_for(5s);
    for (NodeIndex index = 0; index < 2; ++index) {
      SimNode& node = world->node(index);
      const auto status = node.cache()->status(node.now());
      ASSERT_EQ(status.size(), 1u);
      EXPECT_EQ(status[0].apart.size(), 1u) << world->picture();
      EXPECT_TRUE(world->read(index, "session", index == 0 ? "left" : "right"));
      EXPECT_FALSE(world->read(index, "session", index == 0 ? "right" : "left"));
    }
  });
}

TEST(Split, APutDuringTheCutIsAnsweredWithinTwoSeconds) {
  for_each_seed(60, [](std::uint64_t seed) {
    Stage world(seed, world_of(3));
    ASSERT_TRUE(start_cluster(*world)) << world->picture();
    load(*world, 10);
    const bool power = seed % 2 == 0;
    if (power)
      world->crash(2, Crash::keep, true);
    else
      world->cut_into({{0, 1}, {2}});
    const std::size_t id = world->put(0, "session", "key");
    world->run_for(2100ms);
    EXPECT_TRUE(world->history().at(id).done());
    EXPECT_EQ(joined(world->quiet()), "");
  });
}

TEST(Split, WhoeverLeavesCutOffAcknowledgesNothingThatOthersLack) {
  for_each_seed(20, [](std::uint64_t seed) {
    Stage world(seed, world_of(3, rule_of(seed)));
    ASSERT_TRUE(start_cluster(*world)) << world->picture();
    load(*world, 10);
    world->cut_into({{0}, {1, 2}});
    const std::size_t id = world->put(0, "session", "key");
    world->run_for(100ms);  // it waits for those that it takes for alive
    EXPECT_FALSE(world->history().at(id).done());
    world->leave(0);
    world->run_for(100ms);
    EXPECT_TRUE(world->history().at(id).applied);
    EXPECT_FALSE(world->history().at(id).acknowledged);
    EXPECT_EQ(joined(world->quiet()), "");
  });
}

TEST(Split, PutsThatWaitWhileTheirLineLosesAreMadeAgainThoughTheLogIsTooShort) {
  for_each_seed(30, [](std::uint64_t seed) {
    WorldOptions options = world_of(5, seed % 2 == 0 ? OnSplit::oldest : OnSplit::largest);
    options.node.tables.front().writes = cache::Acknowledge::majority;
    options.node.cache.log_bytes = 2000;
    Stage world(seed, options);
    ASSERT_TRUE(start_cluster(*world)) << world->picture();
    load(*world, 10);
    world->cut_into({{0, 1}, {2, 3, 4}});
    world->run_for(4s);
    drive(*world, 5s, {.gap = 5ms, .unique = 1});
    world->run_for(1s);
    world->heal_all();
    EXPECT_EQ(joined(world->quiet()), "");
  });
}

}  // namespace
}  // namespace muster::lab
