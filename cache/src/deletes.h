// SPDX-License-Identifier: MIT
//
// Deletes that are remembered: a create dot named here is dead for ever, whether its create has
// come or not (then the delete is parked).  Kept until settled: when every member has it on disk
// nobody can ever send that incarnation again.  One that found nothing, of a key that may stand in
// somebody's journal, names no dot (its sequence is 0).
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <tuple>

#include "muster/cache/table.h"
#include "muster/cache/types.h"

namespace muster::cache {

class Deletes {
 public:
  struct Id {
    std::uint32_t bucket = 0;
    std::string key = {};
    Dot created = {};
  };

  /// True when it was not known; the newest stamp stays.
  bool add(std::string_view key, const Dot& created, const Stamp& stamp);
  bool erase(std::string_view key, const Dot& created);
  [[nodiscard]] bool contains(std::string_view key, const Dot& created) const;
  [[nodiscard]] const Stamp* find(std::string_view key, const Dot& created) const;
  /// Of all incarnations of the key; no stamp where none is known.
  [[nodiscard]] Stamp newest(std::string_view key) const;
  template <class Visit>  // (const Id&, const Stamp&)
  void visit_bucket(std::uint32_t bucket, const Visit& visit) const {
    const Probe from{bucket, {}, {}};
    for (auto i = by_id_.lower_bound(from); i != by_id_.end() && i->first.bucket == bucket; ++i) {
      visit(i->first, i->second);
    }
  }
  template <class Visit>
  void visit_all(const Visit& visit) const {
    for (const auto& [id, stamp] : by_id_) visit(id, stamp);
  }
  /// The oldest one whose stamp is at or before `settled`; it stays, but is told once.
  bool next_settled(const Stamp& settled, Id& id, Stamp& stamp);
  [[nodiscard]] std::size_t size() const { return by_id_.size(); }
  void clear();

 private:
  struct Probe {
    std::uint32_t bucket;
    std::string_view key;
    Dot created;
  };
  struct Less {
    using is_transparent = void;
    template <class A, class B>
    bool operator()(const A& a, const B& b) const {
      return std::tuple(a.bucket, std::string_view(a.key), a.created) <
             std::tuple(b.bucket, std::string_view(b.key), b.created);
    }
  };
  using ById = std::map<Id, Stamp, Less>;
  struct OlderStamp {
    bool operator()(const ById::value_type* a, const ById::value_type* b) const {
      if (a->second != b->second) return a->second < b->second;
      return Less{}(a->first, b->first);
    }
  };
  ById by_id_;
  std::set<const ById::value_type*, OlderStamp> by_stamp_;  // that next_settled() has not told
};

}  // namespace muster::cache
