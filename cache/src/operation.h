// SPDX-License-Identifier: MIT
//
// One replicated operation, as its origin made it.  It is encoded once; the same bytes go to every
// peer, into the operation log and out again at catch-up, so an operation never differs from one
// copy to another.
//
// An operation on a line carries puts; touches and removals travel in operations of a lineless
// origin.  Its stamp is (time, boot of its origin).
#pragma once

#include <boost/container/small_vector.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "muster/cache/types.h"
#include "muster/discovery/result.h"
#include "planted.h"

namespace muster::cache {

struct PutItem {
  std::string_view key = {};
  std::optional<Dot> created = {};  ///< None: created by this very operation.
  std::string_view value = {};
  Expiry expiry = never_expires;
};
struct TouchItem {
  std::string_view key = {};
  Dot created = {};
  Expiry expiry = never_expires;
};
struct RemoveItem {
  std::string_view key = {};
  std::vector<Dot> dots = {};
  std::uint64_t made = 0;  ///< Issued again: when it was made, in microseconds; 0: now.
};

/// The views point into the encoded bytes, or into whatever the issuer holds.
struct Operation {
  Dot dot = {};
  Stamp stamp = {};
  std::optional<Origin> origin = {};  ///< With the first operation of its origin.
  boost::container::small_vector<PutItem, 1> puts = {};  ///< Nearly always one.
  std::vector<TouchItem> touches = {};
  std::vector<RemoveItem> removes = {};

  [[nodiscard]] bool lineless() const {
    const bool on_the_line = planted::has(planted::Bug::deletes_lost_with_line) && !removes.empty();
    return puts.empty() && !on_the_line;
  }
};

/// Appends to `out`.
void encode(const Operation& operation, std::string& out);

/// The first key that a put in it names, for who looks ahead; empty: none.
std::string_view first_key(std::string_view bytes);

/// Into `operation`, whose capacity is reused.  Refuses what no origin would have made: no dot, no
/// items, keys or values beyond their limits, puts mixed with removals.
Result<void> decode(std::string_view bytes, Operation& operation);

}  // namespace muster::cache
