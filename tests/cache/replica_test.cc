// SPDX-License-Identifier: MIT
//
// One copy of a table: in whatever order, however often and with whatever losses operations arrive,
// all copies end alike; a delete wins for ever.
#include "replica.h"

#include <gtest/gtest.h>

#include <random>

#include "replication.pb.h"

namespace muster::cache {
namespace {

struct Sink final : ReplicaListener {
  std::vector<std::string> applied_bytes;
  void applied(const Operation&, std::string_view encoded) override {
    applied_bytes.emplace_back(encoded);
  }
  void outdone(const SetAside&) override {}
  void brought_delete(std::string_view, const Dot&, const Stamp&) override {}
};

constexpr Timestamp start{std::chrono::seconds(1'700'000'000)};

/// A copy on a line of its own cluster, with its operations by hand.
struct Copy {
  Sink sink;
  BootId boot;
  Replica replica;
  Timestamp now = start;

  Copy(std::uint64_t number, bool with_line = true)
      : boot{number},
        replica({.boot = BootId{number}, .log_bytes = 1 << 20, .stores = false},
                std::make_shared<Table>(Table::Options{}), sink) {
    if (with_line) replica.follow({Line{.id = 1, .namer = {1, BootId{1}}, .view = 3}}, {BootId{1}});
  }
  std::string put(const std::string& key, const std::string& value, Expiry expiry = never_expires) {
    Operation operation;
    operation.stamp = replica.next_stamp(now);
    PutItem item{.key = key, .value = value, .expiry = expiry};
    if (const auto visible = replica.table().visible(key, now)) {
      item.created = visible->created;
      operation.stamp.time = std::max(operation.stamp.time, visible->value_stamp.time + 1);
    }
    operation.puts.push_back(item);
    replica.issue(operation);
    return sink.applied_bytes.back();
  }
  std::string remove(const std::string& key) {
    RemoveItem item{.key = key, .dots = replica.table().created_dots(key)};
    if (item.dots.empty()) return {};
    Operation operation;
    operation.stamp = replica.next_stamp(now);
    operation.removes.push_back(item);
    replica.issue(operation);
    return sink.applied_bytes.back();
  }
  std::string touch(const std::string& key, Expiry expiry) {
    const auto visible = replica.table().visible(key, now);
    if (!visible) return {};
    Operation operation;
    operation.stamp = replica.next_stamp(now);
    operation.touches.push_back({.key = key, .created = visible->created, .expiry = expiry});
    replica.issue(operation);
    return sink.applied_bytes.back();
  }
  Replica::Received receive(const std::string& encoded) { return replica.receive(encoded, now); }
  std::string get(const std::string& key) { return replica.table().get(key, now).value_or("-"); }
};

#ifdef __SANITIZE_THREAD__
constexpr std::uint64_t histories = 300;  // Here is one thread, and each takes ten times as long.
#else
constexpr std::uint64_t histories = 3000;
#endif

TEST(Replica, OperationsInAnyOrderTwiceAndLateGiveOneState) {
  for (std::uint64_t seed = 1; seed <= histories; ++seed) {
    std::mt19937_64 random(seed);
    Copy a(1), b(2), c(3), reader(9);
    Copy* writers[] = {&a, &b, &c};
    std::vector<std::string> all;
    for (int i = 0; i < 30; ++i) {
      Copy& writer = *writers[random() % 3];
      writer.now += std::chrono::microseconds(random() % 3);
      const std::string key(1, static_cast<char>('x' + random() % 2));
      std::string made;
      const auto kind = random() % 10;
      if (kind < 6) made = writer.put(key, std::to_string(i));
      if (kind >= 6 && kind < 8) made = writer.remove(key);
      if (kind >= 8) made = writer.touch(key, start + std::chrono::hours(1 + random() % 50));
      if (!made.empty()) all.push_back(made);
      for (int j = 0; j < 3 && !all.empty(); ++j) {  // some of it arrives meanwhile
        static_cast<void>(writers[random() % 3]->receive(all[random() % all.size()]));
      }
    }
    for (Copy* copy : {&a, &b, &c, &reader}) {
      for (int round = 0; round < 2; ++round) {
        std::shuffle(all.begin(), all.end(), random);
        for (const std::string& each : all) static_cast<void>(copy->receive(each));
      }
      copy->replica.check_invariants();
      ASSERT_FALSE(copy->replica.gaps()) << "seed " << seed;
      ASSERT_EQ(copy->replica.table().digest(), a.replica.table().digest()) << "seed " << seed;
      ASSERT_TRUE(copy->replica.seen() == a.replica.seen()) << "seed " << seed;
      for (const char* key : {"x", "y"}) ASSERT_EQ(copy->get(key), a.get(key)) << "seed " << seed;
    }
  }
}

TEST(Replica, ADeleteBeatsEveryConcurrentRefreshOfWhatItSaw) {
  Copy a(1), b(2);
  const std::string created = a.put("k", "v");
  b.receive(created);
  const std::string removed = a.remove("k");
  b.now += std::chrono::hours(1);  // its clock is far ahead
  const std::string refreshed = b.put("k", "w");
  EXPECT_EQ(a.receive(refreshed), Replica::Received::applied);
  EXPECT_EQ(b.receive(removed), Replica::Received::applied);
  EXPECT_EQ(a.get("k"), "-");
  EXPECT_EQ(b.get("k"), "-");
  const std::string anew = a.put("k", "new session");
  b.receive(anew);
  EXPECT_EQ(b.get("k"), "new session");
}

TEST(Replica, ADeleteThatComesBeforeItsCreateIsParked) {
  Copy a(1), b(2), c(3);
  const std::string created = a.put("k", "v");
  b.receive(created);
  const std::string removed = b.remove("k");
  EXPECT_EQ(c.receive(removed), Replica::Received::applied);
  EXPECT_EQ(c.receive(created), Replica::Received::applied);
  EXPECT_EQ(c.get("k"), "-");
}

TEST(Replica, ATouchThatComesBeforeItsCreateIsKept) {
  Copy a(1), b(2), c(3);
  const std::string created = a.put("k", "v", start + std::chrono::seconds(1));
  b.receive(created);
  b.now += std::chrono::milliseconds(1);
  const std::string touched = b.touch("k", start + std::chrono::hours(1));
  c.receive(touched);
  EXPECT_EQ(c.get("k"), "-");
  c.receive(created);
  c.now += std::chrono::seconds(2);
  EXPECT_EQ(c.get("k"), "v");
}

TEST(Replica, AVectorNeverMovesOverAHole) {
  Copy a(1), b(2);
  std::vector<std::string> made;
  for (int i = 0; i < 5; ++i) made.push_back(a.put("k" + std::to_string(i), "v"));
  b.receive(made[0]);
  EXPECT_EQ(b.receive(made[2]), Replica::Received::gap);
  EXPECT_EQ(b.receive(made[3]), Replica::Received::gap);
  EXPECT_EQ(b.replica.seen().begin()->second, 1u);
  EXPECT_EQ(b.get("k2"), "-");
  EXPECT_EQ(b.receive(made[1]), Replica::Received::applied);
  EXPECT_EQ(b.replica.seen().begin()->second, 4u);
  EXPECT_EQ(b.receive(made[3]), Replica::Received::duplicate);
}

TEST(Replica, OperationsOfALineOffThePathAreRefused) {
  Copy a(1), b(2), c(3, false);
  const Line root = a.replica.path().front();
  a.replica.follow({root, Line{.id = 2, .parent = 1}}, {BootId{1}});
  b.replica.follow({root, Line{.id = 3, .parent = 1}}, {BootId{2}});
  const std::string late = b.put("k", "v");
  EXPECT_EQ(a.receive(late), Replica::Received::refused);
  EXPECT_TRUE(a.replica.seen().empty());
  EXPECT_EQ(c.receive(late), Replica::Received::refused);  // no path: accepts nothing
}

TEST(Replica, LosingALineBringsBackWhatItHadOverwritten) {
  Copy a(1), b(2);
  const Line root = a.replica.path().front();
  const std::string old = a.put("k", "old");
  b.receive(old);
  b.replica.follow({root, Line{.id = 3, .parent = 1}}, {BootId{2}});
  b.put("k", "new");
  b.put("born", "there");
  std::vector<std::string> aside;
  b.replica.lose({root, Line{.id = 2, .parent = 1}}, {BootId{1}}, [&](const SetAside& each) {
    aside.push_back(each.key + "=" + std::string(each.value.bytes));
  });
  EXPECT_EQ(b.get("k"), "old");
  EXPECT_EQ(b.get("born"), "-");
  EXPECT_EQ(aside.size(), 2u);
  b.replica.check_invariants();
  EXPECT_EQ(b.replica.table().digest(), a.replica.table().digest());
}

Line line_of(LineId id, LineId parent, std::uint64_t time) {
  return Line{.id = id, .parent = parent, .stamp = {time, BootId{1}}};
}

TEST(Lines, PathsOfWhichOneIsPrunedFurtherAreComparedAsIfNeitherWere) {
  const Line root = line_of(1, 0, 1), two = line_of(2, 1, 2), three = line_of(3, 2, 3),
             four = line_of(4, 3, 4), other = line_of(9, 3, 5), old = line_of(8, 2, 3);
  const Path whole{root, two, three, four}, pruned{root, three, four};
  EXPECT_TRUE(valid_path(pruned));
  EXPECT_FALSE(valid_path({root, two, four}));  // a gap elsewhere
  EXPECT_EQ(relate(whole, pruned), Relation::equal);
  EXPECT_EQ(relate({root, two, three}, pruned), Relation::ours_shorter);
  EXPECT_EQ(relate(pruned, {root, two, three}), Relation::theirs_shorter);
  EXPECT_EQ(relate({root}, pruned), Relation::ours_shorter);
  EXPECT_EQ(relate({root, two, three, other}, pruned), Relation::siblings);
  EXPECT_EQ(aligned({root, two, three, other}, pruned), (Path{root, three, other}));
  EXPECT_EQ(relate({root, two}, pruned), Relation::ours_outdated);
  EXPECT_EQ(relate(pruned, {root, two, old}), Relation::theirs_outdated);
  EXPECT_EQ(relate({root, three}, {root, four}), Relation::ours_outdated);
}

TEST(Replica, AnOriginThatAllHaveInFullIsPrunedAndWhatComesOfItAgainIsKnown) {
  Copy a(1), b(2), old(3);
  const std::string created = a.put("k", "v");
  const std::string removed = a.remove("k");
  b.receive(created);
  b.receive(removed);
  old.receive(created);
  const Vector old_vector = old.replica.seen();
  const Vector all = b.replica.seen();
  std::vector<OriginId> over;
  for (const auto& [id, sequence] : all) over.push_back(id);
  b.replica.prune(over);
  const Stamp settled{std::uint64_t{1} << 60, BootId{1}};
  b.replica.forget(settled, Timestamp{}, 10);
  EXPECT_EQ(b.replica.deletes().size(), 1u) << "S must pass it twice";
  b.replica.forget(settled, Timestamp{}, 10);
  b.replica.check_invariants();
  EXPECT_TRUE(b.replica.seen().empty());
  EXPECT_EQ(b.replica.deletes().size(), 0u);
  EXPECT_EQ(b.receive(created), Replica::Received::duplicate);
  EXPECT_EQ(b.get("k"), "-");
  EXPECT_TRUE(b.replica.knows_what_was_pruned(all, {}));
  EXPECT_FALSE(b.replica.knows_what_was_pruned(old_vector, {}));  // digests, not the log
  // And an old disk's buckets do not bring it back, whichever side compares.
  b.replica.start_compare(old_vector, old.replica.origins());
  b.replica.install("k", old.replica.table().row("k"), old_vector);
  b.replica.finish_bucket(Table::bucket_of("k"), {"k"}, old_vector);
  b.replica.finish_copy();
  EXPECT_EQ(b.get("k"), "-");
}

TEST(Replica, LosingALineAfterOlderOnesWerePrunedKeepsTheirValues) {
  Copy a(1);
  const Line root = a.replica.path().front();
  const Line two = line_of(2, 1, 2), three = line_of(3, 2, 3);
  a.replica.follow({root, two}, {BootId{1}});
  a.put("settled", "long ago");
  a.replica.follow({root, two, three}, {BootId{1}});
  std::vector<OriginId> over;
  for (const auto& [id, sequence] : a.replica.seen()) over.push_back(id);
  a.replica.prune(over);
  a.replica.prune_lines(3);
  EXPECT_EQ(a.replica.path().size(), 2u);
  a.replica.follow({root, three, line_of(4, 3, 4)}, {BootId{1}});
  a.put("mine", "lost");
  a.replica.check_invariants();
  int aside = 0;
  a.replica.lose({root, three, line_of(5, 3, 5)}, {BootId{2}}, [&](const SetAside&) { ++aside; });
  EXPECT_EQ(aside, 1);
  EXPECT_EQ(a.get("settled"), "long ago");
  EXPECT_EQ(a.get("mine"), "-");
  a.replica.check_invariants();
}

TEST(Replica, ACopyThatWasGivenUpCoversNothingItDidNotAndItsContentIsNoLie) {
  Copy a(1), b(2), c(3);
  const std::string first = a.put("x", "1"), second = a.put("y", "2"), third = a.put("z", "3");
  for (const std::string& each : {first, second, third}) b.receive(each);
  c.receive(first);
  const Vector before = c.replica.seen();
  c.replica.start_compare(b.replica.seen(), b.replica.origins());
  c.replica.install("z", b.replica.table().row("z"), b.replica.seen());
  const std::string live = a.put("z", "4");
  EXPECT_EQ(c.receive(live), Replica::Received::applied);
  EXPECT_TRUE(c.replica.covered() == before);
  c.replica.abandon_copy(b.replica.seen());
  EXPECT_TRUE(c.replica.seen() == before);
  EXPECT_TRUE(c.replica.content_ahead());  // its digest says nothing
  EXPECT_EQ(c.get("z"), "4");
  EXPECT_EQ(c.get("y"), "-");
  const std::string removed = a.remove("z");
  for (const std::string& each : {removed, second, third, live}) c.receive(each);
  EXPECT_EQ(c.get("z"), "-");
  EXPECT_EQ(c.get("y"), "2");
  EXPECT_FALSE(c.replica.content_ahead());
  EXPECT_EQ(c.replica.table().digest(), a.replica.table().digest());
}

TEST(Replica, OperationsAreProtobufAsDescribed) {
  Copy a(1);
  const std::string bytes = a.put("key", std::string("va\0lue", 6), start + std::chrono::hours(1));
  wire::Operation read;
  ASSERT_TRUE(read.ParseFromString(bytes));
  EXPECT_EQ(read.boot(), 1u);
  EXPECT_EQ(read.sequence(), 1u);
  EXPECT_EQ(read.origin().line(), 1u);
  ASSERT_EQ(read.puts_size(), 1);
  EXPECT_EQ(read.puts(0).key(), "key");
  EXPECT_EQ(read.puts(0).value(), std::string("va\0lue", 6));
  EXPECT_FALSE(read.puts(0).has_created());
  EXPECT_EQ(read.SerializeAsString().size(), bytes.size());  // the order of fields is free
}

TEST(Replica, MangledOperationsNeverCrash) {
  std::mt19937_64 random(3);
  Copy a(1), b(2);
  std::vector<std::string> made;
  for (int i = 0; i < 20; ++i) made.push_back(a.put("k", std::to_string(i)));
  made.push_back(a.touch("k", start + std::chrono::hours(1)));
  made.push_back(a.remove("k"));
  for (int i = 0; i < 50'000; ++i) {
    std::string bytes = made[random() % made.size()];
    for (std::uint64_t flips = 1 + random() % 3; flips > 0; --flips) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    if (random() % 4 == 0) bytes.resize(random() % bytes.size());
    static_cast<void>(b.receive(bytes));
  }
  b.replica.check_invariants();
}

TEST(OperationLog, ServesWhatIsMissingInOrderDownToItsFloor) {
  OperationLog log(500);
  const OriginId one{BootId{1}, 1}, two{BootId{2}, 1};
  for (std::uint64_t i = 1; i <= 100; ++i) {
    log.append({one, i}, "one-" + std::to_string(i));
    if (i % 2 == 0) log.append({two, i / 2}, "two-" + std::to_string(i / 2));
    log.check_invariants();
  }
  EXPECT_LE(log.bytes(), 500u);
  const std::uint64_t floor = log.floor(one);
  EXPECT_GT(floor, 0u);
  Vector have, upto;
  upto.set(one, 100);
  upto.set(two, 50);
  EXPECT_FALSE(log.reaches(have, upto));
  have.set(one, floor);
  have.set(two, 50);
  EXPECT_TRUE(log.reaches(have, upto));
  std::uint64_t next = floor;
  log.visit_missing(have, [&](const Dot& dot, std::string_view bytes) {
    EXPECT_EQ(dot.origin, one);
    EXPECT_EQ(dot.sequence, ++next);
    EXPECT_EQ(bytes, "one-" + std::to_string(next));
    return true;
  });
  EXPECT_EQ(next, 100u);
}

}  // namespace
}  // namespace muster::cache
