// SPDX-License-Identifier: MIT
//
// HTTP/1.1 for the admin: everything that must be judged before a handler runs.  Headers to 16 KiB,
// a body only where the verb has one and the sender may send it, deadlines on every wait, the Host
// header against those who make browsers speak to loopback, the bearer token where there is a
// password.  The one unit that knows Beast.
//
// Threads: the executor's, which is a strand.  Stop: stop() ends when no handler runs any more.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "access.h"
#include "event_hub.h"
#include "http_message.h"
#include "muster/app/config.h"

namespace muster::app {

class HttpServer {
 public:
  using Handler = std::function<boost::asio::awaitable<HttpResponse>(HttpRequest request)>;
  /// One event as it goes on the wire, without the number.
  using EventText = std::function<std::string(const EventHub::Event& event)>;

  /// `access` and `hub` must outlive it.
  HttpServer(boost::asio::any_io_executor executor, const Access& access, EventHub& hub,
             Handler handler, EventText event_text);
  ~HttpServer();

  Result<std::uint16_t> listen(const Endpoint& endpoint);
  boost::asio::awaitable<void> stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace muster::app
