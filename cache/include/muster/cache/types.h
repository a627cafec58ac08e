// SPDX-License-Identifier: MIT
//
// The vocabulary of versions and lines.  The rules that bind these words together (stamps, dots,
// incarnations, deletes that win for ever, lines and paths) stand in src/replica.h;
// here are only the shapes.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

#include "muster/discovery/time.h"
#include "muster/node/identity.h"

namespace muster::cache {

using node::BootId;
using node::Seniority;

/// Hybrid logical clock: microseconds of cluster time, but larger than every stamp its giver had
/// seen; the boot breaks ties.  A zero stamp is older than all.
struct Stamp {
  std::uint64_t time = 0;
  BootId boot;
  friend auto operator<=>(const Stamp&, const Stamp&) = default;
};

/// One numbered sequence of operations: a node opens a new one at its first operation on a line.
struct OriginId {
  BootId boot;
  std::uint32_t number = 0;
  friend auto operator<=>(const OriginId&, const OriginId&) = default;
};

/// Names one operation for ever: the `sequence`-th (from 1) of `origin`.
struct Dot {
  OriginId origin;
  std::uint64_t sequence = 0;
  friend auto operator<=>(const Dot&, const Dot&) = default;
};

/// 0 = no line: deletes and touches, which count on every line.
using LineId = std::uint64_t;

/// A line is named when a put finds a member of the old line missing; immutable.  Lines form a
/// tree; a path runs from the root to the line that a table stands on.
struct Line {
  LineId id = 0;
  LineId parent = 0;       ///< 0: this is a root.
  Seniority namer;         ///< Decides who wins a fork.
  std::uint32_t view = 0;  ///< Nodes in the namer's island.
  Stamp stamp;             ///< When; of a root it is the founding stamp.
  friend bool operator==(const Line&, const Line&) = default;
};
using Path = std::vector<Line>;

struct Origin {
  OriginId id;
  LineId line = 0;
  LineId root = 0;  ///< Of the path it was opened under.
  Stamp start;      ///< Of its first operation.
  friend bool operator==(const Origin&, const Origin&) = default;
};

/// When an entry ceases to be, in cluster time.
using Expiry = Timestamp;
constexpr Expiry never_expires = Expiry::max();

}  // namespace muster::cache
