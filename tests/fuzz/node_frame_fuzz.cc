// SPDX-License-Identifier: MIT
// Untrusted: what comes over a link.  However the bytes are cut, the same frames come out; what
// decodes of them is well formed.
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "machine/node_wire_codec.h"
#include "transport/frames.h"

using namespace muster::node;

namespace {

struct Read {
  std::vector<std::string> frames;
  bool broken = false;
  friend bool operator==(const Read&, const Read&) = default;
};

Read read_in_pieces(std::string_view bytes, std::size_t piece) {
  FrameReader reader;
  Read read;
  while (!bytes.empty() && !read.broken) {
    const auto part = bytes.substr(0, piece);
    bytes.remove_prefix(part.size());
    reader.push(part);
    while (const auto frame = reader.next()) {
      assert(frame->size() <= frame_max);
      read.frames.emplace_back(*frame);
    }
    read.broken = !reader.broken().empty();
  }
  return read;
}

void decode_everything(std::string_view payload) {
  if (const auto control = decode(payload)) {
    if (control->has_hello()) (void)decode(control->hello());
  }
  wire::Hello hello;
  if (hello.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) (void)decode(hello);
  wire::Known known;
  if (known.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) (void)decode(known);
  wire::LinkState state;
  if (state.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) (void)decode(state);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto whole = read_in_pieces(bytes, bytes.size() + 1);
  assert(read_in_pieces(bytes, 1 + data[0] % 16u) == whole);
  for (const auto& frame : whole.frames) decode_everything(frame);
  decode_everything(bytes);
  return 0;
}
