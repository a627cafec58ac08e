// SPDX-License-Identifier: MIT
//
// Accepts connections on one address and hands them over.  Out of file descriptors: waits and goes
// on.  Threads: the executor's.  Stop: close() ends when no handler runs any more.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <string_view>

#include "muster/app/config.h"

namespace muster::app {

class Listener {
 public:
  using Accepted = std::function<void(boost::asio::ip::tcp::socket)>;
  Listener(boost::asio::any_io_executor executor, Accepted accepted);
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  /// `flag` is named where the port is in use.  Returns the port.
  Result<std::uint16_t> open(const Endpoint& endpoint, std::string_view flag);
  boost::asio::awaitable<void> close();

 private:
  void accept();

  boost::asio::any_io_executor executor_;
  boost::asio::ip::tcp::acceptor acceptor_;
  boost::asio::steady_timer pause_;  // After an error; and what close() waits on.
  Accepted accepted_;
  bool accepting_ = false;
};

}  // namespace muster::app
