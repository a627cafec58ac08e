// SPDX-License-Identifier: MIT
//
// The failure detector's view of one link.  Everything that arrives counts as a sign of life; a
// link that is idle is probed; the silence that counts begins with the first probe that was not
// followed by anything, so a peer that pauses for less than the deadline is never accused.
// Own stalls are excused: time in which we could not have heard does not count.  Pure.
#pragma once

#include "muster/discovery/time.h"

namespace muster::node {

class Watch {
 public:
  struct Limits {
    Duration probe_every;   ///< An idle link is probed this often.
    Duration silent_after;  ///< From the first unanswered probe to the verdict.

    [[nodiscard]] Duration suspect_after() const { return silent_after * 2 / 3; }
  };
  enum class Verdict { fine, probe, suspect, down };

  void begin(Now now) {
    heard_ = probed_ = now.mono;
    unanswered_ = never;
    suspected_ = false;
  }
  void heard(Now now) {
    heard_ = now.mono;
    unanswered_ = never;
    suspected_ = false;
  }
  void probed(Now now) {
    probed_ = now.mono;
    if (unanswered_ == never) unanswered_ = now.mono;
  }
  void excuse(Duration stall) {
    if (unanswered_ != never) unanswered_ += stall;
  }

  /// `suspect` is said once per silence; it asks for a probe as well.
  [[nodiscard]] Verdict judge(Now now, const Limits& limits) {
    if (unanswered_ != never) {
      const Duration silence = now.mono - unanswered_;
      if (silence >= limits.silent_after) return Verdict::down;
      if (silence >= limits.suspect_after() && !suspected_) {
        suspected_ = true;
        return Verdict::suspect;
      }
    }
    // A busy link is probed now and then all the same: its round trips feed the cluster clock.
    const bool idle = now.mono - heard_ >= limits.probe_every;
    const Duration rest = idle ? limits.probe_every : limits.probe_every * 8;
    return now.mono - probed_ >= rest ? Verdict::probe : Verdict::fine;
  }

  [[nodiscard]] Instant look_again(Now now, const Limits& limits) const {
    if (unanswered_ == never) {
      return std::max(now.mono + std::chrono::milliseconds(1),
                      std::max(heard_, probed_) + limits.probe_every);
    }
    Instant next = probed_ + limits.probe_every;
    if (!suspected_) next = std::min(next, unanswered_ + limits.suspect_after());
    return std::min(next, unanswered_ + limits.silent_after);
  }
  [[nodiscard]] Instant last_heard() const { return heard_; }

 private:
  Instant heard_{};
  Instant probed_{};
  Instant unanswered_ = never;
  bool suspected_ = false;
};

}  // namespace muster::node
