// SPDX-License-Identifier: MIT
#include "machine/node_wire_codec.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace muster::node {
namespace {

constexpr std::size_t max_text = 512;
constexpr int max_features = 64;
// Counters beyond it are garbage; it leaves room for "largest known + 1".
constexpr std::uint32_t max_counter = 0x7fffffff;
// Year 2200: clocks beyond it are garbage and would overflow arithmetic further on.
constexpr std::int64_t max_microseconds = 7'258'118'400'000'000;

std::optional<Peer> decode_peer(const NodeName& name, const std::string& address,
                                std::uint32_t port) {
  if (address.size() > max_text || port > std::numeric_limits<std::uint16_t>::max())
    return std::nullopt;
  return Peer{.name = name, .address = address, .port = static_cast<std::uint16_t>(port)};
}

}  // namespace

Bytes encode(const wire::Control& message) {
  std::string frame;
  frame.reserve(1 + message.ByteSizeLong());
  frame.push_back(static_cast<char>(control_service));
  message.AppendToString(&frame);
  return std::make_shared<const std::string>(std::move(frame));
}

std::optional<wire::Control> decode(std::string_view payload) {
  wire::Control message;
  if (payload.size() > std::size_t{std::numeric_limits<int>::max()}) return std::nullopt;
  if (!message.ParseFromArray(payload.data(), static_cast<int>(payload.size())))
    return std::nullopt;
  return message;
}

void encode(const KnownNode& node, wire::Known& out) {
  out.set_name(node.name.text());
  out.set_admissions(node.status.admissions);
  out.set_ordinal(node.status.newest.ordinal);
  out.set_boot(node.status.newest.boot.value);
  if (!node.reached.address.empty()) {
    out.set_address(node.reached.address);
    out.set_port(node.reached.port);
  }
  out.set_forgotten(node.forgotten);
}

std::optional<KnownNode> decode(const wire::Known& in) {
  const auto name = NodeName::parse(in.name());
  if (!name || in.ordinal() > max_counter || in.admissions() > max_counter) return std::nullopt;
  const auto peer = decode_peer(*name, in.address(), in.port());
  if (!peer) return std::nullopt;
  return KnownNode{.name = *name,
                   .status = {.admissions = in.admissions(),
                              .newest = {.ordinal = in.ordinal(), .boot = {in.boot()}}},
                   .reached = *peer,
                   .forgotten = in.forgotten()};
}

void encode(const LinkStateRecord& record, wire::LinkState& out) {
  out.set_name(record.member.name.text());
  out.set_boot(record.member.boot.value);
  out.set_ordinal(record.member.ordinal);
  out.set_version(record.version);
  out.mutable_peers()->Reserve(static_cast<int>(record.peers.size()));
  for (const BootId peer : record.peers) out.add_peers(peer.value);
}

std::optional<LinkStateRecord> decode(const wire::LinkState& in) {
  const auto name = NodeName::parse(in.name());
  if (!name || in.boot() == 0 || in.version() == 0 || in.ordinal() > max_counter)
    return std::nullopt;
  if (std::cmp_greater(in.peers_size(), LinkStates::max_records)) return std::nullopt;
  LinkStateRecord record{.member = {.name = *name, .boot = {in.boot()}, .ordinal = in.ordinal()},
                         .version = in.version(),
                         .peers = {}};
  record.peers.reserve(static_cast<std::size_t>(in.peers_size()));
  for (const std::uint64_t peer : in.peers()) record.peers.push_back({peer});
  return record;
}

std::optional<Greeting> decode(const wire::Hello& in) {
  const auto name = NodeName::parse(in.name());
  if (!name || in.boot() == 0 || in.version_min() > in.version_max()) return std::nullopt;
  if (std::max(in.ordinal(), in.highest_ordinal()) > max_counter) return std::nullopt;
  if (in.cluster().size() > max_text || in.features_size() > max_features) return std::nullopt;
  const auto peer = decode_peer(*name, in.address(), in.port());
  if (!peer) return std::nullopt;
  return Greeting{.version_min = in.version_min(),
                  .version_max = in.version_max(),
                  .cluster = in.cluster(),
                  .member = {.name = *name, .boot = {in.boot()}, .ordinal = in.ordinal()},
                  .met = in.met(),
                  .newcomer = in.newcomer(),
                  .highest_ordinal = in.highest_ordinal(),
                  .advertised = *peer,
                  .membership = in.membership()};
}

std::int64_t to_wire(Timestamp time) { return time.time_since_epoch().count(); }

Timestamp from_wire(std::int64_t microseconds) {
  return Timestamp(
      std::chrono::microseconds(std::clamp<std::int64_t>(microseconds, 0, max_microseconds)));
}

std::string presentable(std::string_view text) {
  std::string shown(text.substr(0, max_text));
  std::ranges::replace_if(
      shown, [](char c) { return c < ' ' || c > '~'; }, '?');
  return shown;
}

}  // namespace muster::node
