// SPDX-License-Identifier: MIT
// Where shells read the time that machines are told.
#pragma once

#include "muster/discovery/time.h"

namespace muster::discovery {

inline Now read_clock() {
  return {
      .mono = std::chrono::steady_clock::now(),
      .wall = std::chrono::time_point_cast<Timestamp::duration>(std::chrono::system_clock::now())};
}

}  // namespace muster::discovery
