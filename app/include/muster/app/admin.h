// SPDX-License-Identifier: MIT
//
// The HTTP port of a node: /healthz /readyz /metrics /v1/... /v1/events and a live page at /.  One
// line mounts it in any program, and every verb of the command line then works on that program:
//
//   app::Admin admin(node.strand(), {.node = &node, .cache = &cache, .unsplit = &unsplit}, {.log =
//   log}); const auto port = admin.listen("127.0.0.1:4000");  // an Error when the port is in use
//   ...
//   co_await admin.stop();
//
// Threads: all calls, stop() included, on `executor`, which is node.strand().  Errors: what
// listen() returns; a request that fails is answered with a JSON error and never ends the port.
// Stop: when stop() is complete, no handler of ours runs any more; the destructor asserts that, or
// that nothing listened. Bounds: 16 KiB of headers, bodies a little above the largest value, 256
// connections, 10 s for a request to arrive.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <memory>
#include <string_view>

#include "muster/app/parts.h"
#include "muster/discovery/result.h"

namespace muster::app {

class Admin {
 public:
  Admin(boost::asio::any_io_executor executor, Parts parts, PortOptions options = {});
  ~Admin();
  Admin(const Admin&) = delete;
  Admin& operator=(const Admin&) = delete;

  /// "ADDRESS:PORT", port 0 for any that is free; returns the port.  May be called for several
  /// addresses.
  Result<std::uint16_t> listen(std::string_view address);
  boost::asio::awaitable<void> stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace muster::app
