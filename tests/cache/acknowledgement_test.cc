// SPDX-License-Identifier: MIT
//
// Whom a write waits for, what it says when they do not answer, and that all of it holds as well
// where another member is asked because this node has no copy that is ready.
#include <gmock/gmock.h>

#include <optional>

#include "cache/cache_world.h"

namespace muster::cache::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

constexpr WriteOptions soon{.acknowledge = {}, .deadline = 500ms};

WriteOptions soon_by(Acknowledge acknowledge) {
  return {.acknowledge = acknowledge, .deadline = 500ms};
}

NodeName name(const std::string& base) { return NodeName::parse(base + "@host").value(); }

Write put_of(const std::string& key, const std::string& value) {
  Write write;
  write.puts.push_back({.key = Key(key), .value = value});
  return write;
}

class Acknowledgement : public ::testing::Test {
 protected:
  void start(const std::vector<std::string>& names, const TableDefinition& table = {}) {
    for (const std::string& each : names) world_.start(each, {table});
    world_.settle();
    ASSERT_TRUE(world_.put(names.front(), "k", "0").value().everywhere);
  }
  /// Two that hold the table and one that asks them: a, as the eldest.
  void start_two_and_one_without_a_copy() {
    TableDefinition table;
    table.copies = {name("a"), name("b")};
    start({"a", "b", "c"}, table);
  }
  Duration since(Instant before) const { return world_.now().mono - before; }

  template <class Answer>
  Result<Answer> wait_for(const std::string& node, std::optional<Result<Answer>>& answer) {
    world_.at(node).machine->flush(world_.now());
    for (int i = 0; !answer && i < 300; ++i) world_.run(10ms);
    if (!answer) throw std::runtime_error("never answered");
    return *answer;
  }
  Result<Written> touch(const std::string& node, const WriteOptions& options) {
    std::optional<Result<Written>> answer;
    world_.at(node).machine->touch(world_.now(), "session", Key("k"), 1h, options,
                                   [&](Now, const Result<Written>& end) { answer = end; });
    return wait_for(node, answer);
  }
  Result<Taken> take(const std::string& node, const WriteOptions& options) {
    std::optional<Result<Taken>> answer;
    world_.at(node).machine->take(world_.now(), "session", Key("k"), options,
                                  [&](Now, const Result<Taken>& end) { answer = end; });
    return wait_for(node, answer);
  }

  World world_;
};

TableDefinition stored_first() {
  TableDefinition table;
  table.durability = Durability::sync;
  return table;
}

TEST_F(Acknowledgement, AsyncWaitsForNoReplica) {
  start({"a", "b"});
  world_.freeze("b", true);
  const Instant before = world_.now().mono;
  const auto written = world_.put("a", "k", "1", {}, soon_by(Acknowledge::async)).value();
  EXPECT_TRUE(written.acknowledged);
  EXPECT_FALSE(written.everywhere);
  EXPECT_THAT(written.holders, UnorderedElementsAre(name("a")));
  EXPECT_EQ(since(before), 0ms);
  world_.freeze("b", false);
  world_.run(100ms);
  EXPECT_EQ(world_.local("b", "k"), "1") << "it follows at once";
}

TEST_F(Acknowledgement, AsyncWaitsForThisNodesDiskWhereThatIsAskedFor) {
  start({"a", "b"}, stored_first());
  world_.hold_disk("a", true);
  EXPECT_FALSE(world_.put("a", "k", "1", {}, soon_by(Acknowledge::async)).value().acknowledged);
}

TEST_F(Acknowledgement, LocalDoesNotEvenWaitForThisNodesDisk) {
  start({"a", "b"}, stored_first());
  world_.hold_disk("a", true);
  world_.freeze("b", true);
  const Instant before = world_.now().mono;
  EXPECT_TRUE(world_.put("a", "k", "1", {}, soon_by(Acknowledge::local)).value().acknowledged);
  EXPECT_EQ(since(before), 0ms);
}

