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
#include <map>
#include <optional>
#include <string>
#include <vector>

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

/// What is known of the names at one port mapper.  Who asks again and again keeps it: a name that
/// is listed with the port it had is not asked for its mark again.
struct KnownName {
  std::uint16_t port = 0;
  bool is_ours = false;
};
using KnownNames = std::map<std::string, KnownName>;

/// The names of muster's nodes alone, told from Erlang's by the mark in their Extra field; at most
/// 256 that are not known yet are looked at.  `known` must outlive the coroutine.
boost::asio::awaitable<Result<std::vector<std::string>>> muster_names(std::string host,
                                                                      std::uint16_t mapper_port,
                                                                      Duration within,
                                                                      KnownNames& known);

}  // namespace muster::port_mapper
