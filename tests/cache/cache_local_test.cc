// SPDX-License-Identifier: MIT
//
// Tables of local content: each node has its own, and yet it is forgotten, bounded and answered in
// time like any other.
#include <gtest/gtest.h>

#include "cache/cache_world.h"

namespace muster::cache::testing {
namespace {

using namespace std::chrono_literals;

TableDefinition local(Durability durability = Durability::async) {
  TableDefinition table;
  table.local_content = true;
  table.durability = durability;
  return table;
}

TEST(CacheMachine, LocalContentStaysLocal) {
  World world;
  for (const char* name : {"a", "b"}) world.start(name, {local()});
  world.settle();
  EXPECT_TRUE(world.put("a", "k", "a").value().acknowledged);
  world.settle();
  EXPECT_EQ(world.get("a", "k"), "a");
  EXPECT_EQ(world.get("b", "k"), "-");
}

TEST(CacheMachine, LocalContentIsHeldByThisNodeAndThatIsEverywhereAndItsMajority) {
  World world;
  for (const char* name : {"a", "b", "c"}) world.start(name, {local()});
  world.settle();
  const WriteOptions majority{.acknowledge = Acknowledge::majority};
  const Written written = world.put("a", "k", "v", {}, majority).value();
  EXPECT_TRUE(written.acknowledged);
  EXPECT_TRUE(written.everywhere);
  EXPECT_EQ(written.holders.size(), 1u);
}

TEST(CacheMachine, WhatIsOverOfLocalContentIsForgotten) {
  World world;
  for (const char* name : {"a", "b"}) world.start(name, {local()});
  world.settle();
  for (int i = 0; i < 50; ++i) world.put("a", "k" + std::to_string(i), "v", 1s).value();
  for (int i = 0; i < 25; ++i) world.erase("a", "k" + std::to_string(i)).value();
  world.crash("b");  // Its absence says nothing about what is a's alone.
  world.run(30s);
  EXPECT_EQ(world.status("a").entries, 0u);
  EXPECT_EQ(world.status("a").deletes_kept, 0u);
}

TEST(CacheMachine, RestartsDoNotMakeLocalContentGrow) {
  World world;
  std::size_t early_bytes = 0;
  for (int restart = 0; restart < 30; ++restart) {
    world.start("a", {local()});
    world.run(1s);
    world.put("a", "k", "v").value();
    world.put("a", "gone", "v").value();
    world.erase("a", "gone").value();
    world.run(10s);
    EXPECT_LE(world.status("a").path.size(), 4u) << restart;
    EXPECT_LE(world.origins("a"), 4u) << restart;
    if (restart == 5) early_bytes = world.disk_bytes("a");
    world.crash("a");
  }
  EXPECT_LE(world.disk_bytes("a"), early_bytes + early_bytes / 4);
}

TEST(CacheMachine, AWriteOfLocalContentIsAnsweredInTimeWhenTheDiskIsNot) {
  World world;
  world.start("a", {local(Durability::sync)});
  world.settle();
  EXPECT_TRUE(world.put("a", "k", "0").value().acknowledged);
  world.hold_disk("a", true);
  for (const char* value : {"1", "2"}) {
    const Instant before = world.now().mono;
    const Written written = world.put("a", "k", value).value();
    EXPECT_TRUE(written.applied);
    EXPECT_FALSE(written.acknowledged);
    EXPECT_LE(world.now().mono - before, 2100ms);
  }
  world.hold_disk("a", false);
  EXPECT_TRUE(world.put("a", "k", "3").value().acknowledged);
}

TEST(CacheMachine, WaitingForACommitOfLocalContentLetsTheLoopRest) {
  World world;
  world.start("a", {local(Durability::sync)});
  world.settle();
  EXPECT_TRUE(world.put("a", "k", "0").value().acknowledged);
  world.run(3s);  // The deadline of that write is over.
  world.hold_disk("a", true);
  Write write;
  write.puts.push_back({.key = Key("k"), .value = "1"});
  world.at("a").machine->write(world.now(), "session", std::move(write), {}, [](Now, auto) {});
  world.at("a").machine->flush(world.now());
  world.at("a").machine->wake(world.now());
  EXPECT_GT(world.at("a").machine->next_wake(), world.now().mono);
  world.hold_disk("a", false);
  world.run(1s);
}

}  // namespace
}  // namespace muster::cache::testing
