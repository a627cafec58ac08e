// SPDX-License-Identifier: MIT
// The other half of `work() || time_passes(limit)`.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "muster/discovery/time.h"

namespace muster::discovery {

inline boost::asio::awaitable<void> time_passes(Duration duration) {
  const auto executor = co_await boost::asio::this_coro::executor;
  const Instant end = after(std::chrono::steady_clock::now(), duration);
  boost::asio::steady_timer timer(executor, end);
  co_await timer.async_wait(boost::asio::use_awaitable);
}

}  // namespace muster::discovery
