// SPDX-License-Identifier: MIT
//
// The checkers bite: each test breaks one thing, and the checker that guards it must say so.  A
// broken promise is planted in a part (a disk that lies, a healer that errs) or in the record of
// what clients were told.
#include <gmock/gmock.h>

#include <chrono>

#include "scenario.h"

namespace muster::lab {
namespace {

using namespace std::chrono_literals;
using cache::OnSplit;
using testing::HasSubstr;

/// An answer that no node gave.
Operation planted(World& world, Operation::Kind kind, const std::string& key) {
  Operation operation;
  operation.kind = kind;
  operation.table = "session";
  operation.key = cache::Key(key).encoded();
  operation.value = kind == Operation::Kind::put ? "planted" : "";
  operation.life = world.node(0).life();
  operation.invoked = operation.completed = world.now();
  operation.applied = operation.acknowledged = true;
  for (NodeIndex index = 0; index < world.size(); ++index)
    operation.holders.emplace(index, world.now());
  return operation;
}

/// A quiet cluster that wrote one key.
void settle(World& world) {
  ASSERT_TRUE(start_cluster(world)) << world.picture();
  world.put(0, "session", "key");
  world.run_for(3s);
  ASSERT_EQ(joined(world.quiet()), "");
}

TEST(Checkers, NoticeAnAcknowledgedPutThatIsLost) {
  Stage world(1, world_of(2));
  settle(*world);
  world->history().add(planted(*world, Operation::Kind::put, "other"));
  EXPECT_THAT(joined(world->quiet()), HasSubstr("an acknowledged put is lost"));
}

TEST(Checkers, NoticeADeletedKeyThatIsBack) {
  Stage world(1, world_of(2));
  settle(*world);
  world->history().add(planted(*world, Operation::Kind::remove, "key"));
  EXPECT_THAT(joined(world->quiet()), HasSubstr("resurrected"));
}

TEST(Checkers, NoticeAValueThatWentBack) {
  Stage world(1, world_of(2));
  settle(*world);
  world->history().add(planted(*world, Operation::Kind::put, "key"));
  EXPECT_THAT(joined(world->quiet()), HasSubstr("went back"));
}

TEST(Checkers, NoticeAValueThatNobodyWrote) {
  Stage world(1, world_of(2));
  ASSERT_TRUE(start_cluster(*world)) << world->picture();
  world->node(0).turn([&](Now now) {
    cache::Write write;
    write.puts.push_back({.key = cache::Key("key"), .value = "smuggled", .ttl = {}});
    world->node(0).cache()->write(now, "session", write, {}, [](Now, Result<cache::Written>) {});
  });
  EXPECT_THAT(joined(world->quiet()), HasSubstr("a value that nobody wrote"));
}

TEST(Checkers, NoticeADiskThatLies) {
  WorldOptions options = world_of(2);
  options.node.lying_disk = true;
  Stage world(1, options);
  ASSERT_TRUE(start_cluster(*world)) << world->picture();
  load(*world, 10);
  world->crash(0);
  world->crash(1);
  EXPECT_THAT(joined(world->quiet()), HasSubstr("an acknowledged put is lost"));
}

/// Decides or writes down what the test wants.
class BrokenHealer : public cache::Healer {
 public:
  using Judge = std::function<cache::Verdict(const cache::Fork&)>;
  BrokenHealer(cache::Healer& real, Judge judge, bool keeps_journal)
      : real_(real), judge_(std::move(judge)), keeps_journal_(keeps_journal) {}

  cache::Verdict judge(Now now, const cache::TableDefinition& table,
                       const cache::Fork& fork) override {
    return judge_ ? judge_(fork) : real_.judge(now, table, fork);
  }
  Record record(Now now, const cache::TableDefinition& table, const cache::SetAside& aside,
                bool speaks) override {
    Record record = real_.record(now, table, aside, speaks);
    if (!keeps_journal_) record.key = "one for all";
    return record;
  }
  void healed(Now now, const cache::HealReport& report) override { real_.healed(now, report); }

 private:
  cache::Healer& real_;
  Judge judge_;
  bool keeps_journal_;
};

std::string after_a_split(World& world) {
  if (!start_cluster(world)) return world.picture();
  world.cut(0, 1);
  world.run_for(4s);
  for (const char* key : {"a", "b", "c"}) {
    world.put(0, "session", key);
    world.put(1, "session", key);
    world.put(0, "session", std::string(key) + " left");
    world.put(1, "session", std::string(key) + " right");
  }
  world.run_for(4s);
  return joined(world.quiet(20s));
}

TEST(Checkers, NoticeNothingWhenTheHealerIsSound) {
  for (const OnSplit rule : {OnSplit::oldest, OnSplit::merge}) {
    Stage world(1, world_of(2, rule));
    EXPECT_EQ(after_a_split(*world), "");
  }
}

TEST(Checkers, NoticeAHealerThatLetsBothSidesWin) {
  WorldOptions options = world_of(2);
  options.node.wrap_healer = [](const NodeName&, cache::Healer& real) {
    return std::make_unique<BrokenHealer>(
        real, [](const cache::Fork&) { return cache::Verdict::ours_wins; }, true);
  };
  Stage world(1, options);
  EXPECT_THAT(after_a_split(*world), HasSubstr("reads"));
}

TEST(Checkers, NoticeAValueThatIsSetAsideWithoutAJournal) {
  WorldOptions options = world_of(2);
  options.node.wrap_healer = [](const NodeName&, cache::Healer& real) {
    return std::make_unique<BrokenHealer>(real, nullptr, false);
  };
  Stage world(1, options);
  EXPECT_THAT(after_a_split(*world), HasSubstr("put is lost"));
}

}  // namespace
}  // namespace muster::lab
