// SPDX-License-Identifier: MIT
// Untrusted: operations, rows and parts of a copy from a peer, rows and journal records from a
// disk.  The first byte chooses the decoder; what decodes must encode to something that decodes to
// the same.
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "copy_codec.h"
#include "muster/cache/key.h"
#include "muster/cache/table.h"
#include "operation.h"
#include "table_row.h"
#include "wire_format.h"

using namespace muster::cache;

namespace {

void check_operation(std::string_view bytes) {
  Operation operation;
  if (!decode(bytes, operation)) return;
  std::string first, second;
  encode(operation, first);
  Operation again;
  assert(decode(first, again));
  encode(again, second);
  assert(first == second);
}

void check_row(std::string_view bytes) {
  const auto incarnations = Table::decode_row(bytes);
  if (!incarnations) return;
  const std::string row = encode_row(*incarnations);
  const auto again = Table::decode_row(row);
  assert(again && encode_row(*again) == row);
}

void check_part(std::string_view bytes) {
  BucketPart part, again;
  if (!read_bucket(bytes, part)) return;
  BucketWriter writer;
  std::string message;
  writer.begin(part.number, part.same);
  for (const auto& [key, row] : part.entries) writer.add_entry(key, row);
  for (const auto& each : part.deletes) writer.add_delete(each.key, each.created, each.stamp);
  writer.end(part.last, message);
  wire_format::Reader outer(message);
  assert(outer.next());
  wire_format::Reader inner(outer.bytes());
  assert(inner.next() && read_bucket(inner.bytes(), again));
  assert(again.number == part.number && again.entries == part.entries);
  assert(again.deletes.size() == part.deletes.size() && again.last == part.last);
}

// Two rows, merged in either order, give the same content.
void check_merge(std::string_view bytes) {
  if (bytes.empty()) return;
  const auto cut = static_cast<unsigned char>(bytes[0]) % bytes.size();
  const auto one = bytes.substr(1, cut), other = bytes.substr(std::min(bytes.size(), 1 + cut));
  if (!Table::decode_row(one) || !Table::decode_row(other)) return;
  Table forwards{Table::Options{}}, backwards{Table::Options{}};
  if (!forwards.merge_row("key", one) || !forwards.merge_row("key", other)) return;
  const bool taken = backwards.merge_row("key", other) && backwards.merge_row("key", one);
  assert(taken && forwards.digest() == backwards.digest());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 5) {
    case 0:
      check_operation(bytes);
      break;
    case 1:
      check_row(bytes);
      break;
    case 2:
      check_merge(bytes);
      break;
    case 4:
      check_part(bytes);
      break;
    default:
      (void)Key::decode(bytes);
  }
  return 0;
}
