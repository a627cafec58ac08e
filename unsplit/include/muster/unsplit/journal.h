// SPDX-License-Identifier: MIT
//
// The journal: one record per value that a heal set aside, on each node that dropped it.  It lies
// in the table's own store, in the same commit as the loss; a record dies with its entry's expiry
// and with a later delete of its key, for a session id is a credential and must not outlive its
// session in a journal.
//
// Here: the form of a record.  Its row key is the entry's encoded key, 0x00 0x00, stamp time and
// boot (big-endian), so that all records of a key stand together.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "muster/cache/healer.h"
#include "muster/discovery/result.h"

namespace muster::unsplit {

struct JournalEntry {
  std::string row;  ///< The record's own key in the journal; what replay and erase take.
  std::string key;  ///< Encoded.
  std::string value;
  cache::Stamp stamp;
  cache::Dot created;
  cache::Stamp before;  ///< Of the value that the key held again without it; no stamp: none.
  cache::LineId line = 0;
  cache::Expiry expiry = cache::never_expires;
  std::string writer;  ///< The node that put it, or its boot where that life is over.
  Timestamp set_aside{};
  std::string why;
  bool to_merge = false;  ///< The table's merge function has not seen it yet.

  [[nodiscard]] Timestamp written() const {
    return Timestamp(std::chrono::microseconds(static_cast<std::int64_t>(stamp.time)));
  }
};

/// `entry.row` is made, whatever it held.
[[nodiscard]] cache::Healer::Record encode(const JournalEntry& entry);
[[nodiscard]] Result<JournalEntry> decode(std::string_view row, std::string_view record);
/// What the rows of `key`'s records begin with.
[[nodiscard]] std::string row_prefix(std::string_view key);

}  // namespace muster::unsplit
