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

/// Of each message that carries this value's row, the marks before its stamp.
void spoil_row_of(const std::string& value, std::string& message) {
  constexpr std::size_t from_marks_to_value = 1 + 8 + 8 + 1;
  const std::size_t at = message.find(value);
  if (at != std::string::npos) message[at - from_marks_to_value] = '\x7f';
}

TEST(CacheMachine, AJoinerDoesWithoutNoRowThatItCannotRead) {
  World world;
  world.start("a");
  world.settle();
  for (int i = 0; i < 500; ++i) world.put("a", "key" + std::to_string(i), "v").value();
  world.put("a", "victim", "needle").value();
  int spoiled = 0;
  world.mangle = [&](std::string& message) {
    spoiled += message.find("needle") != std::string::npos ? 1 : 0;
    spoil_row_of("needle", message);
  };
  world.start("b");
  world.run(20s);
  EXPECT_GT(spoiled, 1) << "it is asked for again";
  EXPECT_NE(world.status("b").readiness, Readiness::ready);
  EXPECT_THAT(world.status("b").detail, ::testing::HasSubstr("cannot be read"));
  world.mangle = {};
  world.run(20s);
  EXPECT_EQ(world.status("b").readiness, Readiness::ready);
  EXPECT_EQ(world.content("b"), world.content("a"));
}

}  // namespace
}  // namespace muster::cache::testing
