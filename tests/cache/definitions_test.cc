// SPDX-License-Identifier: MIT
//
// What a table is, is decided once: it spreads to those that never named it and replaces what a
// joiner thought.
#include <chrono>

#include "cache_world.h"

namespace muster::cache {
namespace {

using namespace std::chrono_literals;
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

}  // namespace
}  // namespace muster::cache
