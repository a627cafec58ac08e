// SPDX-License-Identifier: MIT
// Untrusted: a file that another program or a person writes.
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "hosts_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto file =
      muster::discovery::parse_hosts_file({reinterpret_cast<const char*>(data), size});
  assert(file.hosts.size() <= 1000 && file.problems.size() <= 20);
  for (const auto& host : file.hosts) assert(!host.empty() && host.size() <= size);
  return 0;
}
