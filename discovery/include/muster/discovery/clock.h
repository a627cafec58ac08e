// SPDX-License-Identifier: MIT
//
// Where shells read the time that machines are told.  Its monotonic part also runs while the
// computer is suspended (CLOCK_BOOTTIME), so a closed laptop or a paused machine is noticed as a
// stall, and what expired meanwhile has expired.  Safe from any thread.
#pragma once

#include <ctime>

#include "muster/discovery/time.h"

namespace muster {

[[nodiscard]] inline Instant read_mono() {
  std::timespec reading{};
  ::clock_gettime(CLOCK_BOOTTIME, &reading);
  return Instant(std::chrono::seconds(reading.tv_sec) + std::chrono::nanoseconds(reading.tv_nsec));
}

[[nodiscard]] inline Now read_clock() {
  return {
      .mono = read_mono(),
      .wall = std::chrono::time_point_cast<Timestamp::duration>(std::chrono::system_clock::now())};
}

/// When a timer that runs on std::chrono::steady_clock is to go off: that clock stands still while
/// the computer is suspended.
[[nodiscard]] inline std::chrono::steady_clock::time_point timer_deadline(Instant due) {
  return after(std::chrono::steady_clock::now(), due == never ? forever : due - read_mono());
}

}  // namespace muster
