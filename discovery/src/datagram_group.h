// SPDX-License-Identifier: MIT
//
// The UDP socket of one group: joins and sends on the same interface.  Threads: one strand.
// Errors: open() says which step failed; a datagram that cannot be sent is lost, as any may be.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/udp.hpp>
#include <cstdint>
#include <functional>
#include <string_view>

#include "muster/discovery/strategy_machine.h"
#include "network_interface.h"

namespace muster::discovery {

class DatagramGroup {
 public:
  explicit DatagramGroup(const boost::asio::any_io_executor& executor)
      : executor_(executor), socket_(executor) {}

  Result<void> open(const OpenGroup& group);
  void send(std::string_view datagram);
  /// Opens the group, tells `opened`, then hands each datagram to `take` and tells `changed` each
  /// time when the way to the group is another than before, also where it could not be opened;
  /// until cancelled.
  boost::asio::awaitable<void> serve(OpenGroup group, std::function<void(Result<void>)> opened,
                                     std::function<void(std::string_view)> take,
                                     std::function<void()> changed);

 private:
  boost::asio::awaitable<void> receive(std::function<void(std::string_view)> take);
  boost::asio::awaitable<void> watch(const OpenGroup& group, const Result<Way>& way_at_first,
                                     InterfaceWatch& interfaces,
                                     const std::function<void()>& changed);

  const boost::asio::any_io_executor executor_;
  boost::asio::ip::udp::socket socket_;
  boost::asio::ip::udp::endpoint to_;
  std::uint64_t opened_ = 0;  // How often: a receiver of an older socket ends.
};

}  // namespace muster::discovery
