// SPDX-License-Identifier: MIT
//
// Entries in key order: a sorted list of sorted chunks.  A change moves pointers within one chunk;
// a split moves at most the list of chunks, once in some hundred inserts.
//
// Threads: the owner's.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

#include "table_entry.h"

namespace muster::cache {

class OrderedIndex {
 public:
  /// From all entries of a table, in any order.
  explicit OrderedIndex(std::vector<Entry*> entries);

  void insert(Entry& entry);
  void erase(const Entry& entry);
  /// `entry` takes the place of the one with the same key.
  void replace(Entry& entry);
  void clear() { chunks_.clear(); }
  [[nodiscard]] std::size_t bytes() const;

  /// Entries from `from` on while `visit` returns true.
  template <class Visit>
  void scan(std::string_view from, const Visit& visit) const {
    std::size_t chunk = chunk_of(from);
    if (chunk == chunks_.size()) return;
    std::size_t at = position(chunks_[chunk], from);
    for (; chunk < chunks_.size(); ++chunk, at = 0) {
      for (; at < chunks_[chunk].size(); ++at) {
        if (!visit(*chunks_[chunk][at])) return;
      }
    }
  }

 private:
  using Chunk = std::vector<Entry*>;  ///< Never empty.
  static constexpr std::size_t chunk_max = 512;

  /// The chunk in which `key` is or would be: the last one that does not begin after it, else the
  /// first.
  [[nodiscard]] std::size_t chunk_of(std::string_view key) const;
  [[nodiscard]] static std::size_t position(const Chunk& chunk, std::string_view key);

  std::vector<Chunk> chunks_;
};

}  // namespace muster::cache
