// SPDX-License-Identifier: MIT
//
// Islands that both wrote, and how they become one again: by `oldest`, by `merge`, or not at all.
#include <gmock/gmock.h>

#include "cache/cache_world.h"

namespace muster::cache::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;
using Kind = CacheEvent::Kind;

TableDefinition session(OnSplit on_split) {
  TableDefinition definition;
  definition.on_split = on_split;
  return definition;
}

void expect_equal(World& world, const std::vector<std::string>& names,
                  const std::string& table = "session") {
  for (const std::string& name : names) {
    EXPECT_TRUE(world.at(name).machine->ready())
        << name << ": " << world.status(name, table).detail;
    EXPECT_EQ(world.content(names.front(), table), world.content(name, table)) << name;
    EXPECT_EQ(world.status(names.front(), table).digest, world.status(name, table).digest) << name;
    EXPECT_EQ(world.status(names.front(), table).path, world.status(name, table).path) << name;
    EXPECT_THAT(world.status(name, table).apart, IsEmpty());
    EXPECT_EQ(world.events(name, Kind::alarm), 0) << name;
  }
}

TEST(Split, UnderOldestTheYoungerSidesWritesAreSetAsideInItsJournal) {
  World world;
  for (const char* name : {"a", "b"}) world.start(name, {session(OnSplit::oldest)});
  world.settle();
  world.put("a", "key_1", "value").value();
  world.put("a", "logged_out", "value").value();
  world.cut("a", "b");
  world.put("a", "key_1", "a").value();
  world.put("a", "key_1_a", "a").value();
  world.put("b", "key_1", "b").value();
  world.put("b", "key_1_b", "b").value();
  world.erase("b", "logged_out").value();
  EXPECT_EQ(world.get("a", "key_1"), "a");
  EXPECT_EQ(world.get("b", "key_1"), "b");
  world.link("a", "b");
  world.settle();
  expect_equal(world, {"a", "b"});
  EXPECT_EQ(world.content("b"), "key_1=a key_1_a=a ");  // the loser's delete holds
  EXPECT_EQ(world.events("a", Kind::inconsistent_database), 1);
  EXPECT_EQ(world.events("b", Kind::inconsistent_database), 1);
  EXPECT_EQ(world.events("a", Kind::healed), 1);
  EXPECT_EQ(world.events("b", Kind::healed), 1);
  EXPECT_THAT(world.at("b").healer.aside, UnorderedElementsAre("key_1=b", "key_1_b=b"));
  EXPECT_EQ(world.journal("b"), 2u);
  EXPECT_EQ(world.journal("a"), 0u);
  // and the next split is heard
  world.cut("a", "b");
  world.put("a", "k", "a").value();
  world.put("b", "k", "b").value();
  world.link("a", "b");
  world.settle();
  expect_equal(world, {"a", "b"});
  EXPECT_EQ(world.events("a", Kind::inconsistent_database), 2);
  EXPECT_EQ(world.get("b", "k"), "a");
}

TEST(Split, IfOnlyOneSideWroteTheOtherFollowsWithoutAnEvent) {
  for (const char* writer : {"a", "b"}) {
    World world;
    for (const char* name : {"a", "b"}) world.start(name, {session(OnSplit::oldest)});
    world.settle();
    world.put("a", "k", "0").value();
    world.cut("a", "b");
    world.put(writer, "k", "1").value();
    world.put(writer, "k2", "1").value();
    world.link("a", "b");
    world.settle();
    expect_equal(world, {"a", "b"});
    EXPECT_EQ(world.content("a"), "k=1 k2=1 ");
    for (const char* name : {"a", "b"})
      EXPECT_EQ(world.events(name, Kind::inconsistent_database), 0);
  }
}

