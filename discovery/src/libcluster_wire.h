// SPDX-License-Identifier: MIT
//
// The heartbeat of libcluster's gossip.  Pure.
//
//   "heartbeat::" | external term of #{node => Name}                           without a secret
//   IV: 16 | AES-256-CBC under SHA-256(secret) of the same, padded by PKCS#7   with one
//
// There is no authentication, no time and no counter in it: whoever has recorded one can send it
// again.  Further keys of the map are ignored, whatever their type.  With a secret, plain
// heartbeats are foreign; so is what does not open: nothing tells another secret from damage.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "gossip_wire.h"
#include "sealed_box.h"

namespace muster::discovery {

struct LibclusterHeartbeat {
  std::string node = {};          ///< As Erlang has it; perhaps none of our names.
  bool under_old_secret = false;  ///< Any but the first.

  friend bool operator==(const LibclusterHeartbeat&, const LibclusterHeartbeat&) = default;
};

class LibclusterCodec {
 public:
  /// The first secret sends, all receive; none: plain.  `origin` must differ for each start of a
  /// sender: initialisation vectors are made of it, a counter and the secret.
  LibclusterCodec(const std::vector<std::string>& secrets, std::string origin);

  /// `node`: ASCII, at most 255 characters.
  [[nodiscard]] std::string encode(std::string_view node);
  [[nodiscard]] std::variant<LibclusterHeartbeat, BadDatagram> decode(std::string_view datagram);

 private:
  std::vector<ChainedBox> boxes_;
  const std::string origin_;
  std::string first_secret_;
  std::uint64_t sent_ = 0;
};

}  // namespace muster::discovery
