// SPDX-License-Identifier: MIT
//
// Expiry over virtual days: exact, once each, in bounded steps.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "expiry_wheel.h"
#include "muster/cache/table.h"

namespace muster::cache {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::seconds;

constexpr Timestamp start{seconds(1'700'000'000)};

TEST(ExpiryWheelTest, HandsOutEachNodeAtItsTimeAndNotBefore) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    std::mt19937_64 random(seed);
    ExpiryWheel wheel;
    std::vector<TimerNode> nodes(1000);
    std::multimap<Expiry, TimerNode*> waiting;
    const auto days = hours(24 * 30) / microseconds(1);
    for (TimerNode& node : nodes) {
      const auto shift = static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(days));
      node.expiry = start + microseconds(shift >> (random() % 40));
      wheel.add(node);
      waiting.emplace(node.expiry, &node);
    }
    Timestamp now = start;
    while (!waiting.empty()) {
      EXPECT_LE(wheel.next(), waiting.begin()->first) << "seed " << seed;
      now = random() % 2 == 0 ? std::max(now, wheel.next())
                              : now + microseconds(random() % 100'000'000'000);
      for (std::size_t steps = SIZE_MAX; TimerNode* node = wheel.pop(now, steps);) {
        ASSERT_LE(node->expiry, now) << "seed " << seed;
        ASSERT_FALSE(node->linked());
        const auto range = waiting.equal_range(node->expiry);
        const auto found = std::find_if(range.first, range.second,
                                        [&](const auto& item) { return item.second == node; });
        ASSERT_NE(found, range.second) << "handed out twice, seed " << seed;
        waiting.erase(found);
      }
      ASSERT_TRUE(waiting.empty() || waiting.begin()->first > now) << "seed " << seed;
    }
    EXPECT_EQ(wheel.next(), never_expires);
  }
}

TEST(ExpiryWheelTest, WorksInBoundedStepsAndSaysThatThereIsMore) {
  ExpiryWheel wheel;
  std::vector<TimerNode> nodes(10'000);
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    nodes[i].expiry = start + microseconds(static_cast<std::int64_t>(i * 1000));
    wheel.add(nodes[i]);
  }
  const Timestamp at = start + seconds(20);
  std::size_t handed_out = 0;
  for (int round = 0; round < 1000 && wheel.next() <= at; ++round) {
    for (std::size_t steps = 100; wheel.pop(at, steps) != nullptr;) ++handed_out;
  }
  EXPECT_EQ(handed_out, nodes.size());
}

TEST(TableExpiryTest, CallsBackEachKeyOnceOverVirtualDays) {
  constexpr std::uint64_t seed = 2;
  std::mt19937_64 random(seed);
  Table table({});
  std::map<std::string, Expiry> waiting;
  const Dot dot{{node::BootId{1}, 0}, 1};
  std::uint64_t clock = 0;
  Timestamp now = start;
  for (int hour = 0; hour < 24 * 7; ++hour) {
    for (int i = 0; i < 50; ++i) {
      const std::string key = "k" + std::to_string(random() % 3000);
      const Expiry expiry = now + seconds(static_cast<std::int64_t>(1 + random() % 200'000));
      const Stamp stamp{++clock, node::BootId{1}};
      if (waiting.contains(key)) {
        EXPECT_TRUE(table.touch(key, dot, {stamp, expiry}));  // A refresh moves it.
      } else {
        EXPECT_TRUE(table.put(key, dot, {stamp, 1, expiry, "v"}));
      }
      waiting[key] = expiry;
    }
    now += hours(1);
    table.expire(now, SIZE_MAX, [&](std::string_view key) {
      const auto at = waiting.find(std::string(key));
      ASSERT_NE(at, waiting.end()) << "called back twice, seed " << seed;
      EXPECT_LE(at->second, now);
      waiting.erase(at);
      EXPECT_TRUE(table.holds(key, dot)) << "a husk stays";
    });
    for (const auto& [key, expiry] : waiting) ASSERT_GT(expiry, now) << "forgotten, seed " << seed;
  }
}

TEST(TableExpiryTest, TheCallbackMayRemoveWhatItIsToldOf) {
  Table table({});
  for (std::uint64_t i = 1; i <= 1000; ++i) {
    const Dot dot{{node::BootId{1}, 0}, i};
    table.put("k" + std::to_string(i), dot, {{i, node::BootId{1}}, 1, start + seconds(1), "v"});
  }
  std::size_t called = 0;
  while (table.next_expiry() <= start + seconds(1)) {
    table.expire(start + seconds(1), 10, [&](std::string_view view) {
      ++called;
      const std::string key(view);
      for (const Dot& dot : table.created_dots(key)) table.remove(key, dot);
    });
  }
  EXPECT_EQ(called, 1000u);
  EXPECT_EQ(table.count(), 0u);
}

}  // namespace
}  // namespace muster::cache