TEST(Split, UnderMergeNoKeyIsLostAndTheNewerOfTwoValuesStays) {
  World world;
  for (const char* name : {"a", "b"}) world.start(name, {session(OnSplit::merge)});
  world.settle();
  world.put("a", "key", "0").value();
  world.put("a", "only_a_renews", "0").value();
  world.cut("a", "b");
  world.put("b", "key", "b").value();
  world.put("b", "b", "b").value();
  world.run(10ms);
  world.put("a", "key", "a").value();
  world.put("a", "a", "a").value();
  world.put("a", "only_a_renews", "1").value();
  world.link("a", "b");
  world.settle();
  expect_equal(world, {"a", "b"});
  EXPECT_EQ(world.content("a"), "a=a b=b key=a only_a_renews=1 ");
  EXPECT_EQ(world.journal("a") + world.journal("b"), 2u);  // "b", of "key", on each
  EXPECT_THAT(world.at("a").healer.aside, ElementsAre("key=b"));
  EXPECT_THAT(world.at("b").healer.aside, ElementsAre("key=b"));
}

TEST(Split, ThreeIslandsHealPairwiseInAnyOrder) {
  for (const OnSplit policy : {OnSplit::oldest, OnSplit::merge}) {
    for (std::uint64_t seed = 1; seed <= 25; ++seed) {
      SCOPED_TRACE(seed);
      World world(seed);
      const std::vector<std::string> names{"a", "b", "c", "d", "e"};
      for (const std::string& name : names) world.start(name, {session(policy)});
      world.settle();
      world.put("a", "k", "0").value();
      world.split({{"a", "e"}, {"b", "d"}, {"c"}});
      for (const std::string& name : names) {
        world.put(name, "k", name).value();
        world.put(name, "of_" + name, "1").value();
      }
      std::vector<std::string> order = names;
      std::shuffle(order.begin(), order.end(), world.random);
      for (const std::string& one : order) {
        for (const std::string& two : order) {
          if (one < two) world.link(one, two);
          if (world.random() % 2 == 0) world.run(50ms);
        }
      }
      world.settle();
      expect_equal(world, names);
      const std::string expected = policy == OnSplit::oldest
                                       ? "k=e of_a=1 of_e=1 "
                                       : "k=e of_a=1 of_b=1 of_c=1 of_d=1 of_e=1 ";
      EXPECT_EQ(world.content("a"), expected);
    }
  }
}

TEST(Split, UnderOldestTheJournalIsExactlyTheMissingWrites) {
  for (std::uint64_t seed = 1; seed <= 25; ++seed) {
    SCOPED_TRACE(seed);
    World world(seed);
    const std::vector<std::string> names{"a", "b", "c", "d"};
    for (const std::string& name : names) world.start(name, {session(OnSplit::oldest)});
    world.settle();
    for (int i = 0; i < 5; ++i) world.put("a", "k" + std::to_string(i), "0").value();
    world.split({{"a", "b"}, {"c", "d"}});
    std::map<std::string, std::string> lost;
    for (int i = 0; i < 30; ++i) {
      const std::string& node = names[world.random() % 4];
      const std::string key = "k" + std::to_string(world.random() % 10);
      ASSERT_TRUE(world.put(node, key, std::to_string(i)).value().acknowledged);
      if (node >= "c") lost[key] = std::to_string(i);
    }
    world.heal();
    world.settle();
    expect_equal(world, names);
    std::set<std::string> expected;
    for (const auto& [key, value] : lost) expected.insert(key + "=" + value);
    for (const char* name : {"c", "d"}) {
      const auto& aside = world.at(name).healer.aside;
      EXPECT_EQ(std::set<std::string>(aside.begin(), aside.end()), expected) << name;
      EXPECT_EQ(world.journal(name), expected.size());
    }
    EXPECT_EQ(world.journal("a") + world.journal("b"), 0u);
  }
}

