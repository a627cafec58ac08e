// SPDX-License-Identifier: MIT
//
// Paths compared: who follows whom, and where two lines fork.  Pure functions.
//
// Old lines are pruned from a path: it keeps its root, and after it may have a gap.  Two copies of
// one path, one pruned further than the other, are equal.  A path that ends within another's gap is
// of a disk from before all members had gone on: outdated.
#pragma once

#include <algorithm>
#include <cstdint>

#include "muster/cache/types.h"

namespace muster::cache {

enum class Relation : std::uint8_t {
  equal,
  ours_shorter,    ///< A prefix of theirs: we follow.
  theirs_shorter,  ///< They follow us.
  siblings,        ///< A fork.
  ours_outdated,   ///< It ends where theirs is pruned: nothing tells any more how they are related.
  theirs_outdated,
};

/// A line between the root and the next one has been pruned.
[[nodiscard]] inline bool has_gap(const Path& path) {
  return path.size() > 1 && path[1].parent != path[0].id;
}

/// Without the lines that `other` has pruned, so that both can be compared one by one.
[[nodiscard]] Path aligned(const Path& path, const Path& other);

/// How many lines two aligned paths have in common from the root.
[[nodiscard]] inline std::size_t common_lines(const Path& a, const Path& b) {
  std::size_t i = 0;
  while (i < a.size() && i < b.size() && a[i].id == b[i].id) ++i;
  return i;
}

[[nodiscard]] Relation relate(const Path& ours, const Path& theirs);

[[nodiscard]] inline bool on_path(const Path& path, LineId line) {
  return line == 0 || std::any_of(path.rbegin(), path.rend(),
                                  [line](const Line& each) { return each.id == line; });
}

/// Each line is the child of the one before it (but for one gap after the root), the first a root,
/// no id twice.
[[nodiscard]] bool valid_path(const Path& path);

/// More losses than this between two writes of a table's whole life would be a fault elsewhere.
constexpr std::size_t max_path = 8192;

}  // namespace muster::cache
