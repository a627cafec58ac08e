// SPDX-License-Identifier: MIT
//
// Tables on several nodes: join, writes and their acknowledgement, catch-up, restart.
#include <gmock/gmock.h>

#include "cache/cache_world.h"

namespace muster::cache::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(CacheMachine, OneNodeStartsAloneAndServes) {
  World world;
  world.start("a");
  EXPECT_FALSE(world.at("a").machine->ready());
  world.settle();
  EXPECT_TRUE(world.at("a").machine->ready());
  EXPECT_EQ(world.events("a", CacheEvent::Kind::initiated), 1);
  EXPECT_EQ(world.get("a", "key"), "-");
  const auto written = world.put("a", "key", "value");
  ASSERT_TRUE(written);
  EXPECT_TRUE(written.value().applied && written.value().acknowledged &&
              written.value().everywhere);
  EXPECT_EQ(world.get("a", "key"), "value");
  EXPECT_EQ(world.erase("a", "key").value().deleted, 1u);
  EXPECT_EQ(world.get("a", "key"), "-");
}

TEST(CacheMachine, AJoinerCopiesTheTableAndFollowsIt) {
  World world;
  world.start("a");
  world.settle();
  for (int i = 0; i < 500; ++i) {
    world.put("a", "key" + std::to_string(i), "v" + std::to_string(i)).value();
  }
  world.start("b");
  world.settle();
  ASSERT_TRUE(world.at("b").machine->ready());
  EXPECT_EQ(world.events("b", CacheEvent::Kind::joined), 1);
  EXPECT_EQ(world.content("a"), world.content("b"));
  EXPECT_EQ(world.status("a").digest, world.status("b").digest);
  const auto written = world.put("b", "new", "1");
  ASSERT_TRUE(written);
  EXPECT_TRUE(written.value().acknowledged && written.value().everywhere);
  EXPECT_EQ(written.value().holders.size(), 2u);
  EXPECT_EQ(world.local("a", "new"), "1");
}

TEST(CacheMachine, AfterASyncPutReturnsEveryReadyNodeReadsIt) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    World world(seed);
    for (const char* name : {"a", "b", "c"}) world.start(name);
    world.settle();
    for (int i = 0; i < 20; ++i) {
      const std::string node(1, static_cast<char>('a' + i % 3));
      ASSERT_TRUE(world.put(node, "k", std::to_string(i)).value().acknowledged);
      for (const char* name : {"a", "b", "c"}) EXPECT_EQ(world.local(name, "k"), std::to_string(i));
    }
  }
}

TEST(CacheMachine, JoinersUnderWritesEndUpEqual) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    World world(seed);
    world.start("a");
    world.settle();
    for (int i = 0; i < 300; ++i) world.put("a", "k" + std::to_string(i), "old").value();
    world.start("b");
    world.start("c");
    int answered = 0;
    for (int i = 0; i < 200; ++i) {
      Write write;
      const auto key = world.random() % 400, other = (key + 1 + world.random() % 399) % 400;
      write.puts.push_back({.key = Key("k" + std::to_string(key)), .value = std::to_string(i)});
      write.deletes.push_back(Key("k" + std::to_string(other)));
      world.at("a").machine->write(
          world.now(), "session", write, {},
          [&](Now, Result<Written> result) { answered += result ? 1 : 0; });
      for (int steps = 0; steps < 5; ++steps) world.step();
      if (i % 10 == 0) world.run(1ms);
    }
    world.settle();
    EXPECT_EQ(answered, 200);
    for (const char* name : {"b", "c"}) {
      EXPECT_TRUE(world.at(name).machine->ready());
      EXPECT_EQ(world.content("a"), world.content(name));
      EXPECT_EQ(world.status("a").digest, world.status(name).digest);
      EXPECT_EQ(world.events(name, CacheEvent::Kind::alarm), 0);
    }
  }
}

TEST(CacheMachine, WhileNotReadyReadsAndWritesGoToAReadyMember) {
  World world;
  world.start("a");
  world.settle();
  world.put("a", "k", "v").value();
  world.hold_disk("a", true);  // so that the admission, and with it the join, cannot end
  world.start("b");
  world.run(300ms);
  ASSERT_FALSE(world.at("b").machine->ready());
  EXPECT_EQ(world.get("b", "k"), "v");
  EXPECT_EQ(world.get("b", "nothing"), "-");
  EXPECT_TRUE(world.put("b", "k2", "v2").value().applied);
  EXPECT_EQ(world.local("a", "k2"), "v2");
  world.hold_disk("a", false);
  world.settle();
  EXPECT_EQ(world.local("b", "k2"), "v2");
}

