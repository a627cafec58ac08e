// SPDX-License-Identifier: MIT
//
// Splits of every shape under every policy: who wins, what is set aside, and that nothing of it
// depends on who is cut off or crashes in the middle.
#include <algorithm>
#include <charconv>
#include <chrono>
#include <set>
#include <string>

#include "muster/unsplit/merge_functions.h"
#include "scenario.h"

namespace muster::lab {
namespace {

using namespace std::chrono_literals;
using cache::OnSplit;
using Kind = cache::CacheEvent::Kind;

constexpr OnSplit policies[] = {OnSplit::oldest, OnSplit::merge, OnSplit::largest,
                                OnSplit::majority, OnSplit::custom};

/// Values are "v" and the number of the operation: what was written later wins.
std::optional<std::uint64_t> number_of(std::string_view value) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(value.data() + 1, value.data() + value.size(), number);
  if (error != std::errc()) return std::nullopt;
  return number;
}

WorldOptions split_world(std::size_t nodes, OnSplit policy) {
  WorldOptions options = world_of(nodes, policy);
  options.node.unsplit.merge_functions["session"] = unsplit::newest_by(number_of);
  return options;
}

std::vector<std::vector<NodeIndex>> random_islands(World& world) {
  std::vector<std::vector<NodeIndex>> islands(2 + world.random().below(3));
  for (NodeIndex index = 0; index < world.size(); ++index)
    islands[world.random().index(islands.size())].push_back(index);
  return islands;
}

/// Counts what all nodes report.
std::size_t& count_events(World& world, Kind kind, std::size_t& count) {
  for (NodeIndex index = 0; index < world.size(); ++index)
    world.node(index).on_cache_event = [&count, kind](Now, const cache::CacheEvent& event) {
      if (event.kind == kind) ++count;
    };
  return count;
}

// ---- every policy

void splits_of_every_shape(std::uint64_t seed) {
  WorldOptions options = split_world(2 + seed % 6, policies[seed % 5]);
  if (seed % 4 == 0) options.quality = {.delay = 5ms, .jitter = 10ms, .loss = 0.01};
  Stage world(seed, options);
  Random& random = world->random();
  for (NodeIndex index = 0; index < world->size(); ++index)
    world->network().skew(world->node(index).host(), random.between(-300ms, 300ms));
  ASSERT_TRUE(start_cluster(*world)) << world->picture();
  load(*world, 20);
  for (int split = 0; split < 3; ++split) {
    world->cut_into(random_islands(*world));
    drive(*world, 5s);
    world->run_for(random.between(100ms, 7s));
    world->heal_all();
    world->run_for(random.between(0ms, 1500ms));  // The next one may cut the heal off,
    const NodeIndex crashes = random.index(world->size());
    if (random.chance(0.4)) {  // or one of those that heal dies of it.
      world->crash(crashes);
      world->run_for(random.between(0ms, 2s));
      world->start(crashes);
    }
  }
  EXPECT_EQ(joined(world->quiet()), "");
}

TEST(UnsplitWorlds, EveryPolicyKeepsItsPromisesInSplitsOfEveryShape) {
  for_each_seed(60, splits_of_every_shape, "MUSTER_SEEDS", {230, 262});
}

// What it found: a put that one side had made to what the other had deleted came when all had
// forgotten the delete, and the origin of the create before it: it was taken for a new key.
TEST(UnsplitWorlds, ALatePutDoesNotReviveWhatAllHaveDeleted) { splits_of_every_shape(443); }

TEST(UnsplitWorlds, EveryNodeNamesTheSameWinner) {
  for_each_seed(20, [](std::uint64_t seed) {
    constexpr OnSplit ways[] = {OnSplit::oldest, OnSplit::largest, OnSplit::custom};
    Stage world(seed, split_world(3 + seed % 5, ways[seed % 3]));
    ASSERT_TRUE(start_cluster(*world)) << world->picture();
    load(*world, 10);
    std::vector<std::vector<NodeIndex>> sides(2);
    for (NodeIndex index = 0; index < world->size(); ++index) sides[index % 2].push_back(index);
    world->cut_into(sides);
    world->run_for(4s);
    for (const auto& side : sides) world->put(side.back(), "session", "key");
    world->run_for(3s);
    std::set<std::string> winners;
    std::size_t heals = 0;
    for (NodeIndex index = 0; index < world->size(); ++index)
      world->node(index).on_heal = [&](Now, const unsplit::Heal& heal) {
        ++heals;
        winners.insert(heal.winner);
      };
    EXPECT_EQ(joined(world->quiet()), "");
    EXPECT_EQ(winners.size(), 1u) << joined({winners.begin(), winners.end()});
    EXPECT_GE(heals, world->size() / 2);
  });
}

TEST(UnsplitWorlds, UnderLargestTheLargerSideWinsAlsoWhenItIsTheYounger) {
  for_each_seed(10, [](std::uint64_t seed) {
    Stage world(seed, split_world(4, OnSplit::largest));
    ASSERT_TRUE(start_cluster(*world)) << world->picture();
    load(*world, 10);
    const NodeIndex oldest = oldest_of(*world);
    std::vector<NodeIndex> others;
    for (NodeIndex index = 0; index < 4; ++index)
      if (index != oldest) others.push_back(index);
    world->cut_into({{oldest}, others});
    world->run_for(4s);
    const std::size_t aside = world->put(oldest, "session", "key");
    const std::size_t kept = world->put(others[seed % 3], "session", "key");
    world->run_for(3s);
    EXPECT_EQ(joined(world->quiet()), "");
    EXPECT_EQ(world->read(oldest, "session", "key"), world->history().at(kept).value);
    EXPECT_EQ(journal(*world), std::set<std::string>{world->history().at(aside).value});
  });
}

TEST(UnsplitWorlds, UnderMajorityTheSmallerIslandIsReadOnlyAndNothingIsSetAside) {
  for_each_seed(20, [](std::uint64_t seed) {
    const std::size_t nodes = 3 + seed % 4;
    Stage world(seed, split_world(nodes, OnSplit::majority));
    ASSERT_TRUE(start_cluster(*world)) << world->picture();
    const std::size_t before = world->put(0, "session", "before");
    world->run_for(2s);
    std::size_t forks = 0;
    count_events(*world, Kind::inconsistent_database, forks);
    std::vector<std::vector<NodeIndex>> sides(2);
    for (NodeIndex index = 0; index < nodes; ++index)
      sides[index <= nodes / 2 ? 0 : 1].push_back(index);
    world->cut_into(sides);
    world->run_for(4s);
    const NodeIndex minor = sides[1].front();
    const std::size_t refused = world->put(minor, "session", "key");
    const std::size_t removal = world->remove(minor, "session", "before");
    const std::size_t kept = world->put(sides[0].back(), "session", "key");
    world->run_for(3s);
    EXPECT_NE(world->history().at(refused).error.find("no majority"), std::string::npos);
    EXPECT_NE(world->history().at(removal).error.find("no majority"), std::string::npos);
    EXPECT_TRUE(world->history().at(kept).acknowledged);
    EXPECT_EQ(world->read(minor, "session", "before"), world->history().at(before).value);
    const auto status = [&](NodeIndex index) {
      return world->node(index).cache()->status(world->node(index).now()).front();
    };
    EXPECT_NE(status(minor).refuses_writes.find("no majority"), std::string::npos);
    EXPECT_EQ(status(sides[0].back()).refuses_writes, "");
    EXPECT_EQ(joined(world->quiet()), "");
    EXPECT_EQ(status(minor).refuses_writes, "");
    EXPECT_EQ(forks, 0u);
    EXPECT_TRUE(journal(*world).empty());
  });
}

// ---- what is no split

TEST(UnsplitWorlds, ACutShorterThanTheDeadlineIsNoSplit) {
  for_each_seed(30, [](std::uint64_t seed) {
    Stage world(seed, split_world(2 + seed % 3, policies[seed % 3]));
    ASSERT_TRUE(start_cluster(*world)) << world->picture();
    load(*world, 10);
    std::size_t forks = 0;
    count_events(*world, Kind::inconsistent_database, forks);
    for (int cut = 0; cut < 3; ++cut) {
      world->cut_into({{0}});
      world->put(0, "session", "left" + std::to_string(cut));
      world->put(1, "session", "right" + std::to_string(cut));
      world->run_for(world->random().between(50ms, 700ms));
      world->heal_all();
      world->run_for(3s);
    }
    EXPECT_EQ(joined(world->quiet()), "");
    EXPECT_EQ(forks, 0u);
    EXPECT_TRUE(world->read(1, "session", "left2"));
    EXPECT_TRUE(world->read(0, "session", "right2"));
  });
}

TEST(UnsplitWorlds, OneWayAndPartialLinksAreNoSplit) {
  for_each_seed(30, [](std::uint64_t seed) {
    Stage world(seed, split_world(3, policies[seed % 3]));
    ASSERT_TRUE(start_cluster(*world)) << world->picture();
    load(*world, 10);
    std::size_t forks = 0;
    count_events(*world, Kind::inconsistent_database, forks);
    for (int flap = 0; flap < 4; ++flap) {  // Node 1 sees both all the while.
      if (seed % 2 == 0)
        world->cut(0, 2);
      else
        world->network().cut_one_way(world->node(0).host(), world->node(2).host());
      world->put(0, "session", "hot");
      world->put(2, "session", "hot");
      world->run_for(world->random().between(500ms, 5s));
      world->put(0, "session", "left" + std::to_string(flap));
      world->put(2, "session", "right" + std::to_string(flap));
      world->run_for(world->random().between(0ms, 3s));
      world->heal_all();
      world->run_for(world->random().between(0ms, 3s));
    }
    EXPECT_EQ(joined(world->quiet()), "");
    EXPECT_EQ(forks, 0u);
    EXPECT_TRUE(journal(*world).empty());
    for (NodeIndex index = 0; index < 3; ++index) {
      EXPECT_TRUE(world->read(index, "session", "left3"));
      EXPECT_TRUE(world->read(index, "session", "right3"));
    }
  });
}

TEST(UnsplitWorlds, TablesThatStayApartSaySoOnceHoweverOftenTheyMeet) {
  for_each_seed(10, [](std::uint64_t seed) {
    WorldOptions options = split_world(2, seed % 2 == 0 ? OnSplit::none : OnSplit::oldest);
    options.node.with_healer = seed % 2 == 0;
    Stage world(seed, options);
    ASSERT_TRUE(start_cluster(*world)) << world->picture();
    world->put(0, "session", "before");
    world->run_for(2s);
    std::size_t apart = 0;
    count_events(*world, Kind::apart, apart);
    for (int round = 0; round < 3; ++round) {
      world->cut(0, 1);
      world->run_for(4s);
      world->put(0, "session", "left");
      world->put(1, "session", "right");
      world->run_for(3s);
      world->heal_all();
      ASSERT_TRUE(world->run_until([&] { return world->meshed(); }, 20s)) << world->picture();
      world->run_for(2s);
    }
    EXPECT_EQ(apart, 2u);  // Once on each.
    for (NodeIndex index = 0; index < 2; ++index) {
      SimNode& node = world->node(index);
      EXPECT_EQ(node.cache()->status(node.now()).front().apart.size(), 1u);
      EXPECT_EQ(node.cache()->status(node.now()).front().splits, 1u);
      if (options.node.with_healer) {
        EXPECT_EQ(node.healer()->heals().size(), 1u);
        EXPECT_EQ(node.healer()->totals().at("session").refusals, 1u);
      }
    }
    world->remove(0, "session", "before");  // Deletes flow all the same.
    world->run_for(2s);
    EXPECT_FALSE(world->read(1, "session", "before"));
  });
}

// ---- custom merge functions

void put_value(World& world, NodeIndex index, const std::string& key, const std::string& value) {
  world.node(index).turn([&world, index, key, value](Now at) {
    cache::Write write;
    write.puts.push_back({.key = cache::Key(key), .value = value, .ttl = 3600s});
    world.node(index).cache()->write(at, "session", std::move(write), {},
                                     [](Now, const Result<cache::Written>&) {});
  });
}

WorldOptions union_world(std::size_t nodes) {
  WorldOptions options = world_of(nodes, OnSplit::custom);
  options.node.unsplit.merge_functions["session"] = unsplit::set_union(',');
  return options;
}

TEST(UnsplitWorlds, ACustomFunctionSettlesTheKeysThatBothSidesChanged) {
  for_each_seed(30, [](std::uint64_t seed) {
    const std::size_t nodes = 2 + seed % 4;
    Stage world(seed, union_world(nodes));
    ASSERT_TRUE(start_cluster(*world)) << world->picture();
    for (const char* key : {"both", "winner", "loser", "deleted"})
      put_value(*world, 0, key, "book,pen");
    world->run_for(3s);
    std::vector<std::vector<NodeIndex>> sides(2);
    for (NodeIndex index = 0; index < nodes; ++index) sides[index % 2].push_back(index);
    const NodeIndex oldest = oldest_of(*world);
    const NodeIndex winner = sides[oldest % 2].back(), loser = sides[1 - oldest % 2].back();
    world->cut_into(sides);
    world->run_for(4s);
    put_value(*world, winner, "both", "book,lamp");  // The pen is taken out on both sides.
    put_value(*world, loser, "both", "book,clock");
    put_value(*world, winner, "winner", "book");
    put_value(*world, loser, "loser", "pen");
    put_value(*world, loser, "new", "cup");
    put_value(*world, loser, "deleted", "book,pen,sock");
    world->remove(winner, "session", "deleted");
    world->run_for(3s);
    world->heal_all();
    ASSERT_TRUE(world->run_until(
        [&] { return world->converged() && world->read(winner, "session", "new") == "cup"; }, 20s))
        << world->picture();
    world->run_for(3s);
    EXPECT_TRUE(world->converged()) << world->picture();
    for (NodeIndex index = 0; index < nodes; ++index) {
      EXPECT_EQ(world->read(index, "session", "both"), "book,clock,lamp");
      EXPECT_EQ(world->read(index, "session", "winner"), "book");
      EXPECT_EQ(world->read(index, "session", "loser"), "pen");
      EXPECT_FALSE(world->read(index, "session", "deleted"));
    }
  });
}

TEST(UnsplitWorlds, WhoeverCrashesBeforeItHasMergedDoesSoWhenItIsBack) {
  for_each_seed(20, [](std::uint64_t seed) {
    Stage world(seed, union_world(3));
    ASSERT_TRUE(start_cluster(*world)) << world->picture();
    put_value(*world, 0, "key", "book");
    world->run_for(3s);
    const NodeIndex winner = oldest_of(*world), loser = (winner + 1) % 3;
    world->cut_into({{winner, (winner + 2) % 3}, {loser}});
    world->run_for(4s);
    put_value(*world, winner, "key", "book,lamp");
    put_value(*world, loser, "key", "book,clock");
    world->run_for(3s);
    world->heal_all();
    const auto lost = [&] { return !journal(*world).empty(); };
    ASSERT_TRUE(world->run_until(lost, 20s, 1ms)) << world->picture();
    world->run_for(world->random().between(0ms, 30ms));  // Until its disk has it, or not yet.
    world->crash(loser);
    world->run_for(2s);
    world->start(loser);
    const auto merged = [&] {
      return world->converged() && world->read(winner, "session", "key") == "book,clock,lamp";
    };
    EXPECT_TRUE(world->run_until(merged, 30s)) << world->picture();
  });
}

TEST(UnsplitWorlds, AFunctionThatThrowsLeavesTheValueInTheJournalWithTheReason) {
  for_each_seed(5, [](std::uint64_t seed) {
    WorldOptions options = union_world(2);
    options.node.unsplit.merge_functions["session"] =
        [](const unsplit::MergeConflict&) -> std::optional<std::string> {
      throw std::runtime_error("no idea");
    };
    Stage world(seed, options);
    ASSERT_TRUE(start_cluster(*world)) << world->picture();
    put_value(*world, 0, "key", "book");
    world->run_for(3s);
    const NodeIndex winner = oldest_of(*world), loser = 1 - winner;
    world->cut(0, 1);
    world->run_for(4s);
    put_value(*world, winner, "key", "lamp");
    put_value(*world, loser, "key", "clock");
    world->run_for(3s);
    world->heal_all();
    ASSERT_TRUE(world->run_until([&] { return world->converged(); }, 20s)) << world->picture();
    world->run_for(3s);
    EXPECT_EQ(world->read(loser, "session", "key"), "lamp");
    const auto records = world->node(loser).healer()->journal("session");
    ASSERT_EQ(records.size(), 1u);
    EXPECT_EQ(records[0].value, "clock");
    EXPECT_FALSE(records[0].to_merge);
    EXPECT_NE(records[0].why.find("no idea"), std::string::npos) << records[0].why;
  });
}

// ---- who comes and goes

TEST(UnsplitWorlds, ANodeThatJoinsDuringAHealEndsRight) {
  for_each_seed(30, [](std::uint64_t seed) {
    Stage world(seed, split_world(5, policies[seed % 5]));
    for (NodeIndex index = 0; index < 4; ++index) world->start(index);
    ASSERT_TRUE(world->run_until([&] { return world->converged(); }, 10s)) << world->picture();
    load(*world, 20);
    world->cut_into({{0, 1, 4}, {2, 3}});
    drive(*world, 6s);
    world->run_for(7s);
    if (seed % 3 == 0) world->start(4);
    world->heal_all();
    world->run_for(world->random().between(0ms, 1s));
    if (seed % 3 != 0) world->start(4);
    drive(*world, 3s);
    EXPECT_EQ(joined(world->quiet()), "");
  });
}

TEST(UnsplitWorlds, AHealedNodeBootsAloneAndHearsTheNextSplit) {
  for_each_seed(20, [](std::uint64_t seed) {
    Stage world(seed, split_world(2, policies[seed % 3]));
    ASSERT_TRUE(start_cluster(*world)) << world->picture();
    const NodeIndex loser = 1 - oldest_of(*world);
    const std::string kept = loser == 0 ? "right0" : "left0";
    for (int round = 0; round < 2; ++round) {
      world->cut(0, 1);
      world->run_for(4s);
      world->put(0, "session", "left" + std::to_string(round));
      world->put(1, "session", "right" + std::to_string(round));
      world->run_for(3s);
      std::size_t forks = 0;
      count_events(*world, Kind::inconsistent_database, forks);
      EXPECT_EQ(joined(world->quiet()), "") << "round " << round;
      EXPECT_EQ(forks, 2u);
      for (NodeIndex index = 0; index < 2; ++index) world->node(index).on_cache_event = nullptr;
      world->crash(0);
      world->crash(1);
      world->run_for(3s);
      world->start(loser);
      const auto serves = [&] {
        const auto* cache = world->node(loser).cache();
        return cache != nullptr && cache->ready() && world->read(loser, "session", kept);
      };
      EXPECT_TRUE(world->run_until(serves, 10s)) << world->picture();
      world->start(1 - loser);
      EXPECT_EQ(joined(world->quiet()), "") << "round " << round;
    }
  });
}

TEST(UnsplitWorlds, ClustersOfAnySizeThatNeverMetJoinAndTheYoungerRootFollows) {
  for_each_seed(30, [](std::uint64_t seed) {
    const std::size_t left = 1 + seed % 3, right = 1 + (seed / 3) % 4;
    constexpr OnSplit ways[] = {OnSplit::oldest, OnSplit::merge, OnSplit::largest};
    Stage world(seed, split_world(left + right, ways[seed % 3]));
    std::vector<std::vector<NodeIndex>> sides(2);
    for (NodeIndex index = 0; index < left + right; ++index)
      sides[index < left ? 0 : 1].push_back(index);
    world->cut_into(sides);
    world->start_all();
    world->run_for(5s);
    const std::size_t older = world->put(0, "session", "key");
    const std::size_t of_older = world->put(0, "session", "left");
    world->run_for(1s);
    const std::size_t younger = world->put(left, "session", "key");
    const std::size_t of_younger = world->put(left, "session", "right");
    world->run_for(3s);
    EXPECT_EQ(joined(world->quiet()), "");
    const bool merges = ways[seed % 3] == OnSplit::merge;
    for (NodeIndex index = 0; index < left + right; ++index) {
      EXPECT_EQ(world->read(index, "session", "left"), world->history().at(of_older).value);
      EXPECT_EQ(world->read(index, "session", "key"),
                world->history().at(merges ? younger : older).value);
      EXPECT_EQ(world->read(index, "session", "right").has_value(), merges);
    }
    const std::set<std::string> expected =
        merges ? std::set<std::string>{world->history().at(older).value}
               : std::set<std::string>{world->history().at(younger).value,
                                       world->history().at(of_younger).value};
    EXPECT_EQ(journal(*world), expected);
  });
}

TEST(UnsplitWorlds, AStartingNodeIsNeverTakenForAnEmptyCluster) {
  for_each_seed(60, [](std::uint64_t seed) {
    Stage world(seed, split_world(2 + seed % 2, OnSplit::oldest));
    world->start(0);  // The old one, with all sessions.
    world->run_for(3s);
    std::vector<std::size_t> puts;
    for (int key = 0; key < 10; ++key)
      puts.push_back(world->put(0, "session", "user" + std::to_string(key)));
    world->run_for(2s);
    if (seed % 3 == 0) world->crash(0);  // Both start at once, or the new one alone.
    world->run_for(1s);
    world->start(1);
    world->run_for(world->random().between(0ms, 1200ms));
    if (seed % 3 == 0) world->start(0);
    if (seed % 4 == 0) world->put(1, "session", "of the new one");
    EXPECT_EQ(joined(world->quiet()), "");
    for (const std::size_t put : puts)
      EXPECT_EQ(world->read(1, "session", "user" + std::to_string(put - puts[0])),
                world->history().at(put).value);
  });
}

}  // namespace
}  // namespace muster::lab
