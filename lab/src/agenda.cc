// SPDX-License-Identifier: MIT
//
// The event heap; see agenda.h.
#include "muster/lab/agenda.h"

#include <algorithm>

namespace muster::lab {

void Agenda::at(Instant when, Action action) {
  std::uint32_t slot = 0;
  if (free_.empty()) {
    slot = static_cast<std::uint32_t>(slots_.size());
    slots_.push_back(std::move(action));
  } else {
    slot = free_.back();
    free_.pop_back();
    slots_[slot] = std::move(action);
  }
  heap_.push_back({std::max(when, now_), ++sequence_, slot});
  std::push_heap(heap_.begin(), heap_.end(), Later{});
}

bool Agenda::step() {
  if (heap_.empty()) return false;
  std::pop_heap(heap_.begin(), heap_.end(), Later{});
  const Entry entry = heap_.back();
  heap_.pop_back();
  now_ = entry.when;
  ++executed_;
  Action action = std::move(slots_[entry.slot]);  // It may schedule, which may move the slots.
  free_.push_back(entry.slot);
  action();
  return true;
}

void Agenda::run_until(Instant end) {
  while (!heap_.empty() && heap_.front().when <= end) step();
  now_ = std::max(now_, end);
}

}  // namespace muster::lab
