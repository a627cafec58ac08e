// SPDX-License-Identifier: MIT
//
// Who was ever admitted, newest start of each, where it is reached, the highest ordinal: all that a
// node remembers over restarts, and all of it merges by maximum, so that news may come in any order
// and any number of times.  Pure.  Bounded by max_nodes: names beyond it are not taken in.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "machine/change_log.h"
#include "muster/node/node_machine.h"

namespace muster::node {

/// News of one node, as it travels.
struct KnownNode {
  NodeName name;
  Membership::Status status;
  Peer reached;  ///< Without address: unknown.
  bool forgotten = false;
};

class MembershipBook {
 public:
  static constexpr std::size_t max_nodes = 4096;

  MembershipBook(NodeState state, NodeName self);

  [[nodiscard]] const Membership& membership() const { return state_.membership; }
  [[nodiscard]] Membership::Status status(const NodeName& name) const;
  [[nodiscard]] bool admitted(const NodeName& name) const { return status(name).admitted(); }
  [[nodiscard]] std::uint32_t highest_ordinal() const { return state_.highest_ordinal; }
  [[nodiscard]] const ClockMark& clock_mark() const { return state_.clock_mark; }
  /// Where it said its links are accepted; without address where that is unknown.
  [[nodiscard]] Peer reached(const NodeName& name) const;
  [[nodiscard]] bool struck_by_force(const NodeName& name) const;
  [[nodiscard]] std::optional<KnownNode> known(const NodeName& name) const;

  void admit(const NodeName& name);
  void strike(const NodeName& name, bool forgotten);
  void raise_admissions(const NodeName& name, std::uint32_t admissions);
  void learn_ordinal(std::uint32_t ordinal);
  void learn_boot(const NodeName& name, Seniority seniority);
  /// First hand: `peer` itself said so.
  void learn_address(const Peer& peer, Seniority of);
  /// Everything above for news from elsewhere; true when it was news.
  bool merge(const KnownNode& news, BootId source);
  void mark_clock(const ClockMark& mark);

  /// More than half of the admitted are in `island`.
  [[nodiscard]] bool majority(const std::vector<Member>& island) const;

  /// True once after each change that a restart must remember.
  [[nodiscard]] bool take_unsaved();
  /// Counts every change of what membership() shows.
  [[nodiscard]] std::uint64_t revision() const { return revision_; }
  [[nodiscard]] const NodeState& saved() const { return state_; }
  /// Equal where membership() is; kept up to date at a constant cost.
  [[nodiscard]] std::uint64_t digest() const { return digest_; }

  [[nodiscard]] const ChangeLog<NodeName>& changes() const { return changes_; }
  void check_invariants() const;
  /// Who told us the latest of `name`; nobody where we know it first hand.
  [[nodiscard]] BootId source(const NodeName& name) const;

 private:
  struct Place {
    Peer peer;
    Seniority of;
  };
  Membership::Status* entry(const NodeName& name);
  template <class Change>
  void set(const NodeName& name, Membership::Status& status, const Change& change);
  void changed(const NodeName& name, BootId source);
  void remember_place(const NodeName& name);

  NodeState state_;
  NodeName self_;
  std::map<NodeName, Place> places_;
  std::map<NodeName, BootId> sources_;
  std::map<NodeName, bool> forced_;
  ChangeLog<NodeName> changes_;
  std::uint64_t revision_ = 0;
  std::uint64_t digest_ = 0;  ///< Sum over the names.
  bool unsaved_ = false;
};

}  // namespace muster::node