TEST(Split, WithoutAHealerTheTablesStayApartButDeletesAndOtherTablesFlow) {
  World world;
  TableDefinition other{.name = "other"};
  for (const char* name : {"a", "b"}) world.start(name, {TableDefinition{}, other}, false);
  world.settle();
  world.put("a", "k", "0").value();
  world.put("a", "out", "0").value();
  world.cut("a", "b");
  world.put("a", "k", "a").value();
  world.put("b", "k", "b").value();
  world.link("a", "b");
  world.settle();
  EXPECT_EQ(world.status("a").apart.size(), 1u);
  EXPECT_EQ(world.status("b").apart.size(), 1u);
  EXPECT_EQ(world.events("a", Kind::apart), 1);
  EXPECT_EQ(world.get("a", "k"), "a");
  EXPECT_EQ(world.get("b", "k"), "b");
  EXPECT_TRUE(world.put("a", "later", "a").value().acknowledged);
  world.erase("b", "out").value();
  Write write;
  write.puts.push_back({.key = Key("o"), .value = "1"});
  EXPECT_TRUE(world.write("a", write, {}, "other").value().everywhere);
  world.settle();
  EXPECT_EQ(world.local("b", "later"), "-");
  EXPECT_EQ(world.local("a", "out"), "-");
  EXPECT_EQ(world.local("b", "o", "other"), "1");
}

TEST(Split, ASharedTableThatMayNotBeFlushedStaysApartUntilItMay) {
  World world;
  const std::vector<TableDefinition> tables{TableDefinition{}, TableDefinition{.name = "shared"}};
  for (const char* name : {"a", "b"}) world.start(name, tables);
  const auto flush = [&](bool all, std::set<std::string> names) {
    for (const char* name : {"a", "b"}) {
      world.at(name).healer.flush_all = all;
      world.at(name).healer.flush = names;
    }
  };
  const auto split_and_write = [&] {
    world.cut("a", "b");
    for (const char* name : {"a", "b"}) {
      Write write;
      write.puts.push_back({.key = Key("k"), .value = name});
      world.write(name, write, {}, "shared").value();
      world.put(name, "k", name).value();
    }
    world.link("a", "b");
    world.settle();
  };
  world.settle();
  flush(false, {});
  split_and_write();
  EXPECT_EQ(world.status("b", "shared").apart.size(), 1u);
  EXPECT_EQ(world.get("b", "k", "shared"), "b");
  EXPECT_EQ(world.get("b", "k"), "a");
  flush(false, {"unrelated"});
  split_and_write();
  EXPECT_EQ(world.status("b", "shared").apart.size(), 1u);
  flush(false, {"shared"});
  split_and_write();
  expect_equal(world, {"a", "b"}, "shared");
  EXPECT_EQ(world.get("b", "k", "shared"), "a");
  flush(true, {});
  split_and_write();
  expect_equal(world, {"a", "b"}, "shared");
}

TEST(Split, AStartingNodeWithAnOldDiskThatWroteAloneComesOver) {
  World world;
  for (const char* name : {"a", "b"}) world.start(name, {session(OnSplit::oldest)});
  world.settle();
  world.put("a", "k", "0").value();
  world.settle();
  world.cut("a", "b");
  world.put("b", "k", "b").value();
  world.put("a", "k", "a").value();
  world.settle();
  world.crash("b");
  world.start("b", {session(OnSplit::oldest)});
  world.settle();
  EXPECT_EQ(world.get("b", "k"), "b");
  world.heal();
  world.settle();
  expect_equal(world, {"a", "b"});
  EXPECT_EQ(world.get("b", "k"), "a");
  EXPECT_THAT(world.at("b").healer.aside, ElementsAre("k=b"));
  // the journal and the new line are on its disk
  world.crash("b");
  world.start("b", {session(OnSplit::oldest)});
  world.settle();
  EXPECT_EQ(world.journal("b"), 1u);
  expect_equal(world, {"a", "b"});
}

TEST(Split, ClustersThatNeverMetJoinUnderTheOlderRoot) {
  World world;
  world.cut("a", "b");
  for (const char* name : {"a", "b"}) world.start(name, {session(OnSplit::merge)});
  world.settle();
  world.put("a", "of_a", "1").value();
  world.put("b", "of_b", "1").value();
  world.heal();
  world.settle();
  expect_equal(world, {"a", "b"});
  EXPECT_EQ(world.content("a"), "of_a=1 of_b=1 ");
}