TEST_F(Acknowledgement, SyncWaitsForReplicasAndForAllDisks) {
  start({"a", "b"}, stored_first());
  for (const char* held : {"a", "b"}) {
    world_.hold_disk(held, true);
    EXPECT_FALSE(world_.put("a", "k", "1", {}, soon).value().acknowledged) << held;
    world_.hold_disk(held, false);
    world_.settle();
  }
  world_.freeze("b", true);
  EXPECT_FALSE(world_.put("a", "k", "2", {}, soon).value().acknowledged);
  world_.freeze("b", false);
  world_.settle();
  EXPECT_TRUE(world_.put("a", "k", "3", {}, soon).value().acknowledged);
}

/// How many copies show "v" at the moment in which the write is answered; none: not acknowledged.
std::size_t copies_at_the_answer(World& world, const std::vector<std::string>& nodes) {
  std::optional<std::size_t> copies;
  world.at("a").machine->write(world.now(), "session", put_of("m", "v"),
                               soon_by(Acknowledge::majority),
                               [&](Now, const Result<Written>& written) {
                                 copies = 0;
                                 if (!written.value().acknowledged) return;
                                 for (const std::string& node : nodes)
                                   *copies += world.local(node, "m") == "v" ? 1 : 0;
                               });
  world.at("a").machine->flush(world.now());
  for (int i = 0; !copies && i < 300; ++i) world.run(10ms);
  return copies.value_or(0);
}

TEST_F(Acknowledgement, AMajorityHasWhatIsAcknowledgedToOneAndItWaitsForNobodyElse) {
  const std::vector<std::string> nodes{"a", "b", "c", "d", "e"};
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE(seed);
    World world(seed);
    for (const std::string& node : nodes) world.start(node);
    world.settle();
    ASSERT_TRUE(world.put("a", "k", "0").value().everywhere);
    for (const char* frozen : {"d", "e"}) world.freeze(frozen, true);
    const Instant before = world.now().mono;
    EXPECT_GE(copies_at_the_answer(world, nodes), 3u);
    EXPECT_LE(world.now().mono - before, 50ms) << "two are frozen";
  }
}

TEST_F(Acknowledgement, WithoutAMajorityThatAnswersItIsNotAcknowledged) {
  const std::vector<std::string> nodes{"a", "b", "c", "d", "e"};
  start(nodes);
  for (const char* frozen : {"c", "d", "e"}) world_.freeze(frozen, true);
  EXPECT_EQ(copies_at_the_answer(world_, nodes), 0u);
}

TEST_F(Acknowledgement, ACallMayAskForMoreThanItsTable) {
  TableDefinition table;
  table.writes = Acknowledge::async;
  start({"a"}, table);
  world_.start("b", {table});
  world_.settle();
  world_.freeze("b", true);
  EXPECT_TRUE(world_.put("a", "k", "1", {}, soon).value().acknowledged);
  EXPECT_FALSE(world_.put("a", "k", "2", {}, soon_by(Acknowledge::sync)).value().acknowledged);
  EXPECT_FALSE(touch("a", soon_by(Acknowledge::sync)).value().acknowledged);
  EXPECT_FALSE(take("a", soon_by(Acknowledge::sync)).value().written.acknowledged);
}

TEST_F(Acknowledgement, ACallMayAskForLessThanItsTable) {
  start({"a", "b"});
  world_.freeze("b", true);
  EXPECT_FALSE(world_.put("a", "k", "1", {}, soon).value().acknowledged);
  EXPECT_TRUE(touch("a", soon_by(Acknowledge::async)).value().acknowledged);
  EXPECT_TRUE(take("a", soon_by(Acknowledge::async)).value().written.acknowledged);
}

TEST_F(Acknowledgement, ATimeOutNamesExactlyThoseWhoHaveIt) {
  start({"a", "b", "c"});
  world_.freeze("c", true);
  const auto written = world_.put("a", "k", "1", {}, soon).value();
  EXPECT_TRUE(written.applied);
  EXPECT_FALSE(written.acknowledged || written.everywhere);
  EXPECT_THAT(written.holders, UnorderedElementsAre(name("a"), name("b")));
  EXPECT_EQ(world_.local("b", "k"), "1");
  EXPECT_EQ(world_.local("c", "k"), "0");
}

