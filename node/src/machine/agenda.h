// SPDX-License-Identifier: MIT
//
// What is due when, one time per key.  Pure; the order among equals is the order of the keys.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <utility>

#include "muster/discovery/time.h"

namespace muster::node {

template <class Key>
class Agenda {
 public:
  void set(const Key& key, Instant at) {
    erase(key);
    if (at == never) return;
    at_.emplace(key, at);
    due_.emplace(at, key);
  }
  void erase(const Key& key) {
    const auto found = at_.find(key);
    if (found == at_.end()) return;
    due_.erase({found->second, key});
    at_.erase(found);
  }
  [[nodiscard]] Instant next() const { return due_.empty() ? never : due_.begin()->first; }
  /// Takes the first that is due at `now`.
  [[nodiscard]] std::optional<Key> take_due(Instant now) {
    if (due_.empty() || due_.begin()->first > now) return std::nullopt;
    const Key key = due_.begin()->second;
    erase(key);
    return key;
  }
  [[nodiscard]] std::size_t size() const { return at_.size(); }

 private:
  std::set<std::pair<Instant, Key>> due_;
  std::map<Key, Instant> at_;
};

}  // namespace muster::node
