// SPDX-License-Identifier: MIT
//
// Writes of several keys, and on conditions: applied as one, on every node and by every way there.
#include <gtest/gtest.h>

#include "cache/cache_world.h"

namespace muster::cache::testing {
namespace {

using namespace std::chrono_literals;

TEST(CacheMachine, ConditionsAndBatchesAreAppliedAsOne) {
  World world;
  world.start("a");
  world.settle();
  Write only_new{.condition = Write::If::absent};
  only_new.puts.push_back({.key = Key("k"), .value = "1"});
  EXPECT_TRUE(world.write("a", only_new).value().applied);
  EXPECT_FALSE(world.write("a", only_new).value().applied);
  Write only_old{.condition = Write::If::present};
  only_old.puts.push_back({.key = Key("k"), .value = "2"});
  only_old.puts.push_back({.key = Key("other"), .value = "2"});
  EXPECT_FALSE(world.write("a", only_old).value().applied);
  EXPECT_EQ(world.get("a", "k"), "1");
  Write renewal;
  renewal.puts.push_back({.key = Key("new"), .value = "s"});
  renewal.deletes = {Key("k"), Key("nothing")};
  EXPECT_EQ(world.write("a", renewal).value().deleted, 1u);
  EXPECT_EQ(world.content("a"), "new=s ");
}

/// A session that is renewed again and again, each time under a new key: there is always one.
class Renewal {
 public:
  explicit Renewal(World& world) : world_(world) { next(); }
  void next() {
    Write write;
    write.puts.push_back({.key = key(count_), .value = std::string(100'000, 'v')});
    if (count_ > 0) write.deletes.push_back(key(count_ - 1));
    ++count_;
    world_.at("a").machine->write(world_.now(), "session", std::move(write), {},
                                  [](Now, const Result<Written>&) {});
  }
  [[nodiscard]] int seen_by(const std::string& node) const {
    int seen = 0;
    for (int i = 0; i < count_; ++i) seen += sees(node, i) ? 1 : 0;
    return seen;
  }
  [[nodiscard]] bool known_to(const std::string& node) const { return sees(node, count_ - 1); }

 private:
  [[nodiscard]] bool sees(const std::string& node, int number) const {
    const CacheMachine& machine = *world_.at(node).machine;
    return machine.table("session")
        ->visible(key(number).encoded(), machine.time(world_.now()))
        .has_value();
  }
  static Key key(int number) { return Key("session " + std::to_string(number)); }
  World& world_;
  int count_ = 0;
};

/// Step by step, until `node` has the last of it.
void there_is_always_one(World& world, const Renewal& session, const std::string& node) {
  for (int i = 0; i < 5000 && !session.known_to(node); ++i) {
    if (!world.step()) world.run(1ms);
    ASSERT_EQ(session.seen_by(node), 1) << i;
  }
  EXPECT_TRUE(session.known_to(node));
  world.settle();
  EXPECT_EQ(world.content("a"), world.content(node));
}

TEST(CacheMachine, AWriteIsOneForWhoeverCatchesUp) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE(seed);
    World world(seed);
    for (const char* name : {"a", "b"}) world.start(name);
    world.settle();
    Renewal session(world);
    world.settle();
    world.cut("a", "b");
    world.settle();
    for (int i = 0; i < 40; ++i) session.next();
    world.link("a", "b");
    there_is_always_one(world, session, "b");
  }
}

TEST(CacheMachine, AWriteIsOneForWhoeverHearsOfItBeforeItHasCaughtUp) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE(seed);
    World world(seed);
    for (const char* name : {"a", "b"}) world.start(name);
    world.settle();
    Renewal session(world);
    session.next();
    world.settle();
    world.clogged[{"a", "b"}] = std::size_t{1} << 30;  // b is slow: it is to fetch what it misses.
    world.put("a", "missed", "v", {}, {.acknowledge = Acknowledge::local}).value();
    world.run(20ms);
    EXPECT_EQ(world.local("b", "missed"), "-");
    world.clogged.clear();
    for (int i = 0; i < 60; ++i) {
      session.next();
      world.at("a").machine->flush(world.now());
      for (int steps = 0; steps < 3; ++steps) {
        if (!world.step()) world.run(1ms);
        ASSERT_EQ(session.seen_by("b"), 1) << i;
      }
    }
    there_is_always_one(world, session, "b");
  }
}

TEST(CacheMachine, ABatchThatPutsAndDeletesOneKeyIsRefused) {
  World world;
  world.start("a");
  world.settle();
  Write both;
  both.puts.push_back({.key = Key("k"), .value = "v"});
  both.deletes = {Key("other"), Key("k")};
  const auto written = world.write("a", both);
  ASSERT_FALSE(written);
  EXPECT_NE(written.error().text().find("puts and deletes the same key"), std::string::npos);
  EXPECT_EQ(world.content("a"), "");
}

TEST(CacheMachine, AWriteIsOneForWhoeverHearsOfItThroughANeighbour) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE(seed);
    World world(seed);
    for (const char* name : {"a", "b", "c"}) world.start(name);
    world.settle();
    Renewal session(world);
    world.settle();
    world.cut("a", "c");
    world.settle();
    for (int i = 0; i < 40; ++i) session.next();
    world.at("a").machine->flush(world.now());
    there_is_always_one(world, session, "c");
  }
}

}  // namespace
}  // namespace muster::cache::testing
