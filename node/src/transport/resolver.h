// SPDX-License-Identifier: MIT
//
// Addresses of a host, as the system's resolver has them.  A lookup that hangs in there is left
// behind when nobody waits any more: it holds nothing of ours, so it delays neither a deadline nor
// stop().
//
// Threads: the strand only.
#pragma once

#include <string>
#include <vector>

#include "asio_types.h"
#include "muster/discovery/result.h"

namespace muster::node {

using Addresses = std::vector<asio::ip::address>;

class HostResolver {
 public:
  explicit HostResolver(const Strand& strand);
  HostResolver(const HostResolver&) = delete;
  HostResolver& operator=(const HostResolver&) = delete;

  /// Literals need no lookup.  At most 8 addresses, in the system's order.  One at a time.
  asio::awaitable<Result<Addresses>> resolve(std::string host);
  /// resolve() ends, now and from now on.
  void cancel();

 private:
  Strand strand_;
  Timer resolved_;
  bool cancelled_ = false;
};

}  // namespace muster::node
