// SPDX-License-Identifier: MIT
//
// Asking a port mapper (epmd or ours): one connection per question, each with a deadline.
//
// Errors: what the operating system said, with "port mapper at HOST:PORT" in front; timed_out at
// the deadline. Threads: none of its own; runs on the calling coroutine's executor.  Stop: cancel
// the coroutine.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "muster/discovery/port_mapper_wire.h"
#include "muster/discovery/time.h"

namespace muster::port_mapper {

/// All names registered at `host` (a name or an address), each with its port.
boost::asio::awaitable<Result<NamesAnswer>> names(std::string host, std::uint16_t mapper_port,
                                                  Duration within);

/// What `name` registered; nothing when the port mapper does not know it.
boost::asio::awaitable<Result<std::optional<Registration>>> port_of(std::string host,
                                                                    std::uint16_t mapper_port,
                                                                    std::string name,
                                                                    Duration within);

/// The names of muster's nodes alone, told from Erlang's by the mark in their Extra field; at most
/// 256 are looked at.
boost::asio::awaitable<Result<std::vector<std::string>>> muster_names(std::string host,
                                                                      std::uint16_t mapper_port,
                                                                      Duration within);

}  // namespace muster::port_mapper