TEST(CacheMachine, AJoinerWhoseOnlySourceLostItsDiskJoinsThatNodesNextStart) {
  World world;
  world.start("a");
  world.run(3s);
  world.hold_disk("a", true);
  world.put("a", "k", "never stored").value();
  world.start("b");
  world.run(300ms);
  ASSERT_FALSE(world.at("b").machine->ready());
  world.crash("a");
  world.lose_disk("a");
  world.start("a");
  world.run(6s);
  EXPECT_TRUE(world.at("a").machine->ready());
  EXPECT_TRUE(world.at("b").machine->ready());
  world.put("b", "k", "anew").value();
  world.settle();
  EXPECT_EQ(world.local("a", "k"), "anew");
}

TEST(CacheMachine, AJoinerWhoseSourceMayComeBackIsWaitedFor) {
  World world;
  for (const char* name : {"a", "c"}) world.start(name);
  world.settle();
  world.put("a", "k", "v").value();
  world.settle();
  world.crash("c");
  world.hold_disk("a", true);
  world.put("a", "later", "v").value();
  world.start("b");
  world.run(300ms);
  ASSERT_FALSE(world.at("b").machine->ready());
  world.crash("a");
  world.start("d");
  world.run(6s);
  EXPECT_FALSE(world.at("d").machine->ready());
  world.start("a");
  world.run(6s);
  EXPECT_EQ(world.get("d", "k"), "v");
}

TEST(CacheMachine, JoinsWhomExtraDbNodesNamesAndAsksForThemEachTime) {
  World world;
  world.start("a");
  world.settle();
  world.put("a", "k", "v").value();
  std::vector<NodeName> extra_db_nodes;
  world.cache_options.extra_db_nodes = [&] { return extra_db_nodes; };
  world.start("b");
  world.run(3s);
  EXPECT_FALSE(world.at("b").machine->ready());
  extra_db_nodes = {world.at("a").fabric->self().name};
  world.run(3s);
  EXPECT_TRUE(world.at("b").machine->ready());
  EXPECT_EQ(world.local("b", "k"), "v");
}

TEST(CacheMachine, NotReadyAndAloneIsAnErrorNeverAMiss) {
  World world;
  world.start("a");
  EXPECT_THAT(world.get("a", "k"), HasSubstr("not ready"));
}

TEST(CacheMachine, AShortCutIsCaughtUpFromTheLog) {
  World world;
  for (const char* name : {"a", "b"}) world.start(name);
  world.settle();
  for (int i = 0; i < 1000; ++i)
    world.put("a", "k" + std::to_string(i), std::string(100, 'x')).value();
  world.cut("a", "b");
  world.run(100ms);
  for (int i = 0; i < 20; ++i) world.put("a", "new" + std::to_string(i), "y").value();
  world.erase("a", "k7").value();
  world.link("a", "b");
  const std::size_t before = world.sent_bytes;
  world.settle();
  EXPECT_EQ(world.content("a"), world.content("b"));
  EXPECT_EQ(world.local("b", "k7"), "-");
  EXPECT_LT(world.sent_bytes - before, 20'000u);  // what was missed, not the table
  EXPECT_EQ(world.events("b", CacheEvent::Kind::inconsistent_database), 0);
}

TEST(CacheMachine, BeyondTheLogBucketsAreComparedAndDeletesHold) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE(seed);
    World world(seed);
    world.cache_options.log_bytes = 2000;
    for (const char* name : {"a", "b"}) world.start(name);
    world.settle();
    for (int i = 0; i < 300; ++i) world.put("a", "k" + std::to_string(i), "x").value();
    world.cut("a", "b");
    world.run(100ms);
    for (int i = 0; i < 150; ++i) world.put("a", "n" + std::to_string(i), "y").value();
    for (int i = 0; i < 100; ++i) world.erase("a", "k" + std::to_string(i)).value();
    world.link("a", "b");
    world.settle();
    EXPECT_EQ(world.content("a"), world.content("b"));
    EXPECT_EQ(world.local("b", "k7"), "-");
    EXPECT_EQ(world.local("b", "n7"), "y");
    EXPECT_TRUE(world.at("b").machine->ready());
    EXPECT_EQ(world.events("b", CacheEvent::Kind::alarm), 0);
  }
}

