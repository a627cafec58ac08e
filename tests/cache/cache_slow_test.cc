// SPDX-License-Identifier: MIT
//
// Much to send, and peers that take it slowly: what waits on a link stays bounded, and whoever is
// behind is told and catches up.
#include <gmock/gmock.h>

#include "cache/cache_world.h"
#include "replication.pb.h"

namespace muster::cache::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

constexpr std::size_t mebibyte = std::size_t{1} << 20;
constexpr std::size_t queue_max = 8 * mebibyte;

std::string key(int i) { return "k" + std::to_string(i); }

void put_many(World& world, const std::string& node, int count, std::size_t value_bytes) {
  for (int i = 0; i < count; ++i) {
    world.put(node, key(i), std::string(value_bytes, static_cast<char>('a' + i % 26))).value();
  }
}

WriteOptions async() { return {.acknowledge = Acknowledge::async}; }

/// a - b - c
void start_chain(World& world) {
  for (const char* name : {"a", "b", "c"}) world.start(name);
  world.settle();
  world.put("a", "k", "old").value();
  world.cut("a", "c");
  world.run(1s);
}

TEST(CacheMachine, AJoinOfLargeValuesKeepsLittleUnderWay) {
  World world;
  world.start("a");
  world.settle();
  put_many(world, "a", 1000, 50'000);
  world.most_queued = 0;
  world.start("b");
  world.settle();
  ASSERT_TRUE(world.at("b").machine->ready());
  EXPECT_EQ(world.status("a").digest, world.status("b").digest);
  EXPECT_LT(world.most_queued, queue_max);
}

TEST(CacheMachine, AJoinKeepsLittleUnderWayAlsoWhereTheSizeOfValuesIsNotKnown) {
  TableDefinition on_disk;
  on_disk.storage = Storage::disc_only_copies;
  World world;
  world.start("a", {on_disk});
  world.settle();
  put_many(world, "a", 1000, 50'000);
  world.run(1s);
  world.most_queued = 0;
  world.start("b", {on_disk});
  world.settle();
  ASSERT_TRUE(world.at("b").machine->ready());
  EXPECT_EQ(world.status("a").digest, world.status("b").digest);
  EXPECT_LT(world.most_queued, queue_max);
}

TEST(CacheMachine, AJoinGoesOnWhenTheLinkHasDrained) {
  World world;
  world.start("a");
  world.settle();
  put_many(world, "a", 50, 1000);
  world.clogged[{"a", "b"}] = queue_max + 1;
  world.start("b");
  world.run(1s);
  EXPECT_FALSE(world.at("b").machine->ready());
  EXPECT_LT((world.sent_on[{"a", "b"}]), 20'000u);
  world.clogged.clear();
  world.settle();
  ASSERT_TRUE(world.at("b").machine->ready());
  EXPECT_EQ(world.content("a"), world.content("b"));
}

/// A table that is on a alone; b passes on what it is asked.
void start_with_jobs_on_a(World& world, Durability durability = Durability::async) {
  TableDefinition jobs{.name = "jobs"};
  jobs.durability = durability;
  jobs.copies = {NodeName::parse("a@host").value()};
  world.start("a", {TableDefinition{}, jobs});
  world.start("b");
  world.settle();
}

void put_jobs(World& world, int count, std::size_t value_bytes) {
  for (int i = 0; i < count; ++i) {
    Write write;
    write.puts.push_back({.key = Key(key(i)), .value = std::string(value_bytes, 'x')});
    world.write("a", write, {}, "jobs").value();
  }
}

TEST(CacheMachine, ManyLargeReadsOfANodeWithoutACopyAreAllAnsweredAndFewAreUnderWay) {
  World world;
  start_with_jobs_on_a(world);
  put_jobs(world, 1, max_value_bytes);
  world.most_queued = 0;
  int found = 0;
  for (int i = 0; i < 500; ++i) {
    world.at("b").machine->get(world.now(), "jobs", Key(key(0)),
                               [&](Now, Result<std::optional<Table::Found>> read) {
                                 found += read.value()->value.size() == max_value_bytes ? 1 : 0;
                               });
  }
  world.at("b").machine->flush(world.now());
  world.run(2s);
  EXPECT_EQ(found, 500);
  EXPECT_LT(world.most_queued, queue_max);
}

TEST(CacheMachine, ManyLargeTakesOfANodeWithoutACopyAreAllAnsweredAndFewAreUnderWay) {
  World world;
  start_with_jobs_on_a(world, Durability::sync);
  put_jobs(world, 40, max_value_bytes);
  world.most_queued = 0;
  int taken = 0;
  world.hold_disk("a", true);
  for (int i = 0; i < 40; ++i) {
    world.at("b").machine->take(world.now(), "jobs", Key(key(i)), {},
                                [&](Now, Result<Taken> result) {
                                  const auto& value = result.value().value;
                                  taken += value && value->size() == max_value_bytes ? 1 : 0;
                                });
  }
  world.at("b").machine->flush(world.now());
  world.run(200ms);  // All that have begun wait for the disk.
  EXPECT_EQ(taken, 0);
  world.hold_disk("a", false);
  world.run(2s);
  EXPECT_EQ(taken, 40);
  EXPECT_LT(world.most_queued, queue_max);
}

TEST(CacheMachine, WhatANodeWithoutACopyIsAskedInOrderIsDoneInOrder) {
  World world;
  start_with_jobs_on_a(world);
  put_jobs(world, 1, 10);
  world.clogged[{"a", "b"}] = queue_max + 1;
  std::string read;
  CacheMachine& b = *world.at("b").machine;
  b.get(world.now(), "jobs", Key(key(0)),
        [&](Now, Result<std::optional<Table::Found>> found) { read = found.value()->value; });
  Write write;
  write.puts.push_back({.key = Key(key(0)), .value = "new"});
  b.write(world.now(), "jobs", write, {}, [](Now, const Result<Written>&) {});
  b.flush(world.now());
  world.run(500ms);
  EXPECT_EQ(read, "");
  world.clogged.clear();
  world.run(500ms);
  EXPECT_EQ(read, std::string(10, 'x'));
  EXPECT_EQ(world.local("a", key(0), "jobs"), "new");
}

TEST(CacheMachine, MoreThanALinkTakesIsRefusedWithAClearWord) {
  World world;
  start_with_jobs_on_a(world);
  int refused = 0, answered = 0;
  for (int i = 0; i < 100; ++i) {
    Write write;
    write.puts.push_back({.key = Key(key(i)), .value = std::string(max_value_bytes, 'x')});
    world.at("b").machine->write(world.now(), "jobs", write, {},
                                 [&](Now, const Result<Written>& written) {
                                   ++answered;
                                   if (written) return;
                                   ++refused;
                                   EXPECT_THAT(written.error().text(), HasSubstr("try again"));
                                 });
  }
  world.at("b").machine->flush(world.now());
  world.run(3s);
  EXPECT_EQ(answered, 100);
  EXPECT_GT(refused, 0);
  EXPECT_LT(refused, 100);
  EXPECT_LT(world.most_queued, 20 * mebibyte);
}

TEST(CacheMachine, ASlowPeerIsCutOverAndCatchesUp) {
  World world;
  for (const char* name : {"a", "b"}) world.start(name);
  world.settle();
  world.put("a", "k", "0").value();
  world.clogged[{"a", "b"}] = queue_max + 1;
  const std::size_t before = world.sent_bytes;
  for (int i = 0; i < 100; ++i) {
    world.put("a", key(i), std::string(1000, 'x'), {}, async()).value();
  }
  EXPECT_LT(world.sent_bytes - before, 50'000u);
  world.clogged.clear();
  world.run(10s);
  EXPECT_EQ(world.content("a"), world.content("b"));
}

TEST(CacheMachine, ManyLargePutsAtOnceDoNotOverfillALink) {
  World world;
  for (const char* name : {"a", "b"}) world.start(name);
  world.settle();
  world.put("a", "k", "0").value();
  world.most_queued = 0;
  for (int i = 0; i < 100; ++i) {
    Write write;
    write.puts.push_back({.key = Key(key(i)), .value = std::string(max_value_bytes, 'x')});
    world.at("a").machine->write(world.now(), "session", write, async(),
                                 [](Now, const Result<Written>&) {});
  }
  world.at("a").machine->flush(world.now());
  world.run(10s);
  EXPECT_LT(world.most_queued, 40 * mebibyte);
  EXPECT_EQ(world.status("a").digest, world.status("b").digest);
}

TEST(CacheMachine, ASlowPeerBehindARelayIsCutOverAndCatchesUp) {
  World world;
  start_chain(world);
  world.clogged[{"b", "c"}] = queue_max + 1;
  const std::size_t before = world.sent_on[{"b", "c"}];
  for (int i = 0; i < 100; ++i) {
    world.put("a", key(i), std::string(1000, 'x'), {}, async()).value();
  }
  world.run(1s);
  EXPECT_LT((world.sent_on[{"b", "c"}]) - before, 20'000u);
  world.clogged.clear();
  world.run(10s);
  EXPECT_EQ(world.content("a"), world.content("c"));
}

TEST(CacheMachine, ARelayThatWritesNothingRelaysAgainWhenTheLinkHasDrained) {
  World world;
  start_chain(world);
  world.clogged[{"b", "c"}] = queue_max + 1;
  for (int i = 0; i < 10; ++i) world.put("b", key(i), "x", {}, async()).value();
  world.clogged.clear();
  world.run(10s);
  ASSERT_EQ(world.content("b"), world.content("c"));
  const Instant before = world.now().mono;
  EXPECT_TRUE(world.put("a", "k", "new").value().acknowledged);
  EXPECT_LT(world.now().mono - before, 100ms);
  EXPECT_EQ(world.local("c", "k"), "new");
}

/// It was told that `k` is new, and its links have drained.
void expect_c_to_catch_up(World& world) {
  world.clogged.clear();
  EXPECT_EQ(world.get("c", "k"), "new");
  world.settle();
  EXPECT_TRUE(world.at("c").machine->ready());
  EXPECT_EQ(world.local("c", "k"), "new");
  EXPECT_TRUE(world.put("a", "k", "newer").value().acknowledged);
  EXPECT_EQ(world.local("c", "k"), "newer");
}

TEST(CacheMachine, AReplicaThatLeftTheSyncSetIsToldAndNotReadyUntilItHasCaughtUp) {
  World world;
  for (const char* name : {"a", "b", "c"}) world.start(name);
  world.settle();
  world.put("a", "k", "old").value();
  world.clogged[{"a", "c"}] = world.clogged[{"b", "c"}] = queue_max + 1;
  EXPECT_TRUE(world.put("a", "k", "new").value().acknowledged);
  world.run(100ms);
  EXPECT_EQ(world.local("c", "k"), "old");
  EXPECT_FALSE(world.at("c").machine->ready());
  expect_c_to_catch_up(world);
}

TEST(CacheMachine, AReplicaThatLeftTheSyncSetIsToldAcrossAMissingLinkAsWell) {
  World world;
  start_chain(world);
  world.clogged[{"b", "c"}] = queue_max + 1;
  EXPECT_TRUE(world.put("a", "k", "new").value().acknowledged);
  world.run(100ms);
  EXPECT_EQ(world.local("c", "k"), "old");
  EXPECT_FALSE(world.at("c").machine->ready());
  world.run(5s);
  EXPECT_FALSE(world.at("c").machine->ready());
  expect_c_to_catch_up(world);
}

TEST(CacheMachine, ALaggardThatLostItsLinkBeforeItWasToldIsToldWhenItIsLinkedAgain) {
  World world;
  for (const char* name : {"a", "b"}) world.start(name);
  world.settle();
  world.put("a", "k", "old").value();
  world.drop = 1;
  EXPECT_TRUE(world.put("a", "k", "new").value().acknowledged);
  world.cut("a", "b");
  world.drop = 0;
  world.clogged[{"a", "b"}] = queue_max + 1;
  world.link("a", "b");
  world.run(200ms);
  EXPECT_EQ(world.local("b", "k"), "old");
  EXPECT_FALSE(world.at("b").machine->ready());
}

/// A delete by each of so many nodes that nobody has heard of.
std::string deletes_of_unknown_nodes(World& world, std::uint64_t first, std::uint64_t count) {
  wire::Message message;
  message.set_table("session");
  for (std::uint64_t boot = first; boot < first + count; ++boot) {
    wire::Operation operation;
    operation.set_boot(boot);
    operation.set_number(1);
    operation.set_sequence(1);
    operation.set_time_us(static_cast<std::uint64_t>(world.now().wall.time_since_epoch().count()));
    operation.mutable_origin()->set_root(world.status("a").path.front().id);
    operation.add_removes()->set_key(Key("gone").encoded());
    message.add_operations(operation.SerializeAsString());
  }
  return message.SerializeAsString();
}

TEST(CacheMachine, WithMoreOriginsThanAFrameHoldsNodesReportCatchUpAndJoin) {
  World world;
  for (const char* name : {"a", "b", "c"}) world.start(name);
  world.settle();
  world.put("a", "k", "old").value();
  world.crash("c");  // It may need them all: nothing is forgotten.
  for (std::uint64_t part = 1; part <= 4; ++part) {
    const std::string bytes = deletes_of_unknown_nodes(world, part << 32, 7000);
    ASSERT_LE(bytes.size(), node::Fabric::max_payload);
    world.at("a").machine->received(world.now(), world.at("b").fabric->self(), bytes);
  }
  world.at("a").machine->flush(world.now());
  world.run(3s);
  EXPECT_TRUE(world.put("a", "k", "new").value().acknowledged);
  EXPECT_EQ(world.local("b", "k"), "new");
  world.start("d");
  world.settle();
  ASSERT_TRUE(world.at("d").machine->ready());
  EXPECT_TRUE(world.put("d", "k", "newer").value().acknowledged);
  EXPECT_EQ(world.local("a", "k"), "newer");
  EXPECT_EQ(world.local("b", "k"), "newer");
}

/// As if the copy on that node had seen so much, and what others will write as well.
wire::Report report_of_many_origins(World& world, const std::string& node) {
  const node::Member& self = world.at(node).fabric->self();
  wire::Report report;
  report.set_boot(self.boot.value);
  report.set_name(self.name.text());
  report.set_ordinal(self.ordinal);
  report.set_version(1'000'000);
  report.set_readiness(static_cast<std::uint32_t>(Readiness::ready));
  for (const Line& line : world.status(node).path) {
    wire::Line& to = *report.add_path();
    to.set_id(line.id);
    to.set_parent(line.parent);
    to.set_ordinal(line.namer.ordinal);
    to.set_boot(line.namer.boot.value);
    to.set_view(line.view);
    to.mutable_stamp()->set_time(line.stamp.time);
    to.mutable_stamp()->set_boot(line.stamp.boot.value);
  }
  for (std::uint64_t i = 0; i < 12'000; ++i) {
    wire::VectorEntry& entry = *report.add_seen();
    entry.set_boot(1'000'000'000 + i);
    entry.set_number(1);
    entry.set_sequence(1);
    entry.set_root(i);
    entry.set_line(i);
    entry.mutable_start()->set_boot(1);
  }
  for (const char* other : {"a", "b", "c", "d"}) {
    for (std::uint32_t number = 1; number < 5; ++number) {
      wire::VectorEntry& entry = *report.add_seen();
      entry.set_boot(world.at(other).fabric->self().boot.value);
      entry.set_number(number);
      entry.set_sequence(1'000'000);
    }
  }
  return report;
}

TEST(CacheMachine, ReportsOfMoreOriginsThanAFrameHoldsArePassedOn) {
  World world;
  for (const char* name : {"a", "b", "c", "d"}) world.start(name);
  world.settle();
  world.put("a", "k", "old").value();
  for (const char* name : {"b", "d"}) world.cut("c", name);
  world.cut("b", "d");
  world.run(1s);  // a is linked to all, the others to nobody else
  for (const char* name : {"b", "d"}) {
    wire::Message message;
    message.set_table("session");
    *message.mutable_report() = report_of_many_origins(world, name);
    const std::string bytes = message.SerializeAsString();
    ASSERT_LE(bytes.size(), node::Fabric::max_payload);
    world.freeze(name, true);
    world.at("a").machine->received(world.now(), world.at(name).fabric->self(), bytes);
  }
  world.at("a").machine->flush(world.now());
  world.run(100ms);
  const Written written = world.put("c", "k", "new").value();
  EXPECT_TRUE(written.acknowledged && written.everywhere);  // c knows what they are said to have
}

}  // namespace
}  // namespace muster::cache::testing
