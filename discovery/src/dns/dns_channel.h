// SPDX-License-Identifier: MIT
//
// Asks one DNS server many questions at once, by c-ares driven by Asio: UDP, then TCP where an
// answer is cut off.  c-ares keeps its own timeouts and never blocks; between its calls no
// descriptor of it is registered anywhere, so it may close them when it likes.
//
// Threads: one strand.  Errors: a question without an answer says why.  Stop: cancel the
// coroutine; the frame owns all.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <string>
#include <vector>

#include "dns/dns_wire.h"

namespace muster::discovery {

/// A question and how it ended, over all servers that were asked.
struct DnsExchange {
  DnsQuestion question = {};
  DnsAnswer answer = {};
  std::string server = {};    ///< The one that answered.
  std::string failures = {};  ///< Of the servers before it, or of all.

  [[nodiscard]] bool answered() const { return answer.kind != DnsAnswer::Kind::failed; }
};

/// What the system is set to: resolv.conf and what overrides it.
struct SystemDns {
  std::vector<DnsServer> servers = {};
  std::vector<std::string> domains = {};  ///< To search in.
  int dots = 1;                           ///< Names with as many are tried as they are first.
};
[[nodiscard]] Result<SystemDns> read_system_dns(const std::string& resolv_conf);

/// Asks `server` all questions of `exchanges` that have no answer yet, 64 at a time, for at most
/// `within`.  Returns whether it was heard at all.
boost::asio::awaitable<bool> ask_server(const DnsServer& server,
                                        std::vector<DnsExchange>& exchanges, Duration within);

}  // namespace muster::discovery
