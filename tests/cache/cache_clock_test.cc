// SPDX-License-Identifier: MIT
//
// Clocks that were wrong once: what was written by them stays, and spoils nothing else.
#include <gtest/gtest.h>

#include "cache/cache_world.h"

namespace muster::cache::testing {
namespace {

using namespace std::chrono_literals;

TEST(CacheMachine, WhoJoinsAClusterWhoseClockWasAheadIsHeardByIt) {
  World world;
  world.skew["a"] = 600s;
  world.start("a");
  world.settle();
  world.put("a", "k", "v").value();
  world.run(1s);
  world.crash("a");
  world.start("a");  // Alone: nobody else has to know what it forgets of its life before.
  world.run(5s);
  world.skew["a"] = 0s;
  world.start("b");
  world.settle();
  EXPECT_TRUE(world.put("b", "new", "v").value().everywhere);
  EXPECT_TRUE(world.erase("b", "k").value().everywhere);
  EXPECT_EQ(world.local("a", "new"), "v");
  EXPECT_EQ(world.local("a", "k"), "-");
}

/// `a` wrote a key when its clock was ahead, and `b`, whose clock is right, wrote it again.
void overwrite_what_is_ahead(World& world) {
  world.skew["a"] = 600s;
  world.start("a");
  world.settle();
  world.put("a", "ahead", "v").value();
  world.skew["a"] = 0s;
  world.start("b");
  world.settle();
  world.put("b", "ahead", "w").value();
}

TEST(CacheMachine, WhatIsWrittenAfterAnOverwriteOfTheFutureExpiresInTime) {
  World world;
  overwrite_what_is_ahead(world);
  world.put("b", "session", "v", 60s).value();
  world.run(50s);
  for (const char* name : {"a", "b"}) EXPECT_EQ(world.local(name, "session"), "v") << name;
  world.run(15s);
  for (const char* name : {"a", "b"}) EXPECT_EQ(world.local(name, "session"), "-") << name;
}

TEST(CacheMachine, WhatLivesIsTouchedAndPutAlsoAfterAnOverwriteOfTheFuture) {
  World world;
  overwrite_what_is_ahead(world);
  world.put("a", "session", "v", 60s).value();
  world.run(1s);
  EXPECT_TRUE(world.touch("b", "session", 100s).value().applied);
  Write present;
  present.condition = Write::If::present;
  present.puts.push_back({.key = Key("session"), .value = "w", .ttl = 100s});
  EXPECT_TRUE(world.write("b", std::move(present)).value().applied);
  const auto& table = *world.at("a").machine->table("session");
  EXPECT_EQ(table.created_dots(Key("session").encoded()).size(), 1u) << "it is the same entry";
  world.run(80s);
  for (const char* name : {"a", "b"}) EXPECT_EQ(world.local(name, "session"), "w") << name;
}

}  // namespace
}  // namespace muster::cache::testing
