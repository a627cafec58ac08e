// SPDX-License-Identifier: MIT
//
// Where a key belongs, and what an incarnation adds to the digests.  Both go over the wire as
// bucket numbers and sums, so they may never change within one wire version.
#pragma once

#include <cstdint>
#include <string_view>

#include "muster/cache/table.h"
#include "table_version.h"

namespace muster::cache {

struct Hashed {
  std::uint32_t bucket = 0;
  std::uint32_t tag = 0;  ///< 16 further bits.
};

[[nodiscard]] Hashed hashed(std::string_view key);
[[nodiscard]] Table::Digest digest_of(std::string_view key, const Dot& created, const Stamp& stamp,
                                      Expiry expiry);
[[nodiscard]] Table::Digest digest_of(std::string_view key, const Version& version);

}  // namespace muster::cache
