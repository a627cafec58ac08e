// SPDX-License-Identifier: MIT
//
// Table against a naive model, in every mode, over seeded histories.
#include "muster/cache/table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <random>

#include "cache/table_model.h"

namespace muster::cache {
namespace {

using std::chrono::microseconds;
using std::chrono::seconds;

constexpr Timestamp start{seconds(1'700'000'000)};

struct Mode {
  bool keep_before;
  bool scans;
  bool drops = false;
  friend void PrintTo(const Mode& mode, std::ostream* out) {
    *out << (mode.keep_before ? "keep_before" : "newest_only") << (mode.scans ? "_scanned" : "")
         << (mode.drops ? "_dropped" : "");
  }
};

/// Rows as a disk has them: of the moment when they were stored.
class MapSource final : public ValueSource {
 public:
  Result<std::string> row(std::string_view key) const override {
    const auto found = rows.find(key);
    return found == rows.end() ? std::string() : found->second;
  }
  void store_and_drop(Table& table, const std::string& key) {
    rows[key] = table.row(key);
    table.drop_value(key);
    EXPECT_EQ(table.row(key), rows[key]);
  }
  std::map<std::string, std::string, std::less<>> rows;
};

/// A random history of operations.  An operation is a function of its stamp, as in life.
class History {
 public:
  explicit History(std::uint64_t seed) : random_(seed) {
    for (int i = 0; i < 60; ++i) {
      keys_.push_back("session:" + std::to_string(i) + std::string(pick(3) == 0 ? 200 : 3, 'k'));
    }
  }
  std::uint64_t pick(std::uint64_t bound) { return random_() % bound; }
  const std::string& key() { return keys_[pick(keys_.size())]; }
  const std::vector<std::string>& keys() const { return keys_; }
  Dot dot() { return {{node::BootId{1 + pick(2)}, static_cast<std::uint32_t>(pick(2))}, pick(3)}; }
  LineId line() { return pick(3); }
  Stamp stamp() { return {1 + pick(100'000), node::BootId{1 + pick(2)}}; }
  TableModel::Value value(const Stamp& stamp) const {
    std::mt19937_64 own(stamp.time * 31 + stamp.boot.value);
    TableModel::Value value{stamp, own() % 3, expiry(own), ""};
    value.bytes.assign(own() % 200 < 2 ? own() % 5000 : own() % 40, static_cast<char>(own()));
    return value;
  }
  Expiry touched_until(const Stamp& stamp) const {
    std::mt19937_64 own(stamp.time * 37 + stamp.boot.value);
    return expiry(own);
  }
  Timestamp now = start;

 private:
  static Expiry expiry(std::mt19937_64& own) {
    const auto day = static_cast<std::int64_t>(86'400'000'000 * 3);
    const auto shift = static_cast<std::int64_t>(own() % static_cast<std::uint64_t>(day));
    return own() % 3 == 0 ? never_expires : start + microseconds(shift >> (own() % 30));
  }
  std::mt19937_64 random_;
  std::vector<std::string> keys_;
};

ValueRegister view_of(const TableModel::Value& value) {
  return {value.stamp, value.line, value.expiry, value.bytes};
}

Incarnation incarnation_of(const Dot& dot, const TableModel::Version& version) {
  Incarnation incarnation{dot, {}, {version.touched, version.touch_expiry}};
  for (const auto& [line, value] : version.values) incarnation.values.push_back(view_of(value));
  std::sort(incarnation.values.begin(), incarnation.values.end(), [](const auto& a, const auto& b) {
    return std::pair(a.stamp, a.line) > std::pair(b.stamp, b.line);
  });
  return incarnation;
}

void expect_equal(const Incarnation& a, const Incarnation& b) {
  EXPECT_EQ(a.created, b.created);
  EXPECT_EQ(a.touch.stamp, b.touch.stamp);
  EXPECT_EQ(a.touch.expiry, b.touch.expiry);
  EXPECT_EQ(a.expiry(), b.expiry());
  ASSERT_EQ(a.values.size(), b.values.size());
  for (std::size_t i = 0; i < a.values.size(); ++i) {
    EXPECT_EQ(a.values[i].stamp, b.values[i].stamp);
    EXPECT_EQ(a.values[i].line, b.values[i].line);
    EXPECT_EQ(a.values[i].expiry, b.values[i].expiry);
    EXPECT_EQ(a.values[i].bytes, b.values[i].bytes);
  }
}

void expect_same_key(const Table& table, const TableModel& model, const std::string& key,
                     Timestamp at) {
  const auto* visible = model.visible(key, at);
  const auto found = table.find(key, at);
  ASSERT_EQ(found.has_value(), visible != nullptr);
  const auto continued = table.visible(key, at);
  ASSERT_EQ(continued.has_value(), visible != nullptr);
  if (visible != nullptr) {
    EXPECT_EQ(found->value, visible->newest()->bytes);
    EXPECT_EQ(found->expiry, visible->expiry());
    EXPECT_EQ(found->stamp, visible->newest()->stamp);
    EXPECT_EQ(continued->value_stamp, visible->newest()->stamp);
    EXPECT_EQ(table.get(key, at), visible->newest()->bytes);
  }
  const auto known = model.keys.find(key);
  const auto incarnations = table.incarnations(key);
  ASSERT_EQ(incarnations.size(), known == model.keys.end() ? 0 : known->second.size());
  if (known == model.keys.end()) return;
  std::size_t i = 0;
  for (const auto& [dot, version] : known->second) {
    EXPECT_TRUE(table.holds(key, dot));
    expect_equal(incarnations[i++], incarnation_of(dot, version));
  }
}

/// A table with the same content, brought there in another way.
std::unique_ptr<Table> retold(const Table& table, const TableModel& model, Table::Options options,
                              History& history) {
  std::vector<std::string> keys;
  for (const auto& [key, versions] : model.keys) keys.push_back(key);
  auto copy = std::make_unique<Table>(options);
  for (int round = 0; round < 2; ++round) {
    for (std::size_t i = keys.size(); i > 1; --i) std::swap(keys[i - 1], keys[history.pick(i)]);
    for (const std::string& key : keys) EXPECT_TRUE(copy->merge_row(key, table.row(key)));
  }
  return copy;
}

void expect_same(Table& table, TableModel& model, Table::Options options, History& history,
                 bool scans) {
  EXPECT_EQ(table.count(), model.keys.size());
  std::vector<std::string> in_buckets;
  for (std::uint32_t bucket = 0; bucket < Table::buckets; ++bucket) {
    table.scan_bucket(bucket, [&](std::string_view key) {
      EXPECT_EQ(Table::bucket_of(key), bucket);
      in_buckets.emplace_back(key);
      return true;
    });
  }
  std::sort(in_buckets.begin(), in_buckets.end());
  std::vector<std::string> keys;
  for (const auto& [key, versions] : model.keys) keys.push_back(key);
  EXPECT_EQ(in_buckets, keys);
  for (const std::string& key : history.keys()) {
    expect_same_key(table, model, key, history.now);
  }
  if (scans) {
    const std::string from = history.key();
    std::vector<std::string> scanned;
    table.scan(from, [&](std::string_view key) {
      scanned.emplace_back(key);
      return scanned.size() < 20;
    });
    keys.erase(keys.begin(), std::lower_bound(keys.begin(), keys.end(), from));
    keys.resize(std::min<std::size_t>(keys.size(), 20));
    EXPECT_EQ(scanned, keys);
  }
  // Equal content, equal digests: of buckets with what has expired, of tables whatever the history,
  // once all has expired that should.
  table.expire(history.now, SIZE_MAX, [](std::string_view) {});
  model.expire(history.now);
  const auto copy = retold(table, model, options, history);
  copy->expire(history.now, SIZE_MAX, [](std::string_view) {});
  EXPECT_EQ(copy->digest(), table.digest());
  EXPECT_EQ(copy->count(), table.count());
  for (const auto& [key, versions] : model.keys) {
    const std::uint32_t bucket = Table::bucket_of(key);
    EXPECT_EQ(copy->bucket_digest(bucket), table.bucket_digest(bucket));
  }
}

/// One random operation on both; what they answer must agree.
void step(Table& table, TableModel& model, History& history) {
  const std::string& key = history.key();
  const Dot dot = history.dot();
  const Stamp stamp = history.stamp();
  const auto value = history.value(stamp);
  const Expiry until = history.touched_until(stamp);
  switch (history.pick(12)) {
    case 0:
    case 1:
    case 2:
    case 3:
      EXPECT_EQ(table.put(key, dot, view_of(value)), model.put(key, dot, value));
      break;
    case 4:
    case 5:
      EXPECT_EQ(table.touch(key, dot, {stamp, until}), model.touch(key, dot, stamp, until));
      break;
    case 6: {
      const Incarnation both{dot, {view_of(value)}, {stamp, until}};
      const bool put = model.put(key, dot, value);
      const bool touched = model.touch(key, dot, stamp, until);
      EXPECT_EQ(table.merge(key, both), put || touched);
      break;
    }
    case 7: {
      const LineId line = history.line();
      EXPECT_EQ(table.remove_value(key, dot, line), model.remove_value(key, dot, line));
      break;
    }
    case 8:
      EXPECT_EQ(table.remove_before(key, dot), model.remove_before(key, dot));
      break;
    case 9: {
      // The model has no husks to call back twice either: both see the same moments.
      history.now += microseconds(history.pick(20'000'000));
      std::vector<std::string> expired;
      table.expire(history.now, SIZE_MAX,
                   [&](std::string_view gone) { expired.emplace_back(gone); });
      std::sort(expired.begin(), expired.end());
      EXPECT_EQ(expired, model.expire(history.now));
      EXPECT_GT(table.next_expiry(), history.now);
      break;
    }
    default:
      EXPECT_EQ(table.remove(key, dot), model.remove(key, dot));
  }
  expect_same_key(table, model, key, history.now);
}

TEST(TableDigest, OfABucketSeesHusksAndParkedTouchesAndThatOfTheTableDoesNot) {
  const OriginId origin{.boot = {7}, .number = 1};
  const Stamp stamp{.time = 1, .boot = {7}};
  const Timestamp soon(std::chrono::microseconds(10));
  Table table({});
  const std::uint32_t bucket = Table::bucket_of("husk");
  EXPECT_TRUE(table.put("husk", Dot{origin, 1}, {stamp, 1, soon, "value"}));
  const Table::Digest live = table.bucket_digest(bucket);
  EXPECT_EQ(live, table.digest());
  table.expire(soon, SIZE_MAX, [](std::string_view) {});
  EXPECT_EQ(table.digest(), Table::Digest{});
  EXPECT_EQ(table.bucket_digest(bucket), live);
  EXPECT_TRUE(table.remove("husk", Dot{origin, 1}));
  EXPECT_EQ(table.bucket_digest(bucket), Table::Digest{});
  EXPECT_TRUE(table.touch("husk", Dot{origin, 2}, {stamp, never_expires}));
  EXPECT_EQ(table.digest(), Table::Digest{});
  EXPECT_NE(table.bucket_digest(bucket), Table::Digest{});
}

class TableModelTest : public testing::TestWithParam<Mode> {};

TEST_P(TableModelTest, AgreesOverAHundredThousandOperations) {
  constexpr std::uint64_t seed = 20;
  History history(seed);
  const Table::Options options{.ordered = GetParam().scans, .keep_before = GetParam().keep_before};
  Table table(options);
  TableModel model(options.keep_before);
  const auto source = std::make_shared<MapSource>();
  table.set_source(source);
  for (int i = 0; i < 100'000 && !testing::Test::HasFailure(); ++i) {
    SCOPED_TRACE("seed " + std::to_string(seed) + " step " + std::to_string(i));
    step(table, model, history);
    if (GetParam().drops) source->store_and_drop(table, history.key());
    if (i % 2000 == 0) expect_same(table, model, options, history, GetParam().scans);
  }
  for (auto& [key, versions] : TableModel(model).keys) {
    for (auto& [dot, version] : versions) EXPECT_TRUE(table.remove(key, dot));
  }
  EXPECT_EQ(table.count(), 0u);
  EXPECT_EQ(table.digest(), Table::Digest{});
  EXPECT_EQ(table.next_expiry(), never_expires);
}

INSTANTIATE_TEST_SUITE_P(Modes, TableModelTest,
                         testing::Values(Mode{true, true}, Mode{true, false}, Mode{false, true},
                                         Mode{false, false}, Mode{true, true, true},
                                         Mode{false, false, true}));

/// The same changes in any order, any number of times each, come to the same.
TEST(TableTest, TheOrderAndNumberOfArrivalsDoNotMatter) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    History history(seed);
    std::vector<std::function<void(Table&)>> changes;
    for (int i = 0; i < 40; ++i) {
      const std::string key = history.keys()[history.pick(3)];
      const Dot dot = history.dot();
      const Stamp stamp = history.stamp();
      const bool touch = history.pick(3) == 0;
      changes.emplace_back([key, dot, stamp, touch, &history](Table& table) {
        const auto value = history.value(stamp);
        if (touch) {
          table.touch(key, dot, {stamp, history.touched_until(stamp)});
        } else {
          table.put(key, dot, view_of(value));
        }
      });
    }
    const Table::Options options{.ordered = false, .keep_before = seed % 2 == 0};
    Table one(options);
    Table other(options);
    for (const auto& change : changes) change(one);
    for (int i = 0; i < 20; ++i) changes[history.pick(changes.size())](other);
    for (std::size_t i = changes.size(); i > 0; --i) {
      std::swap(changes[i - 1], changes[history.pick(i)]);
      changes[i - 1](other);
    }
    for (const std::string& key : history.keys()) {
      ASSERT_EQ(one.row(key), other.row(key)) << "seed " << seed;
    }
    EXPECT_EQ(one.digest(), other.digest()) << "seed " << seed;
  }
}

TEST(TableTest, APutNeverRemovesAnotherIncarnation) {
  Table table({});
  const Dot first{{node::BootId{1}, 0}, 1};
  const Dot second{{node::BootId{2}, 0}, 1};
  table.put("k", first, {{10, node::BootId{1}}, 1, never_expires, "old"});
  table.put("k", second, {{20, node::BootId{2}}, 1, never_expires, "new"});
  EXPECT_EQ(table.get("k", start), "new");
  EXPECT_TRUE(table.remove("k", second));
  EXPECT_EQ(table.get("k", start), "old");
}

TEST(TableTest, ATouchThatComesBeforeItsCreateCountsOnceThatIsThere) {
  Table table({});
  const Dot dot{{node::BootId{1}, 0}, 1};
  EXPECT_TRUE(table.touch("k", dot, {{20, node::BootId{1}}, start + seconds(60)}));
  EXPECT_FALSE(table.get("k", start));
  EXPECT_TRUE(table.put("k", dot, {{10, node::BootId{1}}, 1, start + seconds(5), "v"}));
  EXPECT_EQ(table.get("k", start + seconds(59)), "v");
  EXPECT_FALSE(table.get("k", start + seconds(60)));
}

TEST(TableTest, AClockThatIsBehindIsToldOfEachExpiryOnce) {
  Table table({});
  const auto ignored = [](std::string_view) {};
  table.expire(start + seconds(60), SIZE_MAX, ignored);
  for (std::uint64_t sequence : {1, 2}) {
    table.put("k", {{node::BootId{1}, 0}, sequence},
              {{sequence, node::BootId{1}}, 1, start + seconds(30), "v"});
  }
  int told = 0;
  for (int times = 0; times < 3; ++times) {
    table.expire(start, 100, [&](std::string_view) { ++told; });
  }
  EXPECT_EQ(told, 1);
}

TEST(TableTest, TheValueOfALostLineGivesWayToTheOneBefore) {
  Table table({});
  const Dot dot{{node::BootId{1}, 0}, 1};
  table.put("k", dot, {{10, node::BootId{1}}, 1, never_expires, "common"});
  table.put("k", dot, {{20, node::BootId{1}}, 2, never_expires, "lost"});
  EXPECT_EQ(table.get("k", start), "lost");
  EXPECT_TRUE(table.remove_value("k", dot, 2));
  EXPECT_EQ(table.get("k", start), "common");
}

TEST(TableTest, ReadsManyKeysInOneGo) {
  Table table({});
  std::vector<std::string> keys;
  for (int i = 0; i < 1000; ++i) {
    keys.push_back("key" + std::to_string(i));
    const auto sequence = static_cast<std::uint64_t>(i + 1);
    const Expiry expiry = i % 5 == 0 ? start : never_expires;
    if (i % 3 == 0) continue;
    table.put(keys.back(), {{node::BootId{1}, 0}, sequence},
              {{sequence, node::BootId{1}}, 1, expiry, keys.back() + "!"});
  }
  const std::vector<std::string_view> views(keys.begin(), keys.end());
  std::vector<std::size_t> found;
  table.get_many(views, start, [&](std::size_t index, const Table::View& view) {
    EXPECT_EQ(view.value, keys[index] + "!");
    found.push_back(index);
  });
  std::vector<std::size_t> expected;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (i % 3 != 0 && i % 5 != 0) expected.push_back(i);
  }
  EXPECT_EQ(found, expected);
}

TEST(TableTest, ClearForgetsEverythingAndGoesOn) {
  Table table({});
  const auto fill = [&] {
    for (std::uint64_t i = 1; i <= 5000; ++i) {
      table.put("k" + std::to_string(i), {{node::BootId{1}, 0}, i},
                {{i, node::BootId{1}}, 1, start + seconds(static_cast<std::int64_t>(i)), "v"});
    }
  };
  fill();
  table.scan("", [](std::string_view) { return false; });
  const auto digest = table.digest();
  table.clear();
  EXPECT_EQ(table.count(), 0u);
  EXPECT_EQ(table.digest(), Table::Digest{});
  EXPECT_EQ(table.next_expiry(), never_expires);
  fill();
  EXPECT_EQ(table.digest(), digest);
  EXPECT_EQ(table.count(), 5000u);
}

}  // namespace
}  // namespace muster::cache
