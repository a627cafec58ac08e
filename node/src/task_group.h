// SPDX-License-Identifier: MIT
//
// Owns what runs beside its owner: coroutines and pending callbacks are counted, and the owner
// waits for the last one before it goes away.  It cancels nothing: whoever stops them closes the
// sockets and timers they wait on.
//
// Threads: the strand only.  Errors: an exception that leaves a task is a bug of ours and leaves
// io_context::run().
#pragma once

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/assert.hpp>
#include <exception>
#include <utility>

#include "asio_types.h"

namespace muster::node {

class TaskGroup {
 public:
  explicit TaskGroup(const Strand& strand) : strand_(strand), idle_(strand) {}
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;
  ~TaskGroup() { BOOST_ASSERT_MSG(running_ == 0, "a task outlived its owner"); }

  void spawn(asio::awaitable<void> task) {
    begin();
    asio::co_spawn(strand_, std::move(task),
                   asio::bind_executor(strand_, [this](std::exception_ptr failure) {
                     end();
                     if (failure) std::rethrow_exception(failure);
                   }));
  }

  /// For callbacks: begin() when one is handed out, end() as the last thing it does.
  void begin() { ++running_; }
  void end() {
    BOOST_ASSERT(running_ > 0);
    if (--running_ == 0) idle_.cancel();
  }

  [[nodiscard]] asio::awaitable<void> wait() {
    while (running_ > 0) {
      idle_.expires_at(std::chrono::steady_clock::time_point::max());
      (void)co_await idle_.async_wait(await_tuple);
    }
  }

 private:
  Strand strand_;
  Timer idle_;
  int running_ = 0;
};

}  // namespace muster::node
