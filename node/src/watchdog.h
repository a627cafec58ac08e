// SPDX-License-Identifier: MIT
//
// A deadline beside a coroutine: when it passes, a function closes what the coroutine waits on.
// What is left of it after stop() or destruction touches nothing that could be gone.
//
// Threads: the strand only.
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "asio_types.h"
#include "muster/discovery/time.h"
#include "task_group.h"

namespace muster::node {

class Watchdog {
 public:
  /// `tasks` must outlive the timer's last callback, that is: be waited for.
  Watchdog(const Strand& strand, TaskGroup& tasks, std::function<void()> bite)
      : tasks_(tasks), state_(std::make_shared<State>(Timer(strand), std::move(bite))) {}
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;
  ~Watchdog() { stop(); }

  void start(Duration after) {
    stop();
    state_->bitten = false;
    state_->timer.expires_after(after);
    tasks_.begin();
    state_->timer.async_wait([state = state_, generation = state_->generation,
                              &tasks = tasks_](const error_code& error) {
      if (!error && generation == state->generation) {
        state->bitten = true;
        state->bite();
      }
      tasks.end();
    });
  }
  void stop() {
    ++state_->generation;
    state_->timer.cancel();
  }
  /// The deadline has passed since the last start().
  [[nodiscard]] bool bitten() const { return state_->bitten; }

 private:
  struct State {
    State(Timer t, std::function<void()> b) : timer(std::move(t)), bite(std::move(b)) {}
    Timer timer;
    std::function<void()> bite;
    std::uint64_t generation = 0;
    bool bitten = false;
  };
  TaskGroup& tasks_;
  std::shared_ptr<State> state_;
};

}  // namespace muster::node