TEST(CacheMachine, ARestartedNodeKeepsItsDiskAndCatchesUp) {
  World world;
  for (const char* name : {"a", "b"}) world.start(name);
  world.settle();
  for (int i = 0; i < 200; ++i) world.put("a", "k" + std::to_string(i), "x").value();
  world.settle();
  world.crash("b");
  world.put("a", "k1", "changed").value();
  world.erase("a", "k2").value();
  world.put("a", "new", "1").value();
  const std::size_t before = world.sent_bytes;
  world.start("b");
  world.settle();
  EXPECT_TRUE(world.at("b").machine->ready());
  EXPECT_EQ(world.content("a"), world.content("b"));
  EXPECT_LT(world.sent_bytes - before, 20'000u);
  EXPECT_EQ(world.events("b", CacheEvent::Kind::joining), 0);
}

TEST(CacheMachine, ARestartedNodeAloneServesItsDisk) {
  World world;
  world.start("a");
  world.settle();
  world.put("a", "k", "v").value();
  world.put("a", "gone", "v").value();
  world.erase("a", "gone").value();
  world.put("a", "short", "v", 2s).value();
  world.settle();
  world.crash("a");
  world.run(1s);
  world.start("a");
  world.settle();
  EXPECT_TRUE(world.at("a").machine->ready());
  EXPECT_EQ(world.get("a", "k"), "v");
  EXPECT_EQ(world.get("a", "gone"), "-");
  EXPECT_EQ(world.get("a", "short"), "-");
  EXPECT_TRUE(world.put("a", "k", "w").value().acknowledged);
}

TEST(CacheMachine, TheWholeClusterRestartsFromItsDisks) {
  World world;
  for (const char* name : {"a", "b", "c"}) world.start(name);
  world.settle();
  for (int i = 0; i < 50; ++i) world.put("a", "k" + std::to_string(i), "x").value();
  world.settle();
  for (const char* name : {"a", "b", "c"}) world.crash(name);
  for (const char* name : {"c", "b", "a"}) world.start(name);
  world.settle();
  for (const char* name : {"a", "b", "c"}) {
    EXPECT_TRUE(world.at(name).machine->ready()) << world.status(name).detail;
    EXPECT_EQ(world.local(name, "k7"), "x");
  }
  EXPECT_TRUE(world.put("b", "k7", "y").value().acknowledged);
  EXPECT_EQ(world.local("a", "k7"), "y");
}

TEST(CacheMachine, AFrozenReplicaDelaysAPutTwoSecondsAtMostAndThenNobody) {
  World world;
  for (const char* name : {"a", "b", "c"}) world.start(name);
  world.settle();
  world.put("a", "k", "0").value();
  world.freeze("c", true);
  const Instant before = world.now().mono;
  const auto first = world.put("a", "k", "1");
  ASSERT_TRUE(first);
  EXPECT_LE(world.now().mono - before, 2100ms);
  const Instant again = world.now().mono;
  EXPECT_TRUE(world.put("a", "k", "2").value().acknowledged);
  EXPECT_LE(world.now().mono - again, 100ms);
  EXPECT_EQ(world.local("b", "k"), "2");
  world.freeze("c", false);
  world.settle();
  EXPECT_EQ(world.local("c", "k"), "2");
  EXPECT_TRUE(world.at("c").machine->ready());
  EXPECT_TRUE(world.put("a", "k", "3").value().acknowledged);
  EXPECT_EQ(world.local("c", "k"), "3");
}

TEST(CacheMachine, AcrossAMissingLinkOperationsAndAcknowledgementsAreRelayed) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    World world(seed);
    for (const char* name : {"a", "b", "c", "d"}) world.start(name);
    world.settle();
    world.put("a", "k", "0").value();
    world.cut("a", "c");
    world.cut("a", "d");
    world.cut("b", "d");  // a - b - c - d
    world.run(1s);
    const Instant before = world.now().mono;
    const auto written = world.put("a", "k", "1");
    EXPECT_TRUE(written.value().acknowledged && written.value().everywhere);
    EXPECT_LT(world.now().mono - before, 100ms);
    EXPECT_EQ(world.local("d", "k"), "1");
    EXPECT_TRUE(world.put("d", "k", "2").value().acknowledged);
    EXPECT_EQ(world.local("a", "k"), "2");
    EXPECT_EQ(world.status("a").path.size(), 1u);  // nobody is missing: no new line
  }
}

TEST(CacheMachine, OperationsThatDisappearAreFetched) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    World world(seed);
    for (const char* name : {"a", "b", "c"}) world.start(name);
    world.settle();
    world.put("a", "k", "0").value();
    world.drop = 0.2;
    for (int i = 0; i < 60; ++i) {
      const std::string node(1, static_cast<char>('a' + i % 3));
      Write write;
      write.puts.push_back({.key = Key("k" + std::to_string(i % 20)), .value = std::to_string(i)});
      world.at(node).machine->write(world.now(), "session", write,
                                    {.acknowledge = Acknowledge::async},
                                    [](Now, const Result<Written>&) {});
      world.run(5ms);
    }
    world.drop = 0;
    world.run(20s);
    EXPECT_EQ(world.content("a"), world.content("b"));
    EXPECT_EQ(world.content("a"), world.content("c"));
  }
}

