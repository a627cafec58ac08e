// SPDX-License-Identifier: MIT
//
// A journal record as a put again, with what is left of its time.
#pragma once

#include <string>
#include <utility>

#include "muster/cache/cache_machine.h"
#include "muster/discovery/time.h"
#include "muster/unsplit/journal.h"

namespace muster::unsplit {

/// `entry`'s key must be well formed, as of every record that the cache wrote.
[[nodiscard]] inline cache::Put put_of(const JournalEntry& entry, std::string value,
                                       cache::Expiry expiry) {
  cache::Put put;
  put.key = cache::Key::decode(entry.key).value();
  put.value = std::move(value);
  if (expiry == cache::never_expires)
    put.ttl = forever;
  else
    put.expires_at = expiry;
  return put;
}

}  // namespace muster::unsplit
