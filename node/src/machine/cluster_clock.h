// SPDX-License-Identifier: MIT
//
// Cluster time: the monotonic clock plus an offset that is steered to the median of the wall clocks
// of the linked nodes, this one included.  Alone it follows the own wall clock.
//
// Invariant: at() never goes backwards.  Ahead of its target it runs at half speed, behind it at
// double speed; only the first meeting with others may set it forward at once.  After a restart it
// begins no earlier than the mark that was saved.  Pure.
#pragma once

#include <array>
#include <cstdint>
#include <map>

#include "muster/discovery/time.h"
#include "muster/node/identity.h"

namespace muster::node {

class ClusterClock {
 public:
  void start(Now now, Timestamp mark);

  /// `peer` read `wall` at a moment between `sent` and `received`.
  void sample(BootId peer, Instant sent, Instant received, Timestamp wall);
  void forget(BootId peer);
  void steer(Now now);
  /// After the first sample of a peer: of many peers one moves the median little, and can wait.
  void steer_if_few(Now now);

  [[nodiscard]] Timestamp at(Instant when) const;
  /// How far the own wall clock is ahead of the median.
  [[nodiscard]] std::chrono::microseconds ahead(Now now) const;

 private:
  using Microseconds = std::chrono::microseconds;
  struct Sample {
    Duration round_trip = Duration::max();
    Microseconds offset{};  ///< Wall clock minus our monotonic clock.
  };
  struct Samples {
    std::array<Sample, 8> last;
    std::size_t next = 0;
    [[nodiscard]] Microseconds best() const;
  };
  [[nodiscard]] Microseconds median(Now now) const;

  Instant base_instant_{};
  Timestamp base_{};
  Microseconds error_{};  ///< What was missing to the target at base_instant_.
  bool met_ = false;
  std::map<BootId, Samples> peers_;
};

}  // namespace muster::node
