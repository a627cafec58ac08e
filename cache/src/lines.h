// SPDX-License-Identifier: MIT
//
// Paths compared: who follows whom, and where two lines fork.  Pure functions.
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
};

/// How many lines two paths have in common from the root.
[[nodiscard]] inline std::size_t common_lines(const Path& a, const Path& b) {
  std::size_t i = 0;
  while (i < a.size() && i < b.size() && a[i].id == b[i].id) ++i;
  return i;
}

[[nodiscard]] inline Relation relate(const Path& ours, const Path& theirs) {
  const std::size_t common = common_lines(ours, theirs);
  if (common == ours.size() && common == theirs.size()) return Relation::equal;
  if (common == ours.size()) return Relation::ours_shorter;
  if (common == theirs.size()) return Relation::theirs_shorter;
  return Relation::siblings;
}

[[nodiscard]] inline bool on_path(const Path& path, LineId line) {
  return line == 0 || std::any_of(path.rbegin(), path.rend(),
                                  [line](const Line& each) { return each.id == line; });
}

/// Each line is the child of the one before it, the first a root, no id twice.
[[nodiscard]] bool valid_path(const Path& path);

/// More losses than this between two writes of a table's whole life would be a fault elsewhere.
constexpr std::size_t max_path = 8192;

}  // namespace muster::cache
