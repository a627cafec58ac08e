// SPDX-License-Identifier: MIT
#include "gossip_wire.h"

#include <algorithm>
#include <cassert>

#include "bytes.h"

namespace muster::discovery {
namespace {

constexpr std::string_view magic = "mstr";
constexpr std::uint8_t version = 1;
constexpr std::size_t key_id_size = 4;
constexpr std::size_t header_size = magic.size() + 1 + key_id_size;

SealedBox::Nonce nonce_of(std::string_view bytes) {
  SealedBox::Nonce nonce{};
  std::ranges::transform(bytes, nonce.begin(), [](char c) { return static_cast<std::uint8_t>(c); });
  return nonce;
}

bool is_address_or_empty(std::string_view address) {
  return address.size() <= 45 && std::ranges::all_of(address, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') ||
                  c == '.' || c == ':';
         });
}

}  // namespace

bool is_muster_gossip(std::string_view datagram) { return datagram.starts_with(magic); }

GossipCodec::GossipCodec(const std::vector<std::string>& secrets) {
  assert(!secrets.empty());
  for (const std::string& secret : secrets)
    keys_.push_back({.box = SealedBox(secret, "gossip 1 key"),
                     .id = derive_bytes(secret, "gossip 1 key id", key_id_size)});
}

std::string GossipCodec::encode(const Heartbeat& heartbeat) {
  assert(heartbeat.link_address.size() <= 255 && heartbeat.cluster_id.size() <= 255);
  ByteWriter nonce;
  nonce.number(heartbeat.stream);
  nonce.number(heartbeat.counter);
  const std::string nonce_bytes = nonce.take();

  ByteWriter text;
  text.number(heartbeat.boot_id);
  text.number(static_cast<std::uint64_t>(heartbeat.sent.time_since_epoch().count()));
  text.number(std::uint8_t{0});
  text.number(heartbeat.link_port);
  text.counted<std::uint16_t>(heartbeat.name.text());
  text.counted<std::uint8_t>(heartbeat.link_address);
  text.counted<std::uint8_t>(heartbeat.cluster_id);

  ByteWriter out;
  out.text(magic);
  out.number(version);
  out.text(keys_.front().id);
  const std::string header = out.take();
  std::string datagram =
      header + nonce_bytes + keys_.front().box.seal(nonce_of(nonce_bytes), header, text.take());
  assert(datagram.size() <= max_gossip_datagram);
  return datagram;
}

std::variant<Heartbeat, BadDatagram> GossipCodec::decode(std::string_view datagram) {
  if (datagram.size() > max_gossip_datagram ||
      datagram.size() < header_size + SealedBox::nonce_size + SealedBox::tag_size ||
      !is_muster_gossip(datagram) || datagram[magic.size()] != static_cast<char>(version))
    return datagram.starts_with("heartbeat::") ? BadDatagram::other_format : BadDatagram::malformed;
  const auto header = datagram.substr(0, header_size);
  const auto key =
      std::ranges::find_if(keys_, [&](const Key& each) { return header.ends_with(each.id); });
  if (key == keys_.end()) return BadDatagram::foreign;
  const auto nonce_bytes = datagram.substr(header_size, SealedBox::nonce_size);
  const auto text = key->box.open(nonce_of(nonce_bytes), header,
                                  datagram.substr(header_size + SealedBox::nonce_size));
  if (!text) return BadDatagram::malformed;

  Heartbeat heartbeat;
  heartbeat.under_old_secret = key != keys_.begin();
  ByteReader nonce(nonce_bytes);
  heartbeat.stream = nonce.number<std::uint64_t>();
  heartbeat.counter = nonce.number<std::uint32_t>();
  ByteReader in(*text);
  heartbeat.boot_id = in.number<std::uint64_t>();
  heartbeat.sent =
      Timestamp(Timestamp::duration(static_cast<std::int64_t>(in.number<std::uint64_t>())));
  in.number<std::uint8_t>();  // Flags: none yet.
  heartbeat.link_port = in.number<std::uint16_t>();
  auto name = NodeName::parse(in.counted<std::uint16_t>());
  heartbeat.link_address = in.counted<std::uint8_t>();
  heartbeat.cluster_id = in.counted<std::uint8_t>();
  // Whoever knows the secret may still be a program with a bug.
  if (in.failed() || !name || !is_address_or_empty(heartbeat.link_address))
    return BadDatagram::malformed;
  heartbeat.name = std::move(*name);
  return heartbeat;
}

}  // namespace muster::discovery
