// SPDX-License-Identifier: MIT
//
// Who is linked to whom, as every node says of itself, and what follows: the island.
//
// A link counts when both ends report it.  Of our own links we are the judge: one that we hold has
// had its hello both ways, one that we lost is lost whatever the other end's last word was.
// Invariant: self is in island(), which is sorted by seniority and names each node once.  Pure.
//
// The island is searched anew only where a link is lost that may have held it together; what joins
// it is added, and in a full mesh all else changes nothing.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "machine/change_log.h"
#include "muster/discovery/time.h"
#include "muster/node/identity.h"

namespace muster::node {

struct LinkStateRecord {
  Member member;
  std::uint64_t version = 0;
  std::vector<BootId> peers;  ///< Sorted, without duplicates.

  [[nodiscard]] bool lists(BootId boot) const;
};

class LinkStates {
 public:
  static constexpr std::size_t max_records = 4096;
  static constexpr Duration keep_unreachable = std::chrono::seconds(60);

  explicit LinkStates(Member self);

  /// Our ordinal was given.
  void set_ordinal(std::uint32_t ordinal);
  /// Our link to `peer` is up, or down.
  void link_up(Now now, const Member& peer);
  void link_down(BootId peer);
  /// True when it was news.
  bool merge(Now now, LinkStateRecord record, BootId source);
  /// Drops what has been out of reach for long.
  void prune(Now now);

  /// Brings island() up to date; true when it changed.
  bool settle();
  [[nodiscard]] const std::vector<Member>& island() const { return island_; }
  [[nodiscard]] bool contains(BootId boot) const;
  [[nodiscard]] bool linked(BootId a, BootId b) const;

  [[nodiscard]] const LinkStateRecord& own() const { return entries_.at(self_).record; }
  [[nodiscard]] const LinkStateRecord* find(BootId boot) const;
  template <class Visit>
  void for_each(Visit visit) const {
    for (const auto& [boot, entry] : entries_) visit(entry.record);
  }
  [[nodiscard]] const ChangeLog<BootId>& changes() const { return changes_; }
  /// Equal where the island and its records are; kept up to date at a constant cost.
  [[nodiscard]] std::uint64_t digest() const { return digest_; }
  /// Who told us the latest of `boot`.
  [[nodiscard]] BootId source(BootId boot) const;
  void check_invariants() const;

 private:
  struct Entry {
    LinkStateRecord record;
    BootId source;
    Instant reached{};  ///< Last time it was in the island, or heard of.
  };
  [[nodiscard]] bool reached(BootId boot) const;
  void own_changed();
  [[nodiscard]] std::uint64_t part_of_digest(BootId boot) const;
  [[nodiscard]] std::uint64_t digest_of_reached() const;
  /// Everybody who is linked to `open`, by whatever way, and not in `seen` yet.
  void search(std::vector<BootId> open, std::vector<BootId>& seen) const;
  [[nodiscard]] std::vector<const Member*> members_of(const std::vector<BootId>& boots) const;
  [[nodiscard]] bool held(const LinkStateRecord& record, BootId than) const;
  void note_changes(const LinkStateRecord& before, const LinkStateRecord& after);
  bool search_anew();
  bool add_newly_linked();

  BootId self_;
  std::map<BootId, Entry> entries_;
  std::vector<BootId> reached_;  ///< Sorted; of a name it may hold two boots.
  std::vector<Member> island_;
  ChangeLog<BootId> changes_;
  std::uint64_t digest_ = 0;          ///< Sum over reached_.
  bool dirty_ = false;                ///< The island is to be searched anew.
  std::vector<BootId> newly_linked_;  ///< To somebody in it, and not in it yet.
};

}  // namespace muster::node
