// SPDX-License-Identifier: MIT
//
// Virtual time and what is due.  Time moves only from one event to the next; events at the same
// instant run in the order in which they were scheduled.  Nothing else decides the order, so a run
// repeats to the byte.
//
// Threads: one.  Actions may schedule further ones; scheduling in the past means now.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "muster/discovery/time.h"
#include "muster/lab/action.h"

namespace muster::lab {

class Agenda {
 public:
  [[nodiscard]] Instant now() const { return now_; }
  [[nodiscard]] bool empty() const { return heap_.empty(); }
  [[nodiscard]] std::size_t size() const { return heap_.size(); }
  [[nodiscard]] std::uint64_t executed() const { return executed_; }
  [[nodiscard]] Instant next() const { return heap_.empty() ? never : heap_.front().when; }

  void at(Instant when, Action action);
  void in(Duration wait, Action action) { at(after(now_, wait), std::move(action)); }

  /// Runs the next event, moving the clock to it; false when there is none.
  bool step();
  /// Runs all that is due until `end`, inclusive, then sets the clock to it.
  void run_until(Instant end);
  void run_for(Duration span) { run_until(after(now_, span)); }

 private:
  struct Entry {
    Instant when;
    std::uint64_t sequence;
    std::uint32_t slot;
  };
  struct Later {
    bool operator()(const Entry& a, const Entry& b) const {
      return a.when != b.when ? a.when > b.when : a.sequence > b.sequence;
    }
  };

  // Small entries are moved about by the heap; the actions stay where they are.
  Instant now_{};
  std::uint64_t sequence_ = 0;
  std::uint64_t executed_ = 0;
  std::vector<Entry> heap_;
  std::vector<Action> slots_;
  std::vector<std::uint32_t> free_;
};

}  // namespace muster::lab
