// SPDX-License-Identifier: MIT
//
// `reuse: never`: what was deleted stays deleted, also when a slow request puts it again.
#include <chrono>

#include "cache_world.h"
#include "wire_codec.h"

namespace muster::cache {
namespace {

using namespace std::chrono_literals;
using testing::World;

std::vector<TableDefinition> never_reused(std::optional<Duration> max_ttl = 10min) {
  TableDefinition session;
  session.max_ttl = max_ttl;
  session.reuse = Reuse::never;
  return {session};
}

void start(World& world, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    world.start(name, never_reused());
    world.settle();
  }
}

std::string error_of(const Result<Written>& result) {
  return result ? "none" : result.error().text();
}

TEST(Reuse, ADeletedKeyRefusesPutsOnEveryNodeAndOthersDoNot) {
  World world;
  start(world, {"a", "b"});
  ASSERT_TRUE(world.put("a", "alice", "in"));
  ASSERT_TRUE(world.erase("b", "alice"));
  world.settle();
  for (const char* node : {"a", "b"}) {
    EXPECT_NE(error_of(world.put(node, "alice", "again")).find("reuse: never"), std::string::npos);
    EXPECT_EQ(world.get(node, "alice"), "-");
    EXPECT_TRUE(world.put(node, "bob", "in"));
  }
}

TEST(Reuse, WhoAsksForANodeThatIsNotReadyIsToldThatTryingAgainDoesNotHelp) {
  World world;
  start(world, {"a", "b"});
  ASSERT_TRUE(world.put("a", "alice", "in"));
  ASSERT_TRUE(world.erase("b", "alice"));
  world.settle();
  std::vector<TableDefinition> elsewhere = never_reused();
  elsewhere.front().copies = {NodeName::parse("a@host").value(), NodeName::parse("b@host").value()};
  world.start("c", elsewhere);
  world.settle();
  ASSERT_TRUE(world.put("c", "bob", "in"));
  const Result<Written> refused = world.put("c", "alice", "again");
  EXPECT_NE(error_of(refused).find("reuse: never"), std::string::npos);
  EXPECT_EQ(refused.error().code, boost::system::errc::invalid_argument);
}

TEST(Reuse, ABatchWithADeletedKeyPutsNothing) {
  World world;
  start(world, {"a"});
  ASSERT_TRUE(world.put("a", "alice", "in"));
  ASSERT_TRUE(world.erase("a", "alice"));
  Write batch;
  for (const char* key : {"bob", "alice"})
    batch.puts.push_back({.key = Key(key), .value = "in", .ttl = {}});
  EXPECT_FALSE(world.write("a", batch));
  EXPECT_EQ(world.content("a"), "");
}

TEST(Reuse, ItHoldsForMaxTtlAlsoWhenAllHaveTheDeleteAndThenEnds) {
  World world;
  start(world, {"a", "b"});
  ASSERT_TRUE(world.put("a", "alice", "in"));
  ASSERT_TRUE(world.erase("a", "alice"));
  world.run(9min);
  EXPECT_FALSE(world.put("b", "alice", "again"));
  world.run(2min);
  EXPECT_EQ(world.status("a").deletes_kept, 0u);
  EXPECT_TRUE(world.put("b", "alice", "again"));
  EXPECT_EQ(world.get("a", "alice"), "again");
}

TEST(Reuse, ItHoldsOnANodeThatJoinedLaterAndAfterARestart) {
  World world;
  start(world, {"a"});
  ASSERT_TRUE(world.put("a", "alice", "in"));
  ASSERT_TRUE(world.erase("a", "alice"));
  start(world, {"b"});
  EXPECT_FALSE(world.put("b", "alice", "again"));
  world.settle();
  world.crash("a");
  world.crash("b");
  start(world, {"b"});
  EXPECT_FALSE(world.put("b", "alice", "again"));
}

TEST(Reuse, AfterASplitTheDeleteOfOneSideHoldsAgainstARefreshOfTheOther) {
  World world;
  start(world, {"a", "b"});
  ASSERT_TRUE(world.put("a", "alice", "in"));
  world.settle();
  world.split({{"a"}, {"b"}});
  world.settle();
  ASSERT_TRUE(world.erase("a", "alice"));
  ASSERT_TRUE(world.put("b", "alice", "refreshed"));
  world.heal();
  world.settle();
  for (const char* node : {"a", "b"}) {
    EXPECT_EQ(world.get(node, "alice"), "-") << world.picture();
    EXPECT_FALSE(world.put(node, "alice", "again"));
  }
}

TEST(Reuse, AnExpiredKeyMayBePutAgain) {
  World world;
  start(world, {"a"});
  ASSERT_TRUE(world.put("a", "alice", "in", 1s));
  world.run(2s);
  EXPECT_TRUE(world.put("a", "alice", "anew"));
}

TEST(Reuse, WithoutAMaxTtlTheDefinitionIsRefused) {
  const auto definition = never_reused({}).front();
  const auto checked = check(definition);
  ASSERT_FALSE(checked);
  EXPECT_NE(checked.error().text().find("needs a max_ttl"), std::string::npos);
}

}  // namespace
}  // namespace muster::cache
