// SPDX-License-Identifier: MIT
//
// Which interface a group lives on, and whether that has changed.  An interface is named by its
// name ("eth0"), by an address of either family, or left to the system (0.0.0.0, ::), which goes by
// its routes.
//
// Threads: find_way() any; a watch one strand.  Errors: a Way that is not there says what is
// missing; a system without netlink cannot be watched, which is no failure.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <string>

#include "muster/discovery/strategy_machine.h"

namespace muster::discovery {

/// How datagrams get to a group.  A group must be opened anew when its way is another one.
struct Way {
  unsigned index = 0;  ///< Of the interface; 0: the system's choice.
  boost::asio::ip::address source = {};
  bool is_running = true;  ///< The cable is in, or there is none.

  friend bool operator==(const Way&, const Way&) = default;
};

[[nodiscard]] Result<Way> find_way(const OpenGroup& group);

/// Tells that something has changed about the links, addresses or routes of this host.
class InterfaceWatch {
 public:
  explicit InterfaceWatch(const boost::asio::any_io_executor& executor);

  /// Waits for the next change.  False: cancelled, or this cannot be watched.
  boost::asio::awaitable<bool> changed();

 private:
  boost::asio::posix::stream_descriptor netlink_;
};

}  // namespace muster::discovery
