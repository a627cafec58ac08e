// SPDX-License-Identifier: MIT
//
// Time as machines see it: always an argument, never read.  Shells and the lab say what time it is.
#pragma once

#include <chrono>

namespace muster {

using Instant = std::chrono::steady_clock::time_point;  ///< Monotonic; for deadlines and periods.
using Duration = std::chrono::steady_clock::duration;
using Timestamp = std::chrono::sys_time<std::chrono::microseconds>;  ///< Wall or cluster time.

/// Both readings of one moment.
struct Now {
  Instant mono;
  Timestamp wall;
};

constexpr Instant never = Instant::max();
constexpr Duration forever = Duration::max();  ///< `infinity` in YAML.

/// `start + wait`, and never where the sum would overflow.
[[nodiscard]] constexpr Instant after(Instant start, Duration wait) {
  return wait > never - start ? never : start + wait;
}

}  // namespace muster
