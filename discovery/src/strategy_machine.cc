// SPDX-License-Identifier: MIT
#include "muster/discovery/strategy_machine.h"

namespace muster::discovery {

Pass Pass::list(PeerSet peers) {
  const Kind kind = peers.empty() ? Kind::known_empty : Kind::list;
  return {.kind = kind, .peers = std::move(peers)};
}

Pass Pass::unknown(std::string reason) { return {.reason = std::move(reason)}; }

}  // namespace muster::discovery
