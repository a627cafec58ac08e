// SPDX-License-Identifier: MIT
//
// The gossip datagram: who is here, sealed under the secret.  Pure.
//
//   "mstr" | version 1 | key id: 4 | nonce: 12 | AES-256-GCM( heartbeat ) | tag: 16      at most
//   1,350 bytes heartbeat: boot id:64 | microseconds since 1970:64 | flags:8 | link port:16 | name
//   behind its length:16 |
//              link address and cluster id behind theirs:8; further bytes are ignored (newer
//              versions)
//
// The key id tells a datagram under another secret (foreign: some other cluster, not our business)
// from one that was damaged.  The nonce is the stream of the sender (8 random bytes of one start of
// one strategy) and its counter.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "muster/discovery/node_name.h"
#include "muster/discovery/time.h"
#include "sealed_box.h"

namespace muster::discovery {

constexpr std::size_t max_gossip_datagram = 1350;

struct Heartbeat {
  std::uint64_t stream = 0;   ///< Of the nonce: one start of one strategy.
  std::uint32_t counter = 0;  ///< Of the nonce: grows with each datagram of a stream.
  std::uint64_t boot_id = 0;
  Timestamp sent;
  std::uint16_t link_port = 0;
  NodeName name;
  std::string link_address;
  std::string cluster_id;

  friend bool operator==(const Heartbeat&, const Heartbeat&) = default;
};

enum class BadDatagram {
  malformed,  ///< Damaged, or not ours at all.
  foreign,    ///< Under another secret.
};

class GossipCodec {
 public:
  explicit GossipCodec(std::string_view secret);

  /// Asserts that the texts fit their lengths.
  [[nodiscard]] std::string encode(const Heartbeat& heartbeat);
  [[nodiscard]] std::variant<Heartbeat, BadDatagram> decode(std::string_view datagram);

 private:
  SealedBox box_;
  std::string key_id_;
};

}  // namespace muster::discovery
