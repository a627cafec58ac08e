// SPDX-License-Identifier: MIT
// The clocks, for shells: machines get time as an argument.
#pragma once

#include "muster/discovery/time.h"

namespace muster::app {

[[nodiscard]] inline Now now() {
  return {std::chrono::steady_clock::now(), std::chrono::time_point_cast<std::chrono::microseconds>(
                                                std::chrono::system_clock::now())};
}

}  // namespace muster::app
