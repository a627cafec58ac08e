// SPDX-License-Identifier: MIT
//
// The owner of coroutines: it cancels and awaits what it spawned.
//
// Threads: one strand.  Errors: a child that ends with an exception other than "cancelled" is our
// bug.  Stop: stop() ends when the last child has; later spawns are
// refused.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstdint>
#include <map>

#include "muster/discovery/time.h"

namespace muster::discovery {

constexpr auto await_tuple = boost::asio::as_tuple(boost::asio::use_awaitable);

class TaskGroup {
 public:
  explicit TaskGroup(boost::asio::any_io_executor executor);
  ~TaskGroup();
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;

  using Id = std::uint64_t;

  /// Starts it later, never from within this call.
  Id spawn(boost::asio::awaitable<void> task);
  /// Of one that may have ended already.
  void cancel(Id id);
  [[nodiscard]] boost::asio::awaitable<void> stop();
  /// Lets the children end by themselves first, for at most `within`.
  [[nodiscard]] boost::asio::awaitable<void> finish(Duration within);
  [[nodiscard]] std::size_t size() const { return children_.size(); }
  [[nodiscard]] const boost::asio::any_io_executor& executor() const { return executor_; }

 private:
  boost::asio::any_io_executor executor_;
  boost::asio::steady_timer idle_;
  std::map<Id, boost::asio::cancellation_signal> children_;
  Id last_ = 0;
  bool stopping_ = false;
};

}  // namespace muster::discovery
