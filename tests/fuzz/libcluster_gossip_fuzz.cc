// SPDX-License-Identifier: MIT
// Untrusted: datagrams from anybody to a plain and to a sealed listener, and what somebody with the
// secret and a bug seals.
#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "libcluster_wire.h"

using namespace muster::discovery;

namespace {

void check(LibclusterCodec& codec, std::string_view datagram) {
  const auto decoded = codec.decode(datagram);
  const auto* heartbeat = std::get_if<LibclusterHeartbeat>(&decoded);
  if (!heartbeat) return;
  const auto is_ascii = [](char c) { return static_cast<unsigned char>(c) < 0x80; };
  if (!std::ranges::all_of(heartbeat->node, is_ascii)) return;  // None of our names.
  const auto again = codec.decode(codec.encode(heartbeat->node));
  assert(std::get<LibclusterHeartbeat>(again).node == heartbeat->node);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static LibclusterCodec plain({}, "fuzz");
  static LibclusterCodec sealed({"new", "old"}, "fuzz");
  static ChainedBox old("old");
  if (size == 0 || size > 1300) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 3) {
    case 0:
      check(plain, bytes);
      break;
    case 1:
      check(sealed, bytes);
      break;
    default: {
      const std::string iv(ChainedBox::block_size, '\1');
      check(sealed, iv + old.seal(iv, bytes));
    }
  }
  return 0;
}
