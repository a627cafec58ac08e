// SPDX-License-Identifier: MIT
//
// The UDP socket of one group: joins and sends on the same interface.  Threads: one strand.
// Errors: open() says which step failed; a datagram that cannot be sent is lost, as any may be.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/udp.hpp>
#include <functional>
#include <string_view>

#include "muster/discovery/strategy_machine.h"

namespace muster::discovery {

class DatagramGroup {
 public:
  explicit DatagramGroup(const boost::asio::any_io_executor& executor) : socket_(executor) {}

  Result<void> open(const OpenGroup& group);
  void send(std::string_view datagram);
  /// Hands each datagram to `take`, until cancelled or open() is called again.
  boost::asio::awaitable<void> receive(std::function<void(std::string_view)> take);

 private:
  boost::asio::ip::udp::socket socket_;
  boost::asio::ip::udp::endpoint to_;
};

}  // namespace muster::discovery
