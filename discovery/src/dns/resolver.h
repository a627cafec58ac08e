// SPDX-License-Identifier: MIT
//
// Answers one LookUp, by DNS alone: no hosts file, no cache.
//
// Servers are asked in their order, always from the first: those after it may know less (a public
// one behind one's own).  A server that fails (silence, SERVFAIL, REFUSED, a malformed answer)
// hands the question to the next; "no" from a later one, while an earlier one failed, proves
// nothing and is `failed`, unless it has records of the other kind.
//
// A and AAAA are asked together.  One that fails makes the whole `failed`, as half of a list would
// drop the other half; one that has no records leaves the other's.  Addresses of SRV targets may be
// missing: their names are known all the same.
//
// The search list is tried in order until a name has records; one that fails ends it there, since
// what comes after could be somebody else's.
//
// Threads: one strand.  Errors: are answers.  Stop: cancel the coroutine.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <string>

#include "muster/discovery/strategy_machine.h"

namespace muster::discovery {

/// Answers within `question.within`, whatever happens.
boost::asio::awaitable<LookedUp> look_up(LookUp question,
                                         std::string resolv_conf = "/etc/resolv.conf");

}  // namespace muster::discovery
