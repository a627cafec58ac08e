// SPDX-License-Identifier: MIT
//
// Rules of the cache that a test can break, to show that the lab notices.  In the library that is
// shipped nothing is planted: has() is the constant false and costs nothing.  The tests compile the
// same sources once more with MUSTER_BREAKABLE defined (tests/lab/CMakeLists.txt).
#pragma once

#include <cstdint>

namespace muster::cache::planted {

enum class Bug : std::uint8_t {
  none,
  deletes_not_parked,      ///< A delete that comes before its create is not remembered.
  deletes_not_kept,        ///< One whose create is covered is forgotten at once.
  puts_kill_siblings,      ///< A put removes the other incarnations of its key.
  touches_not_parked,      ///< A touch whose create has not come is dropped.
  husks_dropped,           ///< What has expired is forgotten at once.
  husks_settled_once,      ///< What has expired is forgotten when S has passed it once.
  no_before,               ///< A value that another line's put overwrote is not kept.
  wall_clock_stamps,       ///< A stamp is the wall clock's, whatever it replaces.
  vector_over_hole,        ///< The vector moves over operations that have not come.
  every_line_counts,       ///< Operations of lines that are off the path are taken.
  no_delta_on_reconnect,   ///< What was missed is not asked for.
  acknowledged_unapplied,  ///< A write is acknowledged before others have it.
  acknowledged_unstored,   ///< Durable is what memory holds.
  deletes_lost_with_line,  ///< A delete counts only where its line does.
  settled_from_clocks,     ///< It does not wait for what somebody lacks.
  husks_without_value,     ///< What has expired keeps its time, and no value.
  pruned_in_any_root,      ///< A pruning stamp counts for origins of every root.
  origins_opened_early,    ///< An origin counts from when its line was named.
  puts_again_unchecked,    ///< What a fork took away is put again though it was deleted.
  starting_yields,         ///< Who has just started loses every fork with who has not.
  forgotten_goes_on,       ///< Who was forgotten comes back with all it had.
};

#ifdef MUSTER_BREAKABLE
inline Bug bug = Bug::none;
[[nodiscard]] inline bool has(Bug which) { return bug == which; }
#else
[[nodiscard]] constexpr bool has(Bug /*which*/) { return false; }
#endif

}  // namespace muster::cache::planted
