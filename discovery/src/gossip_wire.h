// SPDX-License-Identifier: MIT
//
// The gossip datagram: who is here, sealed under the secret.  Pure.
//
//   "mstr" | version 1 | key id: 4 | nonce: 12 | AES-256-GCM( heartbeat ) | tag: 16
//   heartbeat: boot id:64 | microseconds since 1970:64 | flags:8 | link port:16 |
//              name behind its length:16 | link address and cluster id behind theirs:8;
//              further bytes are ignored (newer versions).  At most 1,350 bytes in all.
//
// The key id tells a datagram under another secret (foreign: some other cluster, not our business)
// from one that was damaged.  The nonce is the stream of the sender (8 random bytes of one start of
// one strategy) and its counter.  While a secret is replaced there are two: the first sends, all
// receive.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

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
  bool under_old_secret = false;  ///< Received under any but the first.

  friend bool operator==(const Heartbeat&, const Heartbeat&) = default;
};

enum class BadDatagram {
  malformed,     ///< Damaged, or not gossip at all.
  foreign,       ///< Under another secret.
  other_format,  ///< Sound as far as can be seen, of the format that we do not speak here.
};

/// Whether it begins as our own datagrams do.
[[nodiscard]] bool is_muster_gossip(std::string_view datagram);

class GossipCodec {
 public:
  /// At least one secret.
  explicit GossipCodec(const std::vector<std::string>& secrets);

  /// Asserts that the texts fit their lengths.
  [[nodiscard]] std::string encode(const Heartbeat& heartbeat);
  [[nodiscard]] std::variant<Heartbeat, BadDatagram> decode(std::string_view datagram);

 private:
  struct Key {
    SealedBox box;
    std::string id;
  };
  std::vector<Key> keys_;
};

}  // namespace muster::discovery
