// SPDX-License-Identifier: MIT
//
// Between the node's messages and its values.  Decoding checks everything: what comes back is well
// formed, or nothing comes back.  Pure.
#pragma once

#include <optional>
#include <string_view>

#include "machine/link_states.h"
#include "machine/membership_book.h"
#include "muster/node/fabric.h"
#include "node_wire.pb.h"

namespace muster::node {

inline constexpr ServiceId control_service = 1;
/// 2: hello and welcome carry no lists, probes two digests.
inline constexpr std::uint32_t protocol_version = 2;

[[nodiscard]] Bytes encode(const wire::Control& message);
[[nodiscard]] std::optional<wire::Control> decode(std::string_view payload);

void encode(const KnownNode& node, wire::Known& out);
[[nodiscard]] std::optional<KnownNode> decode(const wire::Known& in);
void encode(const LinkStateRecord& record, wire::LinkState& out);
[[nodiscard]] std::optional<LinkStateRecord> decode(const wire::LinkState& in);

/// A hello whose fields are all well formed.
struct Greeting {
  std::uint32_t version_min = 0;
  std::uint32_t version_max = 0;
  std::string cluster;
  Member member;
  bool met = false;
  bool newcomer = false;
  std::uint32_t highest_ordinal = 0;
  Peer advertised;
  std::uint64_t membership = 0;  ///< Digest of the speaker's book.
};
[[nodiscard]] std::optional<Greeting> decode(const wire::Hello& in);

[[nodiscard]] std::int64_t to_wire(Timestamp time);
[[nodiscard]] Timestamp from_wire(std::int64_t microseconds);

/// Printable, short: text from elsewhere that goes into a log.
[[nodiscard]] std::string presentable(std::string_view text);

}  // namespace muster::node
