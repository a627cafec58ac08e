// SPDX-License-Identifier: MIT
// Untrusted: what Rancher's metadata service and etcd answer, and what other nodes, or anybody who
// may write there, left under etcd's keys.
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "etcd/etcd_json.h"
#include "rancher_json.h"

using namespace muster::discovery;

namespace {

void check_base64(std::string_view text) {
  assert(etcd::decode_base64(etcd::encode_base64(text)) == text);
  if (const auto bytes = etcd::decode_base64(text)) assert(bytes->size() <= text.size() / 4 * 3);
}

void check_registration(std::string_view text) {
  const auto registration = etcd::read_registration(text);
  if (!registration) return;
  const auto again = etcd::read_registration(etcd::write_registration(*registration));
  assert(again && *again == *registration);
}

void check_entries(const std::vector<etcd::KeyValue>& entries) {
  for (const etcd::KeyValue& entry : entries) {
    assert(!entry.key.empty());
    check_registration(entry.value);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0 || size > 4096) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 6) {
    case 0:
      if (const auto read = read_rancher_service(bytes))
        for (const std::string& address : read->addresses) assert(!address.empty());
      break;
    case 1:
      if (const auto range = etcd::read_range(bytes)) check_entries(range->all);
      break;
    case 2:
      if (const auto line = etcd::read_watch_line(bytes)) check_entries(line->changes);
      break;
    case 3:
      check_registration(bytes);
      break;
    case 4:
      if (const auto lease = etcd::read_lease(bytes)) assert(lease->id != 0);
      if (const auto token = etcd::read_token(bytes)) assert(!token->empty());
      (void)etcd::read_revision(bytes).has_value();
      assert(etcd::read_refusal(bytes).message.size() <= 200);
      break;
    default:
      check_base64(bytes);
  }
  return 0;
}
