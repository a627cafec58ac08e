// SPDX-License-Identifier: MIT
//
// What a table is, is decided once: it spreads to those that never named it and replaces what a
// joiner thought.
#include <gmock/gmock.h>

#include <chrono>

#include "cache_world.h"

namespace muster::cache {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::World;

TableDefinition jobs() {
  TableDefinition jobs;
  jobs.name = "jobs";
  jobs.ttl = 1h;
  return jobs;
}

Write put_of(const std::string& key) {
  Write write;
  write.puts.push_back({.key = Key(key), .value = "v", .ttl = {}});
  return write;
}

TEST(Definitions, ATableMadeWhileRunningReachesThoseThatAreThereAndThoseThatComeLater) {
  World world;
  world.start("a");
  world.start("b");
  world.settle();
  ASSERT_TRUE(world.at("a").machine->create_table(world.now(), jobs()));
  world.settle();
  ASSERT_TRUE(world.write("b", put_of("k"), {}, "jobs"));
  world.start("c");
  world.settle();
  for (const char* node : {"a", "b", "c"}) {
    EXPECT_EQ(world.local(node, "k", "jobs"), "v") << world.picture();
    EXPECT_EQ(world.status(node, "jobs").definition, jobs());
  }
}

TEST(Definitions, ALearnedTableIsThereAgainAfterARestartAlone) {
  World world;
  world.start("a", {TableDefinition{}, jobs()});
  world.settle();
  world.start("b");
  world.settle();
  ASSERT_TRUE(world.write("a", put_of("k"), {}, "jobs"));
  world.settle();
  world.crash("a");
  world.crash("b");
  world.start("b");
  world.settle();
  EXPECT_EQ(world.get("b", "k", "jobs"), "v") << world.picture();
  EXPECT_EQ(world.status("b", "jobs").definition.ttl, 1h);
}

TEST(Definitions, WhatAJoinerThoughtOfATableGivesWayToWhatItIs) {
  World world;
  world.start("a", {TableDefinition{}, jobs()});
  world.settle();
  TableDefinition otherwise = jobs();
  otherwise.ttl = 1min;
  otherwise.on_split = OnSplit::merge;
  otherwise.writes = Acknowledge::async;
  world.start("b", {TableDefinition{}, otherwise});
  world.settle();
  EXPECT_EQ(world.status("b", "jobs").definition, jobs());
  ASSERT_TRUE(world.write("b", put_of("k"), {}, "jobs"));
  world.run(2min);
  EXPECT_EQ(world.get("b", "k", "jobs"), "v");
}

TEST(Definitions, WhatAJoinersConfigurationSaidOtherwiseIsTold) {
  World world;
  world.start("a", {TableDefinition{}, jobs()});
  world.settle();
  TableDefinition otherwise = jobs();
  otherwise.ttl = 1min;
  otherwise.majority = true;
  world.start("b", {TableDefinition{}, otherwise});
  world.settle();
  EXPECT_THAT(world.status("b", "jobs").differs,
              ElementsAre("this node's configuration is overruled by a@host: ttl 1m here, 1h "
                          "there; majority true here, false there"));
  EXPECT_EQ(world.events("b", CacheEvent::Kind::alarm), 1);
  EXPECT_THAT(world.status("a", "jobs").differs, IsEmpty());
  EXPECT_EQ(world.events("a", CacheEvent::Kind::alarm), 0);
}

class Redefined : public ::testing::Test {
 protected:
  explicit Redefined() {
    for (const char* node : {"a", "b", "c"}) world_.start(node, {strict()});
    world_.settle();
    world_.put("a", "k", "0").value();
    world_.settle();
  }
  static TableDefinition strict() {
    TableDefinition table;
    table.ttl = 1h;
    table.majority = true;
    return table;
  }
  static TableDefinition lax() {
    TableDefinition table;
    table.ttl = 2h;
    return table;
  }
  void restart(const std::string& node, const TableDefinition& table) {
    world_.crash(node);
    world_.start(node, {table});
    world_.settle();
    ASSERT_TRUE(world_.at(node).machine->ready()) << world_.picture();
  }
  bool takes_writes_alone(const std::string& node) {
    std::vector<std::string> others;
    for (const char* each : {"a", "b", "c"})
      if (each != node) others.push_back(each);
    world_.split({{node}, others});
    world_.run(100ms);
    const bool taken = world_.put(node, "k", "alone").has_value();
    world_.heal();
    world_.settle();
    return taken;
  }

  World world_;
};

TEST_F(Redefined, WhereNodesAreConfiguredDifferentlyBothSidesSaySoAndHow) {
  restart("c", lax());
  EXPECT_THAT(world_.status("c").differs,
              ElementsAre("a@host: ttl 2h here, 1h there; majority false here, true there",
                          "b@host: ttl 2h here, 1h there; majority false here, true there"));
  EXPECT_THAT(world_.status("a").differs,
              ElementsAre("c@host: ttl 1h here, 2h there; majority true here, false there"));
  EXPECT_EQ(world_.events("c", CacheEvent::Kind::alarm), 2);
  EXPECT_EQ(world_.events("a", CacheEvent::Kind::alarm), 1);
}

TEST_F(Redefined, ANodeThatComesBackWithoutMajorityStillTakesNoWritesInAMinority) {
  restart("c", lax());
  EXPECT_FALSE(takes_writes_alone("c"));
}

TEST_F(Redefined, NorDoesItWhereItComesBackToAMinority) {
  world_.split({{"a", "b"}, {"c"}});
  restart("c", lax());
  EXPECT_FALSE(world_.put("c", "k", "1"));
  EXPECT_TRUE(world_.put("a", "k", "2"));
}

TEST_F(Redefined, NorWhereItHasBeenBackBefore) {
  restart("c", lax());
  world_.put("a", "k", "1").value();
  world_.settle();
  world_.split({{"a", "b"}, {"c"}});
  restart("c", lax());
  EXPECT_FALSE(world_.put("c", "k", "2"));
}

TEST_F(Redefined, NodesThatAreRestartedOneAfterTheOtherChangeWhatATableIs) {
  for (const char* node : {"a", "b", "c"}) restart(node, lax());
  for (const char* node : {"a", "b", "c"}) {
    EXPECT_EQ(world_.status(node).definition, lax());
    EXPECT_THAT(world_.status(node).differs, IsEmpty());
  }
  EXPECT_TRUE(takes_writes_alone("b"));
}

TEST_F(Redefined, AMajorityIsAskedForFromTheFirstNodeOnThatIsConfiguredSo) {
  for (const char* node : {"a", "b", "c"}) restart(node, lax());
  restart("a", strict());
  EXPECT_FALSE(takes_writes_alone("b"));
}

}  // namespace
}  // namespace muster::cache