TEST(CacheMachine, ExpiredEntriesMissAtOnceAndTellOncePerNode) {
  World world;
  for (const char* name : {"a", "b"}) world.start(name);
  world.settle();
  world.put("a", "k", "v", 500ms).value();
  EXPECT_EQ(world.local("b", "k"), "v");
  world.crash("a");
  world.run(450ms);
  EXPECT_EQ(world.local("b", "k"), "v");
  world.run(50ms);
  EXPECT_EQ(world.local("b", "k"), "-");
  world.run(100ms);
  EXPECT_EQ(world.events("b", CacheEvent::Kind::expired), 1);
  world.settle();
  EXPECT_EQ(world.events("b", CacheEvent::Kind::expired), 1);
}

TEST(CacheMachine, ATouchMovesTheExpiryOnAllNodes) {
  World world;
  for (const char* name : {"a", "b"}) world.start(name);
  world.settle();
  world.put("a", "k", "v", 500ms).value();
  EXPECT_TRUE(world.touch("b", "k", 10s).value().applied);
  EXPECT_FALSE(world.touch("b", "nothing", 10s).value().applied);
  world.run(2s);
  EXPECT_EQ(world.local("a", "k"), "v");
  world.run(10s);
  EXPECT_EQ(world.local("a", "k"), "-");
}

TEST(CacheMachine, LimitsAreErrorsThatNameThem) {
  World world;
  world.start("a");
  world.settle();
  EXPECT_THAT(world.put("a", "", "v").error().text(), HasSubstr("empty"));
  EXPECT_THAT(world.put("a", std::string(481, 'k'), "v").error().text(), HasSubstr("480"));
  EXPECT_TRUE(world.put("a", std::string(480, 'k'), "v"));
  EXPECT_THAT(world.put("a", "k", std::string(max_value_bytes + 1, 'v')).error().text(),
              HasSubstr(std::to_string(max_value_bytes)));
  EXPECT_TRUE(world.put("a", "k", std::string(max_value_bytes, 'v')));
  Write big;
  for (int i = 0; i < 8; ++i) {
    big.puts.push_back({.key = Key("k" + std::to_string(i)), .value = std::string(100'000, 'v')});
  }
  EXPECT_THAT(world.write("a", big).error().text(), HasSubstr(std::to_string(max_batch_bytes)));
}

TEST(CacheMachine, TablesLiveOnNamedNodesAndOthersPassRequestsOn) {
  TableDefinition jobs{.name = "jobs"};
  jobs.copies = {NodeName::parse("a@host").value()};
  World world;
  world.start("a", {TableDefinition{}, jobs});
  world.start("b");  // learns of it
  world.settle();
  EXPECT_THAT(world.at("b").machine->table_names(), ElementsAre("session", "jobs"));
  EXPECT_TRUE(world.at("b").machine->ready())
      << world.status("b").detail << ", " << world.status("b", "jobs").detail;
  Write write;
  write.puts.push_back({.key = Key("job"), .value = "1"});
  const auto written = world.write("b", write, {}, "jobs");
  ASSERT_TRUE(written) << written.error().text();
  EXPECT_TRUE(written.value().everywhere);
  EXPECT_EQ(world.local("a", "job", "jobs"), "1");
  EXPECT_EQ(world.local("b", "job", "jobs"), "-");
  EXPECT_EQ(world.get("b", "job", "jobs"), "1");
}

TEST(CacheMachine, AMajorityTableRefusesWritesInAMinority) {
  TableDefinition strict;
  strict.majority = true;
  World world;
  for (const char* name : {"a", "b", "c"}) world.start(name, {strict});
  world.settle();
  ASSERT_TRUE(world.put("a", "k", "0"));
  world.split({{"a", "b"}, {"c"}});
  world.run(100ms);
  EXPECT_TRUE(world.put("a", "k", "1"));
  EXPECT_THAT(world.put("c", "k", "2").error().text(), HasSubstr("no majority"));
  world.heal();
  world.settle();
  EXPECT_EQ(world.local("c", "k"), "1");
  EXPECT_EQ(world.events("c", CacheEvent::Kind::inconsistent_database), 0);
}

TEST(CacheMachine, GarbageIsCountedAndIgnored) {
  World world;
  for (const char* name : {"a", "b"}) world.start(name);
  world.settle();
  world.put("a", "k", "v").value();
  const node::Member b = world.at("b").fabric->self();
  std::mt19937_64 random(7);
  for (int i = 0; i < 3000; ++i) {
    std::string bytes(random() % 200, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    if (i % 2 == 0)
      bytes = std::string("\x0a\x07session\x12", 10) + static_cast<char>(bytes.size()) + bytes;
    world.at("a").machine->received(world.now(), b, bytes);
  }
  world.settle();
  EXPECT_EQ(world.local("a", "k"), "v");
  EXPECT_TRUE(world.put("b", "k", "w").value().acknowledged);
  EXPECT_EQ(world.local("a", "k"), "w");
}

}  // namespace
}  // namespace muster::cache::testing
