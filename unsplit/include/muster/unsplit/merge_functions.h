// SPDX-License-Identifier: MIT
//
// Merge functions: what becomes of a key that both sides of a split have changed.  A table whose
// on_split is `custom` is healed as under `oldest`, and then its function is asked about each value
// that was set aside, once, on one node; what it returns is put like any other value, so every node
// gets it, and a key that was deleted on either side stays deleted.
//
//   UnsplitOptions options;
//   options.merge_functions["carts"] = [](const MergeConflict& conflict) {
//     return both(conflict.kept ? conflict.kept->value : "", conflict.lost.value);
//   };
//
// Register the same function on every node: any of them may be the one that is asked.  A function
// must not depend on which side lost; it must be pure and brief, for it runs on the node's strand.
// One that throws leaves the value in the journal, with the reason.
//
// Three that show how, after the methods of uwiger/unsplit, without what was wrong with those: they
// leave both sides equal, whoever wins, and never bring back what was deleted.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "muster/cache/key.h"
#include "muster/discovery/result.h"
#include "muster/discovery/time.h"

namespace muster::unsplit {

struct MergeConflict {
  struct Version {
    std::string value;
    Timestamp written{};
  };
  cache::Key key;
  Version lost;                 ///< Of the side that came over to the other's line.
  std::optional<Version> kept;  ///< What the key holds now; none: it is absent there.
};

/// The value that the key shall hold; nothing: it stays as it is, and the lost value stays in the
/// journal.
using MergeFunction = std::function<std::optional<std::string>(const MergeConflict& conflict)>;

/// The version with the greater number in a field wins.  `field` reads it from a value, as of a
/// "modified" or "version" attribute; a value without one loses.  Equal numbers: the greater value,
/// so that all nodes choose alike.
using NumberField = std::function<std::optional<std::uint64_t>(std::string_view value)>;
[[nodiscard]] MergeFunction newest_by(NumberField field);

/// The value is a set, its members parted by `separator`: all members of both, sorted, each once.
[[nodiscard]] MergeFunction set_union(char separator = '\n');

/// The causal winner by vector clocks that the values carry; `clock` reads one.  Of two that
/// neither saw the other `merge_concurrent` decides; without it the greater value wins.
using VectorClock = std::map<std::string, std::uint64_t>;
using ClockField = std::function<VectorClock(std::string_view value)>;
[[nodiscard]] MergeFunction by_vector_clock(ClockField clock, MergeFunction merge_concurrent = {});

/// `a` has seen everything that `b` has.
[[nodiscard]] bool descends(const VectorClock& a, const VectorClock& b);
/// The least clock that descends from both.
[[nodiscard]] VectorClock merged(VectorClock a, const VectorClock& b);
[[nodiscard]] VectorClock incremented(VectorClock clock, const std::string& actor);

}  // namespace muster::unsplit
