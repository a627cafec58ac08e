// SPDX-License-Identifier: MIT
// The methods of uwiger/unsplit, on both sides alike and without what was wrong with them.
#include "muster/unsplit/merge_functions.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

namespace muster::unsplit {
namespace {

MergeConflict conflict(std::string lost, std::optional<std::string> kept) {
  MergeConflict made;
  made.key = cache::Key{"key"};
  made.lost.value = std::move(lost);
  if (kept) made.kept = {std::move(*kept), {}};
  return made;
}

/// Whoever loses; empty when the two orders differ.
std::string settled(const MergeFunction& function, const std::string& a, const std::string& b) {
  const auto one = function(conflict(a, b)), other = function(conflict(b, a));
  return one == other ? one.value_or("nothing") : "they differ";
}

/// "12:text" has 12.
std::optional<std::uint64_t> modified(std::string_view value) {
  if (value.empty() || value[0] < '0' || value[0] > '9') return std::nullopt;
  return std::strtoull(std::string(value).c_str(), nullptr, 10);
}

/// "a1b2;text" has seen one of a and two of b.
VectorClock clock_of(std::string_view value) {
  VectorClock clock;
  for (std::size_t i = 0; i + 1 < value.size() && value[i] != ';'; i += 2)
    clock[std::string(1, value[i])] = static_cast<std::uint64_t>(value[i + 1] - '0');
  return clock;
}

TEST(MergeFunctions, NewestByTakesTheGreaterFieldWhicheverSideLost) {
  const auto newest = newest_by(modified);
  EXPECT_EQ(settled(newest, "2:x", "10:a"), "10:a");
  EXPECT_EQ(settled(newest, "7:x", "7:y"), "7:y") << "equal fields, different values";
  EXPECT_EQ(settled(newest, "no field", "1:x"), "1:x");
  EXPECT_EQ(settled(newest, "none", "neither"), "none");
  EXPECT_EQ(newest(conflict("1:x", std::nullopt)), "1:x");
}

TEST(MergeFunctions, SetUnionHasEveryMemberOnce) {
  const auto all = set_union(',');
  EXPECT_EQ(settled(all, "b,a", "c,b"), "a,b,c");
  EXPECT_EQ(settled(all, "", "x"), "x");
  EXPECT_EQ(settled(all, ",,x,", "x"), "x");
  EXPECT_EQ(all(conflict("b,a", std::nullopt)), "a,b");
}

TEST(MergeFunctions, ByVectorClockTakesTheOneThatHasSeenTheOther) {
  const auto causal = by_vector_clock(clock_of);
  EXPECT_EQ(settled(causal, "a1;old", "a1b1;new"), "a1b1;new");
  EXPECT_EQ(settled(causal, "a2;z", "a1;zz"), "a2;z");
  EXPECT_EQ(settled(causal, "a1;x", "b1;y"), "b1;y") << "concurrent: the greater value";
  EXPECT_EQ(causal(conflict("a1;x", std::nullopt)), "a1;x");
  const auto joined = by_vector_clock(clock_of, [](const MergeConflict& both) {
    return std::optional(std::min(both.lost.value, both.kept->value) + "+" +
                         std::max(both.lost.value, both.kept->value));
  });
  EXPECT_EQ(settled(joined, "a1;x", "b1;y"), "a1;x+b1;y");
  EXPECT_EQ(settled(joined, "a1;x", "a2;y"), "a2;y");
}

// U2: the example of unsplit's own suite.
TEST(MergeFunctions, VectorClocksDescendAndMergeAsInTheModel) {
  const VectorClock a1 = incremented({}, "a"), b1 = incremented({}, "b");
  const VectorClock a2 = incremented(a1, "a");
  EXPECT_TRUE(descends(a2, {}));
  EXPECT_TRUE(descends(a2, a1));
  EXPECT_FALSE(descends(a1, a2));
  EXPECT_FALSE(descends(a1, b1));
  EXPECT_FALSE(descends(b1, a1));
  const VectorClock both = merged(a2, b1);
  EXPECT_EQ(both, (VectorClock{{"a", 2}, {"b", 1}}));
  EXPECT_EQ(merged(b1, a2), both);
  EXPECT_TRUE(descends(both, a2));
  EXPECT_TRUE(descends(both, b1));
  const VectorClock c1 = incremented(both, "c");
  EXPECT_TRUE(descends(c1, a2));
  EXPECT_TRUE(descends(c1, b1));
  EXPECT_FALSE(descends(b1, c1));
  EXPECT_TRUE(descends(a1, {{"z", 0}}));
}

}  // namespace
}  // namespace muster::unsplit
