// SPDX-License-Identifier: MIT
// Untrusted: what a disk gives back as journal records.  Row and record are parted by the first
// byte's length.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "muster/unsplit/journal.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::size_t cut = std::min<std::size_t>(data[0], bytes.size());
  (void)muster::unsplit::decode(bytes.substr(0, cut), bytes.substr(cut));
  return 0;
}
