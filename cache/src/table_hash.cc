// SPDX-License-Identifier: MIT
#include "table_hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <array>
#include <bit>
#include <cstring>

#include "muster/cache/key.h"

namespace muster::cache {

static_assert(std::endian::native == std::endian::little, "digests are of little-endian words");

Hashed hashed(std::string_view key) {
  const std::uint64_t hash = XXH3_64bits(key.data(), key.size());
  static_assert(Table::buckets == 1U << 12);
  return {static_cast<std::uint32_t>(hash >> 52), static_cast<std::uint32_t>(hash >> 36) & 0xFFFFU};
}

Table::Digest digest_of(std::string_view key, const Dot& created, const Stamp& stamp,
                        Expiry expiry) {
  const std::array<std::uint64_t, 6> words{
      created.origin.boot.value, created.origin.number,
      created.sequence,          stamp.time,
      stamp.boot.value,          static_cast<std::uint64_t>(expiry.time_since_epoch().count())};
  std::array<char, sizeof(words) + Key::max_encoded> buffer;
  std::memcpy(buffer.data(), words.data(), sizeof(words));
  std::memcpy(buffer.data() + sizeof(words), key.data(), key.size());
  const XXH128_hash_t hash = XXH3_128bits(buffer.data(), sizeof(words) + key.size());
  return {hash.low64, hash.high64};
}

Table::Digest digest_of(std::string_view key, const Version& version) {
  const Stamp& stamp = version.values.empty() ? version.touch.stamp : version.values.front().stamp;
  return digest_of(key, version.created, stamp, version.expiry());
}

}  // namespace muster::cache
