// SPDX-License-Identifier: MIT
//
// Keys in the order in which they were first added, each once.  Adding costs the same whatever the
// set holds; nothing is sorted on the loop.  Threads: one.
#pragma once

#include <boost/unordered/unordered_flat_set.hpp>
#include <deque>
#include <string>
#include <string_view>
#include <utility>

#include "table_hash.h"

namespace muster::cache {

class KeySet {
 public:
  KeySet() = default;
  KeySet(const KeySet&) = delete;  // The views lead into the keys.
  KeySet& operator=(const KeySet&) = delete;

  void add(std::string_view key) {
    if (!known_.insert(keys_.emplace_back(key)).second) keys_.pop_back();
  }
  [[nodiscard]] bool contains(std::string_view key) const { return known_.contains(key); }
  [[nodiscard]] std::size_t size() const { return keys_.size(); }
  /// Its memory as well.
  void clear() {
    known_ = decltype(known_)();
    keys_ = decltype(keys_)();
  }
  /// All of them; none is left.
  [[nodiscard]] std::deque<std::string> take() {
    known_.clear();
    return std::exchange(keys_, {});
  }

 private:
  std::deque<std::string> keys_;  // Never move.
  struct Hash {
    std::size_t operator()(std::string_view key) const {
      const Hashed hash = hashed(key);
      return std::size_t{hash.bucket} << 16 | hash.tag;
    }
  };
  boost::unordered_flat_set<std::string_view, Hash> known_;
};

}  // namespace muster::cache
