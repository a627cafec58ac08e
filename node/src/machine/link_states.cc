// SPDX-License-Identifier: MIT
#include "machine/link_states.h"

#include <algorithm>
#include <boost/assert.hpp>
#include <set>
#include <utility>

namespace muster::node {
namespace {

bool by_seniority(const Member& a, const Member& b) { return a.seniority() < b.seniority(); }

}  // namespace

bool LinkStateRecord::lists(BootId boot) const { return std::ranges::binary_search(peers, boot); }

LinkStates::LinkStates(Member self) : self_(self.boot), island_{self} {
  entries_[self_].record = {.member = std::move(self), .version = 1, .peers = {}};
  changes_.touch(self_);
}

void LinkStates::set_ordinal(std::uint32_t ordinal) {
  LinkStateRecord& own = entries_.at(self_).record;
  own.member.ordinal = ordinal;
  ++own.version;
  changes_.touch(self_);
  dirty_ = true;
}

void LinkStates::link_up(Now now, const Member& peer) {
  LinkStateRecord& own = entries_.at(self_).record;
  const auto place = std::ranges::lower_bound(own.peers, peer.boot);
  if (place == own.peers.end() || *place != peer.boot) own.peers.insert(place, peer.boot);
  ++own.version;
  changes_.touch(self_);
  Entry& entry = entries_[peer.boot];
  entry.record.member = peer;  // Its own record may not have come yet.
  entry.reached = now.mono;
  dirty_ = true;
}

void LinkStates::link_down(BootId peer) {
  LinkStateRecord& own = entries_.at(self_).record;
  if (std::erase(own.peers, peer) == 0) return;
  ++own.version;
  changes_.touch(self_);
  dirty_ = true;
}

bool LinkStates::merge(Now now, LinkStateRecord record, BootId source) {
  const BootId boot = record.member.boot;
  if (boot == self_ || !boot.valid()) return false;
  if (!entries_.contains(boot) && entries_.size() >= max_records) return false;
  Entry& entry = entries_[boot];
  if (entry.record.version >= record.version) return false;
  std::ranges::sort(record.peers);
  record.peers.erase(std::unique(record.peers.begin(), record.peers.end()), record.peers.end());
  entry = {std::move(record), source, now.mono};
  changes_.touch(boot);
  dirty_ = true;
  return true;
}

void LinkStates::prune(Now now) {
  std::vector<BootId> gone;
  for (auto& [boot, entry] : entries_) {
    if (boot == self_ || own().lists(boot) || contains(boot)) {
      entry.reached = now.mono;
    } else if (now.mono - entry.reached > keep_unreachable) {
      gone.push_back(boot);
    }
  }
  for (const BootId boot : gone) {
    entries_.erase(boot);
    changes_.erase(boot);
  }
}

bool LinkStates::settle() {
  if (!std::exchange(dirty_, false)) return false;
  const std::vector<const Member*> island = component();
  const auto same = [](const Member* a, const Member& b) { return *a == b; };
  if (std::ranges::equal(island, island_, same)) return false;
  std::vector<Member> members;
  members.reserve(island.size());
  for (const Member* const member : island) members.push_back(*member);
  island_ = std::move(members);
  return true;
}

std::vector<const Member*> LinkStates::component() const {
  std::set<BootId> seen{self_};
  std::vector<BootId> open{self_};
  // In a full mesh the first round finds everybody and the search ends there.
  while (!open.empty() && seen.size() < entries_.size()) {
    const BootId boot = open.back();
    open.pop_back();
    for (const BootId peer : entries_.at(boot).record.peers) {
      if (!seen.contains(peer) && linked(boot, peer)) {
        seen.insert(peer);
        open.push_back(peer);
      }
    }
  }
  std::vector<const Member*> members;
  for (const BootId boot : seen) members.push_back(&entries_.at(boot).record.member);
  // Of two boots of one name, the older is a dead process whose links are not all noticed yet.
  std::ranges::sort(members, [this](const Member* a, const Member* b) {
    if (a->name != b->name) return a->name < b->name;
    if ((a->boot == self_) != (b->boot == self_)) return a->boot == self_;
    return a->seniority() > b->seniority();
  });
  const auto same_name = [](const Member* a, const Member* b) { return a->name == b->name; };
  members.erase(std::unique(members.begin(), members.end(), same_name), members.end());
  std::ranges::sort(members, {}, &Member::seniority);
  return members;
}

bool LinkStates::contains(BootId boot) const {
  return std::ranges::any_of(island_, [&](const Member& member) { return member.boot == boot; });
}

bool LinkStates::linked(BootId a, BootId b) const {
  if (a == self_) return own().lists(b);
  if (b == self_) return own().lists(a);
  const LinkStateRecord* const first = find(a);
  const LinkStateRecord* const second = find(b);
  return first != nullptr && second != nullptr && first->lists(b) && second->lists(a);
}

const LinkStateRecord* LinkStates::find(BootId boot) const {
  const auto found = entries_.find(boot);
  return found == entries_.end() ? nullptr : &found->second.record;
}

BootId LinkStates::source(BootId boot) const {
  const auto found = entries_.find(boot);
  return found == entries_.end() ? BootId{} : found->second.source;
}

void LinkStates::check_invariants() const {
  BOOST_ASSERT(entries_.contains(self_));
  BOOST_ASSERT(contains(self_) || dirty_);
  BOOST_ASSERT(std::ranges::is_sorted(island_, by_seniority));
  BOOST_ASSERT(entries_.size() <= max_records + own().peers.size() + 1);
  for (const BootId peer : own().peers) BOOST_ASSERT(entries_.contains(peer) && peer != self_);
}

}  // namespace muster::node
