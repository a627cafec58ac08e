// SPDX-License-Identifier: MIT
//
// What a strategy finds: who a peer is and, where the strategy knows it, how to reach it.
#pragma once

#include <compare>
#include <cstdint>
#include <set>
#include <string>

#include "muster/discovery/node_name.h"

namespace muster {

struct Peer {
  NodeName name;
  /// Where its links are accepted.  Empty and 0: resolve the host of the name, ask its port mapper
  /// for the port.
  std::string address = {};
  std::uint16_t port = 0;

  friend auto operator<=>(const Peer&, const Peer&) = default;
};

using PeerSet = std::set<Peer>;  // Ordered: iteration must not depend on a hash seed.

}  // namespace muster
