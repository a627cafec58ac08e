// SPDX-License-Identifier: MIT
// Untrusted: whoever connects to the port mapper, and whoever answers on its port.  The first byte
// chooses the decoder; what decodes must encode to something that decodes to the same, and what may
// be registered must fit the answer about it.
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "muster/discovery/port_mapper_wire.h"

namespace mapper = muster::port_mapper;

namespace {

void check_request(std::string_view bytes) {
  const auto decoded = mapper::decode_request(bytes);
  if (!decoded || !*decoded) return;
  assert((*decoded)->size <= bytes.size());
  const auto again = mapper::decode_request(mapper::encode((*decoded)->request));
  assert(again && *again && (*again)->request == (*decoded)->request);
  const auto* alive = std::get_if<mapper::AliveRequest>(&(*decoded)->request);
  if (!alive || !alive->node.is_registrable()) return;
  const auto told = mapper::decode_port_answer(mapper::encode(mapper::PortAnswer{alive->node}));
  assert(told && *told && (*told)->node == alive->node);
}

void check_alive(std::string_view bytes) {
  const auto answer = mapper::decode_alive_answer(bytes);
  if (!answer || !*answer) return;
  const auto again = mapper::decode_alive_answer(mapper::encode(**answer));
  assert(again && *again && (*again)->ok == (*answer)->ok);
}

void check_port(std::string_view bytes) {
  const auto answer = mapper::decode_port_answer(bytes);
  if (!answer || !*answer) return;
  const auto again = mapper::decode_port_answer(mapper::encode(**answer));
  assert(again && *again && **again == **answer);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 4) {
    case 0:
      check_request(bytes);
      break;
    case 1:
      check_alive(bytes);
      break;
    case 2:
      check_port(bytes);
      break;
    default:
      (void)mapper::decode_names_answer(bytes);
  }
  return 0;
}
