// SPDX-License-Identifier: MIT
//
// How long to wait before trying again: doubling from `first` to `most`, each wait shortened by a
// random part of up to a half, so that those who failed together do not come back together.  Pure:
// the random bits are the caller's.
#pragma once

#include <algorithm>
#include <cstdint>

#include "muster/discovery/time.h"

namespace muster {

class Backoff {
 public:
  struct Limits {
    Duration first = std::chrono::milliseconds(200);
    Duration most = std::chrono::seconds(10);
  };

  Backoff() = default;
  explicit Backoff(Limits limits) : limits_(limits) {}

  /// The wait after one more failure: in [w/2, w] for w = min(most, first * 2^failures).
  [[nodiscard]] Duration next(std::uint64_t random_bits) {
    Duration wait = limits_.first;
    for (int i = 0; i < failures_ && wait < limits_.most; ++i) wait *= 2;
    ++failures_;
    const auto half = std::min(wait, limits_.most).count() / 2;
    return Duration(half +
                    static_cast<Duration::rep>(random_bits % static_cast<std::uint64_t>(half + 1)));
  }
  void reset() { failures_ = 0; }
  [[nodiscard]] int failures() const { return failures_; }

 private:
  Limits limits_;
  int failures_ = 0;
};

}  // namespace muster
