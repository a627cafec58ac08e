// SPDX-License-Identifier: MIT
// Untrusted: datagrams from anybody (first byte even), and what somebody with the secret and a bug
// seals (odd).
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "gossip_wire.h"

using namespace muster::discovery;

namespace {

void check(GossipCodec& codec, std::string_view datagram) {
  const auto decoded = codec.decode(datagram);
  const auto* heartbeat = std::get_if<Heartbeat>(&decoded);
  if (!heartbeat) return;
  const auto again = codec.decode(codec.encode(*heartbeat));
  assert(std::get<Heartbeat>(again) == *heartbeat);
}

// "mstr", the version and the id of the key: what every datagram under this secret begins with.
std::string header_of(GossipCodec& codec) {
  Heartbeat heartbeat;
  heartbeat.name = *muster::NodeName::parse("a@127.0.0.1");
  return codec.encode(heartbeat).substr(0, 9);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static GossipCodec codec({"secret"});
  static SealedBox box("secret", "gossip 1 key");
  static const std::string header = header_of(codec);
  if (size == 0 || size > 1200) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 2 == 0) {
    check(codec, bytes);
  } else {
    const SealedBox::Nonce nonce{};
    check(codec,
          header + std::string(SealedBox::nonce_size, '\0') + box.seal(nonce, header, bytes));
  }
  return 0;
}
