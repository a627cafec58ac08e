// SPDX-License-Identifier: MIT
//
// A clock made by hand: it stands still until a test moves it.
#pragma once

#include "muster/discovery/time.h"

namespace muster::test {

class VirtualClock {
 public:
  [[nodiscard]] Now now() const { return now_; }
  [[nodiscard]] Duration elapsed() const { return now_.mono - start; }
  void set(Instant mono) {
    now_.wall += std::chrono::duration_cast<std::chrono::microseconds>(mono - now_.mono);
    now_.mono = mono;
  }

  /// Wakes the machine whenever it asks for it, until `by` has passed; `then` runs after each wake.
  template <class Machine, class Then>
  void run(Machine& machine, Duration by, Then then) {
    const Instant end = now_.mono + by;
    for (int same = 0; machine.next_wake() <= end && same < 10'000; ++same) {
      set(std::max(now_.mono, machine.next_wake()));
      machine.wake(now_);
      machine.check_invariants();
      then();
    }
    set(end);
  }

  static constexpr Instant start = Instant(std::chrono::hours(1));

 private:
  Now now_{.mono = start, .wall = Timestamp(std::chrono::hours(24 * 365 * 50))};
};

}  // namespace muster::test