TEST_F(Acknowledgement, ATakeSaysWhoHasTheDelete) {
  start({"a", "b", "c"});
  world_.freeze("c", true);
  const Taken taken = take("a", soon).value();
  EXPECT_EQ(taken.value, "0");
  EXPECT_FALSE(taken.written.acknowledged || taken.written.everywhere);
  EXPECT_THAT(taken.written.holders, UnorderedElementsAre(name("a"), name("b")));
  EXPECT_EQ(take("a", soon).value().value, std::nullopt);
}

TEST_F(Acknowledgement, WhoIsAskedForAnotherIsToldHowLongAndWhomToWaitFor) {
  start_two_and_one_without_a_copy();
  world_.freeze("b", true);
  const Instant before = world_.now().mono;
  const auto put = world_.put("c", "k", "1", {}, soon).value();
  EXPECT_LE(since(before), 500ms);
  EXPECT_TRUE(put.applied);
  EXPECT_FALSE(put.acknowledged);
  EXPECT_THAT(put.holders, UnorderedElementsAre(name("a")));
  EXPECT_THAT(touch("c", soon).value().holders, UnorderedElementsAre(name("a")));
  EXPECT_TRUE(touch("c", soon_by(Acknowledge::async)).value().acknowledged);
  const Taken taken = take("c", soon).value();
  EXPECT_EQ(taken.value, "1");
  EXPECT_FALSE(taken.written.acknowledged);
  EXPECT_THAT(taken.written.holders, UnorderedElementsAre(name("a")));
  ASSERT_TRUE(world_.put("c", "k", "2", {}, soon_by(Acknowledge::async)).value().acknowledged);
  EXPECT_TRUE(take("c", soon_by(Acknowledge::async)).value().written.acknowledged);
  EXPECT_LE(since(before), 1600ms);
}

TEST_F(Acknowledgement, AFrozenMemberThatIsAskedIsNamedAfterTwoSeconds) {
  start_two_and_one_without_a_copy();
  world_.freeze("a", true);
  const Instant before = world_.now().mono;
  const auto put = world_.put("c", "k", "1", {}, {.acknowledge = {}, .deadline = 10s});
  EXPECT_LE(since(before), 2s);
  ASSERT_FALSE(put);
  EXPECT_EQ(put.error().code, std::errc::timed_out);
  EXPECT_THAT(put.error().text(), HasSubstr("not acknowledged; a@host"));
}

TEST_F(Acknowledgement, WhatAMemberMadeOfARequestIsUnknownWhereItsAnswerIsLost) {
  start_two_and_one_without_a_copy();
  std::optional<Result<Written>> answer;
  world_.at("c").machine->write(world_.now(), "session", put_of("k", "1"), {},
                                [&](Now, const Result<Written>& end) { answer = end; });
  world_.at("c").machine->flush(world_.now());
  while (world_.local("a", "k") != "1" && world_.step()) continue;
  ASSERT_EQ(world_.local("a", "k"), "1");
  world_.cut("a", "c");
  world_.run(10ms);
  ASSERT_TRUE(answer && !*answer);
  EXPECT_EQ(answer->error().code, std::errc::timed_out);
  EXPECT_THAT(answer->error().text(), HasSubstr("unknown"));
}

TEST_F(Acknowledgement, AReadThatIsNotAnsweredSaysWhoWasAsked) {
  start_two_and_one_without_a_copy();
  world_.freeze("a", true);
  EXPECT_THAT(world_.get("c", "k"), HasSubstr("a@host, asked instead, has not answered"));
}

TEST_F(Acknowledgement, NobodyToAskIsARefusal) {
  start_two_and_one_without_a_copy();
  for (const char* gone : {"a", "b"}) world_.crash(gone);
  const auto put = world_.put("c", "k", "1");
  ASSERT_FALSE(put);
  EXPECT_EQ(put.error().code, std::errc::resource_unavailable_try_again);
  EXPECT_THAT(put.error().text(), HasSubstr("no ready member is connected"));
}

}  // namespace
}  // namespace muster::cache::testing
