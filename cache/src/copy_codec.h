// SPDX-License-Identifier: MIT
//
// The bulk of a copy, CopyAnswer.Bucket of replication.proto, by hand: keys and rows go from the
// table into one message and from the message into the table, with nothing made for each of them.
// Threads: none, values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "muster/cache/types.h"

namespace muster::cache {

/// Writes one part of one bucket after the other.
class BucketWriter {
 public:
  void begin(std::uint32_t number, bool same);
  void add_entry(std::string_view key, std::string_view row);
  void add_delete(std::string_view key, const Dot& created, const Stamp& stamp);
  [[nodiscard]] std::size_t size() const { return bytes_.size(); }
  /// The part is done; appends it to `message`, which is an encoded wire::Message.
  void end(bool last, std::string& message);

 private:
  std::string bytes_;
  std::string item_;
};

/// A part as it came.  The views point into it.
struct BucketPart {
  struct Deleted {
    std::string_view key = {};
    Dot created = {};
    Stamp stamp = {};
  };
  std::uint32_t number = 0;
  bool same = false, last = false;
  std::vector<std::pair<std::string_view, std::string_view>> entries = {};  // key, row
  std::vector<Deleted> deletes = {};
};

/// Into `part`, whose memory is used again.  False: malformed, keys beyond their limits included.
[[nodiscard]] bool read_bucket(std::string_view bytes, BucketPart& part);

}  // namespace muster::cache
