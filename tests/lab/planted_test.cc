// SPDX-License-Identifier: MIT
//
// Broken rules are noticed: each test breaks one rule of the cache (cache/src/planted.h) and runs
// worlds or short schedules until a checker speaks up; it fails where none does within so many
// seeds.  The same seeds pass with nothing broken.
#include <gtest/gtest.h>

#include <chrono>
#include <ostream>
#include <string>

#include "planted.h"
#include "planted_worlds.h"
#include "random_world.h"
#include "schedule.h"

namespace muster::lab {

using namespace std::chrono_literals;
using cache::OnSplit;
using cache::planted::Bug;

namespace {

/// Planted while it lives.
class Planted {
 public:
  explicit Planted(Bug bug) { cache::planted::bug = bug; }
  ~Planted() { cache::planted::bug = Bug::none; }
  Planted(const Planted&) = delete;
  Planted& operator=(const Planted&) = delete;
};

using Problems = std::string (*)(std::uint64_t seed);

std::string schedule(std::uint64_t seed) {
  TablePool pool;
  Schedule one(seed, pool, false);
  return joined(one.run());
}

Traffic busy() {
  return {.gap = 15ms,
          .unique = 0.2,
          .removes = 0.2,
          .touches = 0.2,
          .expiring = 0.3,
          .batches = 0.2,
          .reads = 0.3};
}

template <OnSplit rule>
std::string world(std::uint64_t seed) {
  return run_random_world(seed, random_options(seed, rule), {.losses = true, .span = 12s}, busy());
}

std::string durable_world(std::uint64_t seed) {
  WorldOptions options = random_options(seed, OnSplit::merge);
  options.node.tables.front().durability = cache::Durability::sync;
  return run_random_world(seed, options, {.losses = true, .disks = true, .span = 12s},
                          {.gap = 15ms, .unique = 0.9});
}

std::string skewed_world(std::uint64_t seed) {
  WorldOptions options = random_options(seed, OnSplit::merge);
  options.clock_tolerance = 40s;
  return run_random_world(seed, options, {.clocks = true, .span = 12s},
                          {.gap = 15ms,
                           .unique = 0.1,
                           .removes = 0.02,
                           .touches = 0,
                           .expiring = 0,
                           .batches = 0,
                           .reads = 0.5});
}

struct Case {
  const char* name;
  Bug bug;
  Problems problems;
  std::uint64_t seeds;
};

void PrintTo(const Case& planted, std::ostream* out) { *out << planted.name; }

class PlantedBug : public testing::TestWithParam<Case> {};

TEST_P(PlantedBug, IsNoticed) {
  const Case& planted = GetParam();
  for (std::uint64_t seed = 1; seed <= planted.seeds; ++seed) {
    std::string found;
    {
      const Planted bug(planted.bug);
      try {
        found = planted.problems(seed);
      } catch (const std::exception& problem) {
        found = problem.what();
      }
    }
    if (found.empty()) continue;
    std::cout << "noticed at seed " << seed << ": " << found.substr(0, 300) << "\n";
    EXPECT_EQ(planted.problems(seed), "") << "seed " << seed << " with nothing broken";
    return;
  }
  ADD_FAILURE() << planted.name << " was not noticed in " << planted.seeds << " seeds";
}

constexpr Case cases[] = {
    {"DeletesNotParked", Bug::deletes_not_parked, schedule, 2000},
    {"DeletesNotKept", Bug::deletes_not_kept, schedule, 20'000},
    {"PutsKillSiblings", Bug::puts_kill_siblings, schedule, 500},
    {"TouchesNotParked", Bug::touches_not_parked, schedule, 5000},
    {"HusksDropped", Bug::husks_dropped, schedule, 2000},
    {"HusksSettledOnce", Bug::husks_settled_once, schedule, 50'000},
    {"VectorOverAHole", Bug::vector_over_hole, schedule, 200},
    {"SettledFromClocks", Bug::settled_from_clocks, schedule, 20'000},
    {"HusksWithoutValue", Bug::husks_without_value, schedule, 5000},
    {"OriginsOpenedEarly", Bug::origins_opened_early, schedule, 2000},
    {"NoBefore", Bug::no_before, world<OnSplit::oldest>, 60},
    {"DeletesLostWithTheLine", Bug::deletes_lost_with_line, world<OnSplit::oldest>, 60},
    {"EveryLineCounts", Bug::every_line_counts, world<OnSplit::oldest>, 60},
    {"WallClockStamps", Bug::wall_clock_stamps, skewed_world, 20},
    {"NoDeltaOnReconnect", Bug::no_delta_on_reconnect, world<OnSplit::merge>, 10},
    {"AcknowledgedUnapplied", Bug::acknowledged_unapplied, world<OnSplit::merge>, 10},
    {"AcknowledgedUnstored", Bug::acknowledged_unstored, durable_world, 300},
    {"PrunedInAnyRoot", Bug::pruned_in_any_root, clusters_that_pruned, 20},
    {"PutsAgainUnchecked", Bug::puts_again_unchecked, deleted_before_the_fork, 60},
    {"StartingYields", Bug::starting_yields, oldest_that_restarts, 20},
    {"ForgottenGoesOn", Bug::forgotten_goes_on, touch_of_the_forgotten, 20},
};

INSTANTIATE_TEST_SUITE_P(Lab, PlantedBug, testing::ValuesIn(cases),
                         [](const auto& each) { return std::string(each.param.name); });

}  // namespace
}  // namespace muster::lab
