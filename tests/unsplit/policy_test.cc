// SPDX-License-Identifier: MIT
#include "muster/unsplit/policy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <vector>

#include "unsplit/forks.h"

namespace muster::unsplit {
namespace {

using testing::fork_of;
using testing::line;
using testing::path;

const cache::Line root = line(1, 1, 10);

TEST(SplitPolicy, TheSiblingNamedByTheOlderNodeWins) {
  const auto by_oldest = path({root, line(2, 1, 10)});
  const auto by_younger = path({root, line(3, 2, 5)});
  EXPECT_TRUE(ours_is_older(fork_of(by_oldest, by_younger)));
  EXPECT_FALSE(ours_is_older(fork_of(by_younger, by_oldest)));
}

TEST(SplitPolicy, EqualOrdinalsAreSettledByTheBootId) {
  const auto low = path({root, line(2, 4, 5)});
  const auto high = path({root, line(3, 4, 6)});
  EXPECT_TRUE(ours_is_older(fork_of(low, high)));
  EXPECT_FALSE(ours_is_older(fork_of(high, low)));
}

TEST(SplitPolicy, WhatWasNamedAfterTheForkSaysNothing) {
  const auto ours = path({root, line(2, 3, 5), line(4, 1, 1)});
  const auto theirs = path({root, line(3, 2, 9)});
  EXPECT_FALSE(ours_is_older(fork_of(ours, theirs)));
}

TEST(SplitPolicy, OfClustersThatNeverMetTheOlderRootWinsWhateverTheOrdinals) {
  const auto older = path({line(1, 9, 90, 1, 1000)});
  const auto younger = path({line(2, 1, 10, 50, 2000)});
  EXPECT_TRUE(ours_is_older(fork_of(older, younger)));
  EXPECT_TRUE(ours_is_larger(fork_of(older, younger)));
  EXPECT_FALSE(ours_is_older(fork_of(younger, older)));
}

TEST(SplitPolicy, LargestCountsTheRecordedViewsThenTheAge) {
  const auto few = path({root, line(2, 1, 10, 2)});
  const auto many = path({root, line(3, 4, 40, 3)});
  EXPECT_FALSE(ours_is_larger(fork_of(few, many)));
  EXPECT_TRUE(ours_is_larger(fork_of(many, few)));
  const auto as_many = path({root, line(4, 2, 20, 3)});
  EXPECT_TRUE(ours_is_larger(fork_of(as_many, many)));
}

TEST(SplitPolicy, OnlyTheSessionTableMayBeSetAsideWithoutBeingAskedFor) {
  cache::TableDefinition session;
  cache::TableDefinition jobs{.name = "jobs"};
  EXPECT_EQ(rule_for(session, {}), Rule::oldest);
  EXPECT_EQ(rule_for(jobs, {}), Rule::unexpected);
  EXPECT_EQ(rule_for(jobs, {.names = {"unrelated"}}), Rule::unexpected);
  EXPECT_EQ(rule_for(jobs, {.names = {"unrelated", "jobs"}}), Rule::oldest);
  EXPECT_EQ(rule_for(jobs, {.all = true}), Rule::oldest);
  jobs.on_split = cache::OnSplit::merge;
  EXPECT_EQ(rule_for(jobs, {}), Rule::merge);
  jobs.on_split = cache::OnSplit::custom;
  EXPECT_EQ(rule_for(jobs, {}), Rule::custom);
}

/// A random tree of lines; a leaf's path is what an island would stand on.
std::vector<cache::Path> random_paths(std::mt19937_64& random, std::size_t islands) {
  std::vector<cache::Path> paths{path({root})};
  cache::LineId next = 2;
  while (paths.size() < islands) {
    cache::Path grown = paths[random() % paths.size()];
    grown.resize(1 + random() % grown.size());
    grown.push_back(line(next++, static_cast<std::uint32_t>(1 + random() % 4), 1 + random() % 5,
                         static_cast<std::uint32_t>(1 + random() % 4)));
    paths.push_back(std::move(grown));
  }
  return paths;
}

bool is_prefix(const cache::Path& a, const cache::Path& b) {
  return a.size() <= b.size() && std::equal(a.begin(), a.end(), b.begin());
}

using Rules = bool (*)(const cache::Fork&);

/// What two islands agree on when they meet.
cache::Path met(const cache::Path& a, const cache::Path& b, Rules ours_wins) {
  if (is_prefix(a, b)) return b;
  if (is_prefix(b, a)) return a;
  const bool a_says = ours_wins(fork_of(a, b));
  EXPECT_NE(a_says, ours_wins(fork_of(b, a))) << "both sides must name the same winner";
  return a_says ? a : b;
}

TEST(SplitPolicy, AnyNumberOfIslandsHealingPairwiseInAnyOrderEndAlike) {
  for (const Rules rule : {&ours_is_older, &ours_is_larger})
    for (std::uint64_t seed = 1; seed <= 2000; ++seed) {
      SCOPED_TRACE("seed " + std::to_string(seed));
      std::mt19937_64 random(seed);
      const auto islands = random_paths(random, 2 + random() % 6);
      cache::Path expected;
      for (int order = 0; order < 4; ++order) {
        auto left = islands;
        std::ranges::shuffle(left, random);
        while (left.size() > 1) {
          const auto survivor = met(left[left.size() - 1], left[left.size() - 2], rule);
          left.pop_back();
          left.back() = survivor;
          std::ranges::shuffle(left, random);
        }
        if (order == 0) expected = left.front();
        EXPECT_EQ(left.front(), expected);
      }
    }
}

}  // namespace
}  // namespace muster::unsplit
