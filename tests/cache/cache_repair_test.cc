// SPDX-License-Identifier: MIT
//
// What one copy lost or changed by a fault, which no operation tells of.
#include <gmock/gmock.h>

#include "cache/cache_world.h"

namespace muster::cache::testing {
namespace {

using namespace std::chrono_literals;

/// As a fault of the machine would: no operation says so.
void lose_entry(World& world, const std::string& node, const std::string& key) {
  auto& table = const_cast<Table&>(*world.at(node).machine->table("session"));
  for (const Dot& created : table.created_dots(Key(key).encoded())) {
    ASSERT_TRUE(table.remove(Key(key).encoded(), created));
  }
}

TEST(CacheMachine, AnEntryThatOneMemberLostComesBackFromTheOthersAndIsAnAlarm) {
  for (const std::string loser : {"a", "b", "c"}) {
    SCOPED_TRACE(loser);
    World world;
    for (const char* name : {"a", "b", "c"}) world.start(name);
    world.settle();
    for (int i = 0; i < 50; ++i) world.put("a", "key" + std::to_string(i), "v").value();
    world.put("b", "gone", "v").value();
    world.erase("b", "gone").value();
    world.run(5s);  // That delete is settled, and forgotten.
    lose_entry(world, loser, "key7");
    EXPECT_EQ(world.local(loser, "key7"), "-");
    world.run(20s);
    for (const std::string name : {"a", "b", "c"}) {
      EXPECT_EQ(world.local(name, "key7"), "v") << name;
      EXPECT_EQ(world.local(name, "gone"), "-") << name;
      EXPECT_EQ(world.content(name), world.content("a"));
    }
    EXPECT_GT(world.events(loser, CacheEvent::Kind::alarm), 0);
  }
}

TEST(CacheMachine, WhatWasLostIsRepairedWhileOthersAreWrittenAndDeleted) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    World world(seed);
    for (const char* name : {"a", "b", "c"}) world.start(name);
    world.settle();
    for (int i = 0; i < 50; ++i) world.put("a", "key" + std::to_string(i), "v").value();
    world.run(3s);
    lose_entry(world, "b", "key7");
    for (int i = 0; i < 200; ++i) {
      const std::string node(1, static_cast<char>('a' + i % 3));
      if (i % 2 == 0) world.erase(node, "key" + std::to_string(10 + i / 10)).value();
      world.put(node, "other" + std::to_string(i % 10), std::to_string(i)).value();
      world.run(100ms);
    }
    world.run(10s);
    for (const std::string name : {"a", "b", "c"}) {
      EXPECT_EQ(world.local(name, "key7"), "v") << name;
      EXPECT_EQ(world.local(name, "key12"), "-") << name;
      EXPECT_EQ(world.content(name), world.content("a"));
    }
  }
}

TEST(CacheMachine, EntriesThatExpireOneAfterTheOtherAreNoDifference) {
  World world;
  world.skew["b"] = 50ms;
  for (const char* name : {"a", "b"}) world.start(name);
  world.settle();
  for (int i = 0; i < 1000; ++i) {
    world.put("a", "key" + std::to_string(i), "v", 30s + i * 10ms).value();
  }
  world.run(60s);
  for (const char* name : {"a", "b"}) {
    EXPECT_EQ(world.status(name).entries, 0u) << name;
    EXPECT_EQ(world.events(name, CacheEvent::Kind::alarm), 0) << name;
  }
}

}  // namespace
}  // namespace muster::cache::testing
