// SPDX-License-Identifier: MIT
#include "machine/cluster_clock.h"

#include <algorithm>
#include <vector>

namespace muster::node {
namespace {

std::chrono::microseconds reading(Instant when) {
  return std::chrono::duration_cast<std::chrono::microseconds>(when.time_since_epoch());
}

}  // namespace

void ClusterClock::start(Now now, Timestamp mark) {
  base_instant_ = now.mono;
  base_ = std::max(now.wall, mark);
  error_ = now.wall - base_;
}

void ClusterClock::sample(BootId peer, Instant sent, Instant received, Timestamp wall) {
  Samples& samples = peers_[peer];
  const Duration round_trip = received - sent;
  const Microseconds offset = wall.time_since_epoch() - reading(sent + round_trip / 2);
  samples.last[samples.next++ % samples.last.size()] = {round_trip, offset};
}

void ClusterClock::forget(BootId peer) { peers_.erase(peer); }

ClusterClock::Microseconds ClusterClock::Samples::best() const {
  return std::ranges::min_element(last, {}, &Sample::round_trip)->offset;
}

ClusterClock::Microseconds ClusterClock::median(Now now) const {
  std::vector<Microseconds> offsets{now.wall.time_since_epoch() - reading(now.mono)};
  for (const auto& [peer, samples] : peers_) offsets.push_back(samples.best());
  const auto middle = offsets.begin() + static_cast<std::ptrdiff_t>(offsets.size() / 2);
  std::ranges::nth_element(offsets, middle);
  if (offsets.size() % 2 == 1) return *middle;
  const Microseconds below = *std::max_element(offsets.begin(), middle);
  return below + (*middle - below) / 2;
}

void ClusterClock::steer(Now now) {
  const Timestamp target(reading(now.mono) + median(now));
  Timestamp current = at(now.mono);
  if (!met_ && !peers_.empty()) {
    met_ = true;
    current = std::max(current, target);
  }
  base_ = current;
  base_instant_ = std::max(now.mono, base_instant_);
  error_ = target - current;
}

void ClusterClock::steer_if_few(Now now) {
  constexpr std::size_t few = 16;
  if (peers_.size() <= few) steer(now);
}

Timestamp ClusterClock::at(Instant when) const {
  const Microseconds passed = reading(std::max(when, base_instant_)) - reading(base_instant_);
  return base_ + passed + std::clamp(error_, -passed / 2, passed);
}

std::chrono::microseconds ClusterClock::ahead(Now now) const {
  return now.wall.time_since_epoch() - reading(now.mono) - median(now);
}

}  // namespace muster::node
