// SPDX-License-Identifier: MIT
//
// Many short schedules (schedule.h): nothing deleted comes back, nothing live is lost, all copies
// end alike.
//
//   MUSTER_SCHEDULES=1000000   that many
#include <iostream>

#include "scenario.h"
#include "schedule.h"

namespace muster::lab {
namespace {

TEST(Schedules, ADeleteHoldsAndNothingElseIsLostInWhateverOrder) {
  TablePool pool;
  Schedule::Counts all;
  for_each_seed(
      40'000,
      [&](std::uint64_t seed) {
        Schedule schedule(seed, pool, replaying());
        const auto problems = schedule.run();
        if (!problems.empty()) ADD_FAILURE() << schedule.trace() << joined(problems);
        const Schedule::Counts& counts = schedule.counts();
        all.operations += counts.operations;
        all.packets += counts.packets;
        all.deltas += counts.deltas;
        all.copies += counts.copies;
        all.joins += counts.joins;
        all.crashes += counts.crashes;
        all.losses += counts.losses;
        all.forgotten += counts.forgotten;
        all.pruned += counts.pruned;
        all.repairs += counts.repairs;
      },
      "MUSTER_SCHEDULES");
  std::cout << all.operations << " operations, " << all.packets << " packets, " << all.deltas
            << " deltas, " << all.copies << " comparisons, " << all.joins << " joins, "
            << all.crashes << " crashes (" << all.losses << " with a loss), " << all.forgotten
            << " times forgotten, " << all.pruned << " origins pruned, " << all.repairs
            << " repairs\n";
  if (!replaying()) {
    EXPECT_GT(all.pruned, 0U);
  }
}

}  // namespace
}  // namespace muster::lab
