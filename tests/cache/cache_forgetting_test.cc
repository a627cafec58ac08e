// SPDX-License-Identifier: MIT
//
// Deletes and what is kept for members that are away: how long, and that nothing of it grows.
#include <gtest/gtest.h>

#include "cache/cache_world.h"

namespace muster::cache::testing {
namespace {

using namespace std::chrono_literals;

TEST(CacheMachine, ADeleteThatIsTriedAgainSaysWhetherEveryMemberHasTheFirst) {
  World world;
  for (const char* name : {"a", "b", "c"}) world.start(name);
  world.settle();
  world.put("a", "k", "0").value();
  world.freeze("c", true);
  EXPECT_FALSE(world.erase("a", "k").value().everywhere);
  for (const char* again : {"a", "b"}) {
    const Written written = world.erase(again, "k").value();
    EXPECT_EQ(written.deleted, 0u);
    EXPECT_FALSE(written.everywhere) << "c still has it";
    EXPECT_EQ(written.holders.size(), 2u);
  }
  world.freeze("c", false);
  world.settle();
  EXPECT_TRUE(world.erase("b", "k").value().everywhere);
  EXPECT_TRUE(world.erase("b", "never there").value().everywhere);
}

TEST(CacheMachine, DeletesAndHusksAreForgottenOnceEveryMemberHasThem) {
  World world;
  for (const char* name : {"a", "b"}) world.start(name);
  world.settle();
  for (int i = 0; i < 50; ++i) world.put("a", "k" + std::to_string(i), "v", 1s).value();
  for (int i = 0; i < 25; ++i) world.erase("b", "k" + std::to_string(i)).value();
  world.run(30s);
  EXPECT_EQ(world.status("a").entries, 0u);
  EXPECT_EQ(world.status("b").entries, 0u);
  EXPECT_EQ(world.status("a").deletes_kept, 0u);
  EXPECT_EQ(world.status("b").deletes_kept, 0u);
}

TEST(CacheMachine, ForgettingKeepsUpWithDeletesAndExpiriesOfManySessions) {
  World world;
  world.start("a");
  world.settle();
  constexpr int sessions = 60'000;
  for (int i = 0; i < sessions; ++i) {
    Write write;
    write.puts.push_back({.key = Key("k" + std::to_string(i)), .value = "v", .ttl = 1s});
    world.at("a").machine->write(world.now(), "session", std::move(write), {},
                                 [](Now, const Result<Written>&) {});
  }
  for (int i = 0; i < sessions; i += 2) {
    Write write;
    write.deletes.emplace_back("k" + std::to_string(i));
    world.at("a").machine->write(world.now(), "session", std::move(write), {},
                                 [](Now, const Result<Written>&) {});
  }
  world.run(6s);
  EXPECT_EQ(world.status("a").deletes_kept, 0u);
  EXPECT_EQ(world.at("a").machine->table("session")->count(), 0u);
}

TEST(CacheMachine, WhileAMemberIsAwayNothingIsForgotten) {
  World world;
  for (const char* name : {"a", "b"}) world.start(name);
  world.settle();
  world.put("a", "k", "v").value();
  world.settle();
  world.crash("b");
  world.erase("a", "k").value();
  world.run(60s);
  EXPECT_EQ(world.status("a").deletes_kept, 1u);
  world.start("b");
  world.run(30s);
  EXPECT_EQ(world.local("b", "k"), "-");
  EXPECT_EQ(world.status("a").deletes_kept, 0u);
}

TEST(CacheMachine, RestartsDoNotMakeVectorsPathsReportsOrDisksGrow) {
  World world;
  for (const char* name : {"a", "b", "c"}) world.start(name);
  world.settle();
  std::size_t early_bytes = 0, early_sent = 0;
  for (int restart = 0; restart < 200; ++restart) {
    const std::string name(1, static_cast<char>('a' + restart % 3));
    const std::string other(1, static_cast<char>('a' + (restart + 1) % 3));
    world.put(name, "of-" + name, std::to_string(restart)).value();
    world.put(name, "gone", "x").value();
    world.erase(name, "gone").value();
    world.run(1s);
    world.crash(name);
    world.put(other, "while-away", std::to_string(restart)).value();
    world.start(name);
    world.run(8s);
    ASSERT_TRUE(world.at(name).machine->ready()) << restart << world.picture();
    ASSERT_LE(world.status(name).path.size(), 4u) << restart;
    ASSERT_LE(world.origins(name), 12u) << restart;
    if (restart != 20 && restart != 199) continue;
    const std::size_t before = world.sent_bytes;
    world.run(60s);
    const std::size_t sent = world.sent_bytes - before;
    if (restart == 20) {
      early_bytes = world.disk_bytes(name);
      early_sent = sent;
    } else {
      EXPECT_LE(world.disk_bytes(name), early_bytes + early_bytes / 4);
      EXPECT_LE(sent, early_sent + early_sent / 4);
    }
  }
  EXPECT_EQ(world.content("a"), world.content("b"));
  EXPECT_EQ(world.content("a"), world.content("c"));
  EXPECT_EQ(world.local("a", "of-b"), "199");
  for (const char* name : {"a", "b", "c"}) {
    EXPECT_EQ(world.events(name, CacheEvent::Kind::alarm), 0);
  }
}

TEST(CacheMachine, AForgottenNodeThatReturnsJoinsEmptyAndItsWritesAreInItsJournal) {
  for (const bool restarts : {false, true}) {
    SCOPED_TRACE(restarts);
    World world;
    for (const char* name : {"a", "b", "c"}) world.start(name);
    world.settle();
    world.put("a", "deleted", "v").value();
    world.put("a", "kept", "v").value();
    world.put("a", "logged-out", "v").value();
    world.settle();
    world.split({{"a", "b"}, {"c"}});
    world.run(1s);
    world.put("c", "mine", "w").value();     // nobody else ever sees it
    world.put("c", "deleted", "w").value();  // of an incarnation that the others delete
    world.erase("c", "logged-out").value();
    world.run(1s);
    if (restarts) world.crash("c");
    world.erase("a", "deleted").value();
    world.forget("c");
    world.run(20s);
    EXPECT_EQ(world.status("a").deletes_kept, 0u);  // settled without c
    if (restarts) world.start("c");
    world.readmit("c");
    world.heal();
    world.run(10s);
    ASSERT_TRUE(world.at("c").machine->ready()) << world.picture();
    EXPECT_EQ(world.content("a"), "kept=v ") << world.picture();
    EXPECT_EQ(world.content("b"), world.content("a"));
    EXPECT_EQ(world.content("c"), world.content("a"));
    EXPECT_EQ(world.journal("c"), 1u);  // "mine"; what was deleted needs no record
    EXPECT_TRUE(world.put("c", "again", "1").value().everywhere);
    EXPECT_EQ(world.local("a", "again"), "1");
    world.run(30s);  // and it counts again
    EXPECT_EQ(world.status("a").deletes_kept, 0u);
    for (const char* name : {"a", "b", "c"}) {
      EXPECT_EQ(world.events(name, CacheEvent::Kind::alarm), 0);
    }
  }
}

TEST(CacheMachine, ADeleteIsNewerThanWhatItDeletesWhateverTheClocks) {
  World world;
  for (const char* name : {"a", "b"}) world.start(name);
  world.settle();
  world.put("b", "k0", "v").value();
  world.skew["a"] = 30s;  // its stamps are far ahead of what b's clock follows
  world.put("a", "k", "v").value();
  const Stamp put = world.at("b").machine->table("session")->find(Key("k").encoded(), {})->stamp;
  Stamp removed;
  world.at("b").all_changes = true;
  world.erase("b", "k").value();
  for (const CacheEvent& event : world.at("b").events) {
    if (event.kind == CacheEvent::Kind::deleted) removed = event.stamp;
  }
  EXPECT_GT(removed, put);
}

TEST(CacheMachine, ADeleteReachesTheJournalAlsoWhereNothingWasEverWritten) {
  World world;
  world.start("a");
  world.settle();
  world.at("a").all_changes = true;
  world.at("a").machine->write_journal(world.now(), "session", Key("k").encoded(), "set aside");
  EXPECT_TRUE(world.erase("a", "k").value().everywhere);
  EXPECT_EQ(world.events("a", CacheEvent::Kind::deleted), 1);
}

TEST(CacheMachine, OperationsOfAnOlderBootComeFromMembersAndNeverFromThatBoot) {
  World world;
  for (const char* name : {"a", "b", "c"}) world.start(name);
  world.settle();
  world.put("b", "before", "v").value();
  const WriteOptions local{.acknowledge = Acknowledge::local};
  world.split({{"a"}, {"b", "c"}});
  world.put("b", "early", "v", {}, local).value();
  world.run(5s);
  EXPECT_EQ(world.local("c", "early"), "v");

  world.learn_of_newer_boot("b");
  world.put("b", "late", "v", {}, local).value();
  world.heal();
  world.run(5s);
  EXPECT_EQ(world.local("a", "early"), "v") << "c has it";
  for (const char* name : {"a", "c"}) {
    EXPECT_EQ(world.local(name, "before"), "v") << name;
    EXPECT_EQ(world.local(name, "late"), "-") << name << " is linked to that boot";
  }

  world.crash("b");  // The newer one has its disk.
  world.start("b");
  world.settle();
  for (const char* name : {"a", "b", "c"}) EXPECT_EQ(world.local(name, "late"), "v") << name;
}

TEST(CacheMachine, WhatHasExpiredIsToldOncePerNodeAlsoAfterARestart) {
  World world;
  for (const char* name : {"a", "b"}) world.start(name);
  world.settle();
  world.put("a", "k", "v", 10s).value();
  world.run(2s);
  world.crash("b");  // So what is left of k is kept for it.
  world.run(20s);
  EXPECT_EQ(world.events("a", CacheEvent::Kind::expired), 1);
  for (int restart = 0; restart < 2; ++restart) {
    world.crash("a");
    world.start("a");
    world.settle();
    EXPECT_EQ(world.status("a").entries, 1u);
    EXPECT_EQ(world.events("a", CacheEvent::Kind::expired), 0);
  }
  world.start("b");
  world.run(30s);
  EXPECT_EQ(world.status("a").entries, 0u) << "and it is forgotten like any other";
  EXPECT_EQ(world.status("b").entries, 0u);
}

TEST(CacheMachine, WhatExpiresWhileTheNodeIsDownIsToldWhenItReturns) {
  World world;
  for (const char* name : {"a", "b"}) world.start(name);
  world.settle();
  world.put("a", "k", "v", 3s).value();
  world.run(1s);
  for (const char* name : {"a", "b"}) world.crash(name);
  world.run(5s);
  for (const int times : {1, 0}) {
    world.start("a");
    world.settle();
    EXPECT_EQ(world.events("a", CacheEvent::Kind::expired), times);
    world.crash("a");
  }
}

}  // namespace
}  // namespace muster::cache::testing
