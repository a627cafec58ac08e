// SPDX-License-Identifier: MIT
//
// How badly this node itself is served by its machine (Lifeguard's local health): a stall makes it
// patient with others for as long as the stall was, and that wears off within ten seconds.  Pure.
#pragma once

#include <algorithm>

#include "muster/discovery/time.h"

namespace muster::node {

class Strain {
 public:
  static constexpr Duration lasts = std::chrono::seconds(10);

  void stalled(Instant now, Duration stall, Duration most) {
    worst_ = std::min(std::max(at(now), stall), most);
    when_ = now;
  }
  [[nodiscard]] Duration at(Instant now) const {
    if (worst_ == Duration::zero() || now >= when_ + lasts) return Duration::zero();
    const double left = 1.0 - std::chrono::duration<double>(now - when_) / lasts;
    return std::chrono::duration_cast<Duration>(worst_ * left);
  }

 private:
  Duration worst_{};
  Instant when_{};
};

}  // namespace muster::node
