// SPDX-License-Identifier: MIT
#include "libcluster_wire.h"

#include <cassert>
#include <optional>

#include "external_term.h"

namespace muster::discovery {
namespace {

constexpr std::string_view magic = "heartbeat::";

using Decoded = std::variant<LibclusterHeartbeat, BadDatagram>;

Decoded read_plain(std::string_view text) {
  external_term::Reader in(text.substr(magic.size()));
  std::optional<std::string> node;
  const auto pairs = in.map();
  if (!pairs) return BadDatagram::malformed;
  for (std::uint32_t i = 0; i < *pairs && !in.failed(); ++i) {
    const auto key = in.atom();
    if (!key) in.skip();
    if (key != "node") {
      in.skip();
      continue;
    }
    if (node) return BadDatagram::malformed;  // A map has a key once.
    node = in.atom();
    if (!node) return BadDatagram::malformed;
  }
  if (in.failed() || !node) return BadDatagram::malformed;
  return LibclusterHeartbeat{.node = std::move(*node)};
}

}  // namespace

LibclusterCodec::LibclusterCodec(const std::vector<std::string>& secrets, std::string origin)
    : origin_(std::move(origin)), first_secret_(secrets.empty() ? "" : secrets.front()) {
  boxes_.reserve(secrets.size());
  for (const std::string& secret : secrets) boxes_.emplace_back(secret);
}

std::string LibclusterCodec::encode(std::string_view node) {
  const std::string plain = std::string(magic) + external_term::map_of_atoms("node", node);
  if (boxes_.empty()) return plain;
  // CBC wants vectors that nobody without the secret can foresee, and each once: that is what a
  // derivation from the secret, a counter and the origin gives, without a source of chance here.
  const std::string iv =
      derive_bytes(first_secret_, "gossip libcluster iv " + std::to_string(++sent_) + " " + origin_,
                   ChainedBox::block_size);
  std::string datagram = iv + boxes_.front().seal(iv, plain);
  assert(datagram.size() <= max_gossip_datagram);
  return datagram;
}

Decoded LibclusterCodec::decode(std::string_view datagram) {
  if (datagram.size() > max_gossip_datagram) return BadDatagram::malformed;
  if (is_muster_gossip(datagram)) return BadDatagram::other_format;
  if (boxes_.empty())
    return datagram.starts_with(magic) ? read_plain(datagram) : Decoded(BadDatagram::malformed);
  if (datagram.starts_with(magic)) return BadDatagram::foreign;
  constexpr std::size_t block = ChainedBox::block_size;
  if (datagram.size() < 2 * block || datagram.size() % block != 0) return BadDatagram::malformed;
  for (ChainedBox& box : boxes_) {
    const auto plain = box.open(datagram.substr(0, block), datagram.substr(block));
    if (!plain || !plain->starts_with(magic)) continue;
    Decoded decoded = read_plain(*plain);
    if (auto* heartbeat = std::get_if<LibclusterHeartbeat>(&decoded))
      heartbeat->under_old_secret = &box != &boxes_.front();
    return decoded;
  }
  return BadDatagram::foreign;
}

}  // namespace muster::discovery
