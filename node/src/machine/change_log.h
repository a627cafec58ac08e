// SPDX-License-Identifier: MIT
//
// Which keys changed since when: each listener keeps the number up to which it was told.  Holds one
// place per key, so it is as large as what it watches.
#pragma once

#include <cstdint>
#include <map>

namespace muster::node {

template <class Key>
class ChangeLog {
 public:
  void touch(const Key& key) {
    const auto [place, fresh] = at_.try_emplace(key, 0);
    if (!fresh) order_.erase(place->second);
    place->second = ++latest_;
    order_.emplace(latest_, key);
  }
  void erase(const Key& key) {
    const auto found = at_.find(key);
    if (found == at_.end()) return;
    order_.erase(found->second);
    at_.erase(found);
    ++latest_;
  }
  [[nodiscard]] std::uint64_t latest() const { return latest_; }
  [[nodiscard]] bool touched(const Key& key, std::uint64_t since) const {
    const auto found = at_.find(key);
    return found != at_.end() && found->second > since;
  }
  /// Visits what changed after `number`, in order.
  template <class Visit>
  void since(std::uint64_t number, Visit visit) const {
    for (auto i = order_.upper_bound(number); i != order_.end(); ++i) visit(i->second);
  }

 private:
  std::uint64_t latest_ = 0;
  std::map<std::uint64_t, Key> order_;
  std::map<Key, std::uint64_t> at_;
};

}  // namespace muster::node
