// SPDX-License-Identifier: MIT
//
// The failure detector's view of one link.  Everything that arrives counts as a sign of life; the
// silence that counts begins with the first probe that was not followed by anything, so a peer that
// pauses for less than the deadline is never accused.  Who was told of a suspicion and has heard
// nothing since either counts from where the accuser does.
//
// In the manner of SWIM with Lifeguard: a silence becomes a suspicion, others are asked, and the
// verdict falls at a deadline that lies the nearer the more of them confirm it, and stays far when
// the suspect was heard elsewhere.  Slow links get more time, and so does everybody while this node
// itself stands still now and then.  Pure.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "muster/discovery/time.h"
#include "muster/node/identity.h"

namespace muster::node {

/// What others say of a silent peer.
struct Suspicion {
  static constexpr std::size_t enough = 3;  ///< So many are asked, and so many confirmations count.

  std::uint32_t incarnation = 0;   ///< Of the suspect, as known when it fell silent.
  std::vector<BootId> asked;       ///< At most `enough`.
  std::vector<BootId> confirmers;  ///< They hear nothing either; at most `enough`.
  bool refuted = false;            ///< Somebody heard it since.

  void confirm(BootId by) {
    if (confirmers.size() < enough && std::ranges::find(confirmers, by) == confirmers.end())
      confirmers.push_back(by);
  }
  /// Between `least` and `most`; `able` of those asked could confirm it.
  [[nodiscard]] Duration deadline(Duration least, Duration most, std::size_t able) const {
    if (refuted) return most;
    if (confirmers.size() >= able) return least;
    const double part = std::log(1.0 + static_cast<double>(confirmers.size())) /
                        std::log(1.0 + static_cast<double>(able));
    return most - std::chrono::duration_cast<Duration>((most - least) * part);
  }
};

class Watch {
 public:
  struct Limits {
    Duration silent_after;  ///< From the first unanswered probe to the verdict, when confirmed.
    Duration strain{};      ///< How much longer because this node stood still lately.
  };

  void begin(Now now) {
    heard_ = now.mono;
    forgive();
  }
  void heard(Now now) {
    heard_ = now.mono;
    if (silent()) forgive();
  }
  /// Gives the probe its number.
  std::uint64_t probed(Now now) {
    probed_ = now.mono;
    if (!silent()) since_ = now.mono;
    sent_[++probes_ % sent_.size()] = now.mono;
    return probes_;
  }
  /// When the probe of that number went out; never, unless it is one of the last and unanswered.
  Instant answered(Now now, std::uint64_t probe) {
    if (probe == 0 || probe > probes_ || probes_ - probe >= sent_.size()) return never;
    const Instant sent = std::exchange(sent_[probe % sent_.size()], never);
    if (sent != never) measure(now.mono - sent);
    return sent;
  }
  /// Somebody has heard nothing of it for so long; only after probed().
  void accused(Now now, Duration silent_for) {
    if (silent()) since_ = std::min(since_, std::max(heard_, now.mono - silent_for));
  }
  [[nodiscard]] bool silent() const { return since_ != never; }
  [[nodiscard]] bool suspected() const { return suspected_; }
  void suspect() { suspected_ = true; }
  [[nodiscard]] Instant since() const { return since_; }
  [[nodiscard]] Instant last_heard() const { return heard_; }
  [[nodiscard]] Instant last_probed() const { return probed_; }
  [[nodiscard]] std::uint64_t probes() const { return probes_; }

  [[nodiscard]] Duration suspect_after(const Limits& limits) const {
    return limits.silent_after / 3 + patience(limits);
  }
  [[nodiscard]] Duration deadline(const Limits& limits, std::size_t able) const {
    const Duration least = limits.silent_after + patience(limits);
    return suspicion.deadline(least, least + limits.silent_after * 2 / 3, able);
  }

  Suspicion suspicion;

 private:
  void forgive() {
    since_ = never;
    suspected_ = false;
    suspicion = {};
  }
  /// As TCP measures its round trips (RFC 6298).
  void measure(Duration trip) {
    if (smooth_ == Duration::zero()) {
      smooth_ = trip;
      spread_ = trip / 2;
    } else {
      spread_ = spread_ * 3 / 4 + std::chrono::abs(smooth_ - trip) / 4;
      smooth_ = smooth_ * 7 / 8 + trip / 8;
    }
  }
  [[nodiscard]] Duration patience(const Limits& limits) const {
    return std::min(smooth_ + 4 * spread_ + limits.strain, limits.silent_after);
  }

  Instant heard_{};
  Instant probed_{};
  Instant since_ = never;  ///< The silence that counts.
  bool suspected_ = false;
  std::uint64_t probes_ = 0;
  std::array<Instant, 4> sent_{never, never, never, never};
  Duration smooth_{};
  Duration spread_{};
};

}  // namespace muster::node
