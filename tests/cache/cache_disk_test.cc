// SPDX-License-Identifier: MIT
//
// What copies promise of their disks: acknowledgements that wait for them, disks that are late,
// full or fail, values that are on disk alone.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <optional>

#include "cache/cache_world.h"

namespace muster::cache::testing {
namespace {

using namespace std::chrono_literals;

TEST(CacheMachine, DurabilitySyncAcknowledgesWhatIsOnEveryDisk) {
  TableDefinition durable;
  durable.durability = Durability::sync;
  World world;
  for (const char* name : {"a", "b"}) world.start(name, {durable});
  world.settle();
  ASSERT_TRUE(world.put("a", "k", "0").value().acknowledged);
  world.hold_disk("b", true);
  const auto written = world.put("a", "k", "1", {}, {.deadline = 500ms});
  EXPECT_TRUE(written.value().applied);
  EXPECT_FALSE(written.value().acknowledged);
  world.hold_disk("b", false);
  world.settle();
  EXPECT_TRUE(world.put("a", "k", "2").value().acknowledged);
  world.crash("a");
  world.crash("b");
  world.start("a", {durable});
  world.settle();
  EXPECT_EQ(world.get("a", "k"), "2");
}

TEST(CacheMachine, AFailedDiskStopsAcknowledgingAndSaysSo) {
  World world;
  for (const char* name : {"a", "b"}) world.start(name);
  world.settle();
  world.put("a", "k", "1").value();
  world.fail_disk("a");
  EXPECT_EQ(world.events("a", CacheEvent::Kind::alarm), 1);
  const auto refused = world.put("a", "k", "2");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().detail, "table session takes no writes on this node: the disk failed");
  EXPECT_EQ(world.get("a", "k"), "1");
  // The others go on, and what they write is read here.
  EXPECT_TRUE(world.put("b", "k", "3").value().acknowledged);
  EXPECT_EQ(world.local("a", "k"), "3");
  world.set_disk("a", DiskState::good, "");
  EXPECT_FALSE(world.put("a", "k", "4")) << "a failed disk is never trusted again";
  EXPECT_EQ(world.status("a").disk, DiskState::failed);
}

TEST(CacheMachine, AFailedDiskAcknowledgesNothingThatWasUnderWay) {
  World world;
  TableDefinition durable;
  durable.durability = Durability::sync;
  world.start("a", {durable});
  world.settle();
  world.put("a", "k", "1").value();
  world.hold_disk("a", true);
  std::optional<Result<Written>> written;
  Write one;
  one.puts.push_back({.key = Key("k"), .value = "2"});
  world.at("a").machine->write(world.now(), "session", std::move(one), {},
                               [&](Now, Result<Written> result) { written = std::move(result); });
  world.run(100ms);
  world.fail_disk("a");
  world.run(3s);
  ASSERT_TRUE(written);
  EXPECT_FALSE(written->value().acknowledged);
}

TEST(CacheMachine, AFullDiskRefusesWritesUntilThereIsRoom) {
  World world;
  TableDefinition durable;
  durable.durability = Durability::sync;
  for (const char* name : {"a", "b"}) world.start(name, {durable});
  world.settle();
  world.put("a", "k", "1").value();
  world.hold_disk("a", true);
  world.set_disk("a", DiskState::full, "no room");
  EXPECT_FALSE(world.put("a", "k", "2"));
  EXPECT_FALSE(world.erase("a", "k"));
  EXPECT_EQ(world.get("a", "k"), "1");
  const auto before = world.now().mono;
  EXPECT_TRUE(world.put("b", "k", "3").value().acknowledged);
  EXPECT_LT(world.now().mono - before, 100ms) << "nobody waits for a disk that is full";
  EXPECT_EQ(world.local("a", "k"), "3");
  world.hold_disk("a", false);
  world.set_disk("a", DiskState::good, "");
  EXPECT_TRUE(world.put("a", "k", "4").value().acknowledged);
  world.settle();
  world.crash("a");
  world.crash("b");
  world.start("a", {durable});
  world.settle();
  EXPECT_EQ(world.get("a", "k"), "4");
}

TEST(CacheMachine, DiscOnlyCopiesKeepTheirValuesOnDisk) {
  TableDefinition on_disk;
  on_disk.storage = Storage::disc_only_copies;
  World world;
  for (const char* name : {"a", "b"}) world.start(name, {on_disk});
  world.settle();
  const std::string big(10'000, 'v');
  for (int i = 0; i < 100; ++i) world.put("a", "k" + std::to_string(i), big).value();
  world.settle();
  for (const char* name : {"a", "b"}) {
    EXPECT_LT(world.at(name).machine->table("session")->bytes(), 400'000u) << name;
    EXPECT_EQ(world.local(name, "k7"), big);
  }
  world.put("b", "k7", "new").value();
  EXPECT_EQ(world.get("a", "k7"), "new");
  world.touch("a", "k8", 500ms).value();
  world.erase("a", "k9").value();
  EXPECT_EQ(world.local("b", "k9"), "-");
  world.settle();
  EXPECT_EQ(world.local("b", "k8"), "-") << "it has expired";
  world.crash("b");
  world.put("a", "k10", "missed").value();
  world.start("b", {on_disk});
  world.settle();
  world.start("c", {on_disk});
  world.settle();
  EXPECT_EQ(world.local("c", "k10"), "missed");
  EXPECT_EQ(world.local("c", "k7"), "new");
  EXPECT_EQ(world.content("b"), world.content("a"));
  EXPECT_EQ(world.content("c"), world.content("a"));
  EXPECT_EQ(world.status("a").digest, world.status("c").digest);
}

TEST(CacheMachine, DiscOnlyCopiesSurviveASplit) {
  TableDefinition on_disk;
  on_disk.storage = Storage::disc_only_copies;
  World world;
  for (const char* name : {"a", "b"}) world.start(name, {on_disk});
  world.settle();
  for (const char* key : {"both", "left", "right"}) world.put("a", key, "0").value();
  world.settle();
  world.split({{"a"}, {"b"}});
  world.settle();
  world.put("a", "left", "a").value();
  world.put("a", "both", "a").value();
  world.put("b", "right", "b").value();
  world.put("b", "both", "b").value();
  world.settle();
  world.heal();
  world.settle();
  for (const char* name : {"a", "b"}) {
    EXPECT_EQ(world.local(name, "left"), "a");
    EXPECT_EQ(world.local(name, "both"), "a");
    EXPECT_EQ(world.local(name, "right"), "0") << "what b had overwritten returns";
  }
  EXPECT_EQ(world.journal("b"), 2u);
}

TEST(CacheMachine, ADiskThatIsLateMakesAcknowledgementsWaitForIt) {
  World world;
  for (const char* name : {"a", "b"}) world.start(name);
  world.settle();
  world.put("a", "k", "0").value();
  world.settle();
  world.hold_disk("b", true);
  EXPECT_TRUE(world.put("a", "k", "1").value().acknowledged) << "b may be a little late";
  world.run(1200ms);
  EXPECT_GT(world.status("b").disk_late, 1s);
  EXPECT_FALSE(world.put("a", "k", "2", {}, {.deadline = 500ms}).value().acknowledged);
  EXPECT_FALSE(world.put("b", "k", "3", {}, {.deadline = 500ms}).value().acknowledged);
  EXPECT_EQ(world.local("a", "k"), "3");
  world.hold_disk("b", false);
  world.run(100ms);
  EXPECT_EQ(world.status("b").disk_late, 0s);
  EXPECT_TRUE(world.put("a", "k", "4").value().acknowledged);
  EXPECT_TRUE(world.put("b", "k", "5").value().acknowledged);
}

TEST(CacheMachine, WhatOnlyItsOwnDiskHasKnownIsReadyAtOnceWhereNobodyMayCome) {
  World world;
  world.cache_options.others_may_come = false;
  for (int boot = 0; boot < 3; ++boot) {  // its earlier boots are not others
    world.start("a");
    world.run(boot == 0 ? 1500ms : 10ms);
    EXPECT_EQ(world.status("a").readiness, Readiness::ready) << boot;
    world.put("a", "k", std::to_string(boot)).value();
    world.run(300ms);
    world.crash("a");
  }
  world.start("a");
  world.start("b");
  world.settle();
  EXPECT_EQ(world.local("b", "k"), "2");
  world.crash("b");
  world.crash("a");
  world.start("a");
  world.run(900ms);
  EXPECT_NE(world.status("a").readiness, Readiness::ready) << "b may know more";
  world.run(600ms);
  EXPECT_EQ(world.status("a").readiness, Readiness::ready);
}

TEST(CacheMachine, TooManyRowsThatWaitForACommitMakeAcknowledgementsWaitForIt) {
  World world;
  world.cache_options.disk_rows_max = 10;
  world.start("a");
  world.settle();
  world.put("a", "k", "0").value();
  world.settle();
  world.hold_disk("a", true);
  world.put("a", "k", "1").value();
  world.run(100ms);  // its batch is on the way
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(world.put("a", fmt::format("k{}", i), "1").value().acknowledged) << i;
  }
  const auto late = world.put("a", "k10", "1", {}, {.deadline = 100ms}).value();
  EXPECT_FALSE(late.acknowledged);
  world.hold_disk("a", false);
  world.run(100ms);
  EXPECT_TRUE(world.put("a", "k11", "1").value().acknowledged);
}

TEST(CacheMachine, ADiskFarBehindDelaysOthersOnceAndIsStillReadInTime) {
  World world;
  TableDefinition durable;
  durable.durability = Durability::sync;
  for (const char* name : {"a", "b"}) world.start(name, {durable});
  world.settle();
  world.put("a", "k", "0").value();
  world.hold_disk("b", true);
  EXPECT_TRUE(world.put("a", "k", "1").value().acknowledged);
  for (int i = 2; i < 10; ++i) {
    const auto before = world.now().mono;
    EXPECT_TRUE(world.put("a", "k", std::to_string(i)).value().acknowledged);
    EXPECT_EQ(world.local("b", "k"), std::to_string(i));
    EXPECT_LT(world.now().mono - before, 100ms);
    world.run(700ms);
  }
  world.hold_disk("b", false);
  world.run(2s);
  world.hold_disk("b", true);
  EXPECT_FALSE(world.put("a", "k", "x", {}, {.deadline = 500ms}).value().acknowledged)
      << "once it has caught up its disk is waited for again";
}

TEST(CacheMachine, NothingIsCollectedForADiskThatHasFailed) {
  World world;
  for (const char* name : {"a", "b"}) world.start(name);
  world.settle();
  world.put("a", "k", "0").value();
  world.fail_disk("a");
  for (int i = 0; i < 100; ++i) world.put("b", fmt::format("k{}", i), "1").value();
  for (int i = 0; i < 50; ++i) world.erase("b", fmt::format("k{}", i)).value();
  world.at("a").machine->write_journal(world.now(), "session", "record", "value");
  EXPECT_EQ(world.status("a").rows_to_store, 0u);
  EXPECT_EQ(world.local("a", "k99"), "1");
  world.crash("b");
  world.run(10s);
  world.start("b");
  world.settle();
  EXPECT_EQ(world.local("b", "k99"), "1") << "what a's disk lacks still counts as not stored there";
  world.crash("a");
  world.start("a");
  world.settle();
  EXPECT_EQ(world.content("a"), world.content("b"));
}

TEST(CacheMachine, WhatChangesOverAndOverWhileTheDiskIsFullWaitsOnce) {
  World world;
  for (const char* name : {"a", "b"}) world.start(name);
  world.settle();
  world.put("a", "k", "0").value();
  world.hold_disk("a", true);
  world.set_disk("a", DiskState::full, "no room");
  world.put("b", "k", "1").value();
  world.run(100ms);  // Its batch is on the way.
  for (int round = 0; round < 20; ++round) {
    world.put("b", "k", std::to_string(round)).value();
    world.at("a").machine->write_journal(world.now(), "session", "record", std::to_string(round));
  }
  EXPECT_EQ(world.status("a").rows_to_store, 2u);
  world.hold_disk("a", false);
  world.set_disk("a", DiskState::good, "");
  world.settle();
  EXPECT_EQ(world.status("a").rows_to_store, 0u);
  world.crash("a");
  world.start("a");
  world.settle();
  EXPECT_EQ(world.local("a", "k"), "19");
  EXPECT_EQ(world.journal("a"), 1u);
}

TEST(CacheMachine, MoreWritesThanMayWaitAreRefused) {
  World world;
  world.cache_options.waiting_max = 3;
  TableDefinition durable;
  durable.durability = Durability::sync;
  world.start("a", {durable});
  world.settle();
  world.put("a", "k", "0").value();
  world.hold_disk("a", true);
  int answered = 0;
  for (int i = 0; i < 3; ++i) {
    Write write;
    write.puts.push_back({.key = Key("k"), .value = "1"});
    world.at("a").machine->write(world.now(), "session", std::move(write), {},
                                 [&](Now, const Result<Written>&) { ++answered; });
  }
  const auto refused = world.put("a", "k", "2");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().detail,
            "table session: too many writes wait for others or for the disk (3)");
  EXPECT_FALSE(world.touch("a", "k", 1s));
  EXPECT_FALSE(world.erase("a", "k"));
  EXPECT_EQ(answered, 0);
  world.hold_disk("a", false);
  world.run(100ms);
  EXPECT_EQ(answered, 3);
  EXPECT_TRUE(world.put("a", "k", "3").value().acknowledged);
}

}  // namespace
}  // namespace muster::cache::testing
