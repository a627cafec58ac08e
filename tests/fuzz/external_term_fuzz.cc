// SPDX-License-Identifier: MIT
// Untrusted: terms in Erlang's format, from anybody who can send a datagram.
#include "external_term.h"

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

using namespace muster::discovery::external_term;

namespace {

bool skips(std::string_view bytes) {
  Reader in(bytes);
  in.skip();
  return !in.failed();
}

void check_atom(const std::string& text) {
  const auto is_ascii = [](char c) { return static_cast<unsigned char>(c) < 0x80; };
  if (!std::ranges::all_of(text, is_ascii)) return;
  const std::string written = map_of_atoms("node", text);
  Reader again(written);
  assert(again.map() == 1u && again.atom() == "node" && again.atom() == text && !again.failed());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  // What is sound stays so, whatever comes behind it.
  if (skips(bytes)) assert(skips(std::string(bytes) + "behind"));
  Reader in(bytes);
  for (auto left = size + 1; left > 0 && !in.failed(); --left) {
    if (const auto text = in.atom())
      check_atom(*text);
    else if (!in.map())
      in.skip();
  }
  assert(in.failed());  // Each turn reads a byte at least.
  return 0;
}
