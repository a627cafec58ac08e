// SPDX-License-Identifier: MIT
//
// The addresses of a host by the system's resolver (hosts file included), on a thread of Asio's.
//
// Stop: cancelled at once; the system cannot be interrupted in a lookup, so one that hangs is left
// behind and keeps nothing but itself alive.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <string>
#include <vector>

#include "muster/discovery/result.h"

namespace muster::discovery {

using Endpoints = std::vector<boost::asio::ip::tcp::endpoint>;

/// An address is not looked up.
boost::asio::awaitable<Result<Endpoints>> look_up_host(std::string host, std::uint16_t port);

}  // namespace muster::discovery
