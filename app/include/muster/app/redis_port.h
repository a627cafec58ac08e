// SPDX-License-Identifier: MIT
//
// The Redis port of a node: RESP2 and RESP3, pipelining, inline commands; database n is the n-th
// table of the cache.  One line mounts it in any program:
//
//   app::RedisPort redis(node.strand(), {.node = &node, .cache = &cache}, {.log = log});
//   const auto port = redis.listen("127.0.0.1:4001");
//   ...
//   co_await redis.stop();
//
// Threads: all calls, stop() included, on `executor`, which is node.strand().  Errors: what
// listen() returns. Stop: when stop() is complete, no handler of ours runs any more; the destructor
// asserts that, or that nothing listened.  Bounds: redis_limits.h.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <memory>
#include <string_view>

#include "muster/app/parts.h"
#include "muster/discovery/result.h"

namespace muster::app {

class RedisPort {
 public:
  RedisPort(boost::asio::any_io_executor executor, Parts parts, PortOptions options = {});
  ~RedisPort();
  RedisPort(const RedisPort&) = delete;
  RedisPort& operator=(const RedisPort&) = delete;

  /// "ADDRESS:PORT", port 0 for any that is free; returns the port.
  Result<std::uint16_t> listen(std::string_view address);
  boost::asio::awaitable<void> stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace muster::app
