// SPDX-License-Identifier: MIT
//
// How far somebody has come: per origin the last sequence up to which every operation is applied.
// A vector never stands over a hole.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "muster/cache/types.h"
#include "muster/discovery/node_name.h"
#include "planted.h"

namespace muster::cache {

class Vector {
 public:
  using Entry = std::pair<OriginId, std::uint64_t>;

  [[nodiscard]] std::uint64_t at(const OriginId& origin) const;
  [[nodiscard]] bool contains(const OriginId& origin) const;
  [[nodiscard]] bool covers(const Dot& dot) const { return at(dot.origin) >= dot.sequence; }
  [[nodiscard]] bool covers(const Vector& other) const;
  void set(const OriginId& origin, std::uint64_t sequence);
  /// To at least `sequence`; true when it moved.
  bool raise(const OriginId& origin, std::uint64_t sequence);
  bool raise(const Vector& other);
  void erase(const OriginId& origin);
  void clear() { entries_.clear(); }
  /// Both less or equal everywhere: what is covered for sure when two copies are mixed.
  [[nodiscard]] static Vector least(const Vector& a, const Vector& b);

  [[nodiscard]] std::size_t size() const { return entries_.size(); }
  [[nodiscard]] bool empty() const { return entries_.empty(); }
  [[nodiscard]] auto begin() const { return entries_.begin(); }
  [[nodiscard]] auto end() const { return entries_.end(); }
  friend bool operator==(const Vector&, const Vector&) = default;

 private:
  std::vector<Entry> entries_;  // by origin
};

/// What is known of origins, by id.
using Origins = std::map<OriginId, Origin>;

/// Nodes that left or were forgotten, with their admissions then: what has been settled since then
/// was settled without them.
using Dropped = std::map<NodeName, std::uint32_t>;

/// Per root, the newest start of an origin that was forgotten because every member had it in full.
using Pruned = std::map<LineId, Stamp>;
[[nodiscard]] inline bool begun_by(const Pruned& pruned, const Origin& origin) {
  if (planted::has(planted::Bug::pruned_in_any_root)) {
    return std::any_of(pruned.begin(), pruned.end(),
                       [&](const auto& each) { return origin.start <= each.second; });
  }
  const auto found = pruned.find(origin.root);
  return found != pruned.end() && origin.start <= found->second;
}

}  // namespace muster::cache