TEST(Split, AnUnacknowledgedPutOfTheLosingSideIsPutAgain) {
  World world;
  for (const char* name : {"a", "b", "c"}) world.start(name, {session(OnSplit::oldest)});
  world.settle();
  world.put("a", "k", "0").value();
  world.split({{"a"}, {"b", "c"}});
  world.put("a", "x", "a").value();
  world.put("b", "y", "b").value();
  world.freeze("c", true);
  std::optional<Result<Written>> result;
  Write write;
  write.puts.push_back({.key = Key("mine"), .value = "again"});
  world.at("b").machine->write(world.now(), "session", write, {},
                               [&](Now, Result<Written> written) { result = written; });
  world.at("b").machine->flush(world.now());
  world.run(10ms);
  EXPECT_FALSE(result);
  world.link("a", "b");
  world.run(100ms);
  world.freeze("c", false);
  world.heal();
  world.settle();
  ASSERT_TRUE(result && *result);
  expect_equal(world, {"a", "b", "c"});
  EXPECT_EQ(world.content("a"), "k=0 mine=again x=a ");
}

// Cuts, crashes, joins and writes at random; then quiet, and everything must be equal.
class SplitRandom : public ::testing::TestWithParam<int> {};

TEST_P(SplitRandom, WorldsEndUpEqual) {
  const std::uint64_t first = static_cast<std::uint64_t>(GetParam()) * 40;
  for (std::uint64_t seed = first; seed < first + 40; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    World world(seed);
    const bool merge = world.random() % 2 == 0;
    world.cache_options.log_bytes = world.random() % 3 == 0 ? 1000 : 1 << 20;
    const auto tables = std::vector{session(merge ? OnSplit::merge : OnSplit::oldest)};
    std::vector<std::string> names{"a", "b", "c"};
    if (world.random() % 2 == 0) names.push_back("d");
    for (const std::string& name : names) {
      world.start(name, tables);
      world.skew[name] = std::chrono::milliseconds(world.random() % 400) - 200ms;
    }
    if (world.random() % 2 == 0) world.settle();
    std::set<std::string> down;
    std::set<std::string> deleted, created;
    int serial = 0;
    const auto up = [&] {
      std::vector<std::string> alive;
      for (const std::string& name : names) {
        if (!down.contains(name)) alive.push_back(name);
      }
      return alive;
    };
    for (int step = 0; step < 60; ++step) {
      const auto alive = up();
      const int what = static_cast<int>(world.random() % 20);
      if (!alive.empty()) {
        const std::string& node = alive[world.random() % alive.size()];
        auto& machine = *world.at(node).machine;
        const std::string key = "k" + std::to_string(world.random() % 5);
        if (what < 8) {
          Write write;
          write.puts.push_back({.key = Key(key), .value = node + std::to_string(serial++)});
          machine.write(world.now(), "session", write, {}, [](Now, const Result<Written>&) {});
        } else if (what < 10) {
          Write write;
          write.deletes.push_back(Key(key));
          machine.write(world.now(), "session", write, {}, [](Now, const Result<Written>&) {});
        } else if (what < 11) {
          machine.touch(world.now(), "session", Key(key), 3s, {},
                        [](Now, const Result<Written>&) {});
        } else if (what < 13) {
          const std::string& other = names[world.random() % names.size()];
          if (other != node) world.cut(node, other);
        } else if (what < 14) {
          world.heal();
        } else if (what < 15 && alive.size() > 1) {
          world.crash(node);
          down.insert(node);
        }
        if (!down.contains(node)) machine.flush(world.now());
      }
      if (what == 15 && !down.empty()) {
        world.start(*down.begin(), tables);
        down.erase(down.begin());
      }
      for (int i = 0; i < 6; ++i) world.step();
      if (what >= 16) world.run(std::chrono::milliseconds(world.random() % 1200));
    }
    world.heal();
    for (const std::string& name : down) world.start(name, tables);
    world.run(15s);
    expect_equal(world, names);
    if (::testing::Test::HasFailure()) FAIL() << "stopped at seed " << seed << world.picture();
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, SplitRandom, ::testing::Range(0, 10));

}  // namespace
}  // namespace muster::cache::testing
