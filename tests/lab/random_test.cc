// SPDX-License-Identifier: MIT
#include "muster/lab/random.h"

#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <vector>

namespace muster::lab {
namespace {

using namespace std::chrono_literals;

TEST(Random, RepeatsFromASeed) {
  Random a(7);
  Random b(7);
  Random other(8);
  int differ = 0;
  for (int draw = 0; draw < 100; ++draw) {
    const auto value = a.next();
    ASSERT_EQ(value, b.next());
    if (value != other.next()) ++differ;
  }
  EXPECT_EQ(differ, 100);
}

TEST(Random, ASplitStreamDoesNotDependOnHowMuchAnotherDraws) {
  const Random root(7);
  Random first = root.split("network");
  Random second = root.split("disk");
  (void)second.next();
  EXPECT_EQ(first.next(), Random(7).split("network").next());
  EXPECT_NE(first.next(), second.next());
}

TEST(Random, CoversItsRangesEvenly) {
  Random random(1);
  std::map<std::uint64_t, int> seen;
  for (int draw = 0; draw < 10'000; ++draw) ++seen[random.below(10)];
  ASSERT_EQ(seen.size(), 10u);
  for (const auto& [value, count] : seen) EXPECT_NEAR(count, 1000, 200) << value;
  for (int draw = 0; draw < 1000; ++draw) {
    const Duration wait = random.between(3ns, 5ns);
    EXPECT_GE(wait, 3ns);
    EXPECT_LE(wait, 5ns);
  }
}

TEST(Random, ShufflesWithoutLosingAnything) {
  Random random(3);
  std::vector<int> all(50);
  std::iota(all.begin(), all.end(), 0);
  std::vector<int> shuffled = all;
  random.shuffle(shuffled);
  EXPECT_NE(shuffled, all);
  std::sort(shuffled.begin(), shuffled.end());
  EXPECT_EQ(shuffled, all);
}

}  // namespace
}  // namespace muster::lab
