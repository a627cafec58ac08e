// SPDX-License-Identifier: MIT
#include "machine/link_states.h"

#include <algorithm>
#include <boost/assert.hpp>
#include <iterator>
#include <utility>

#include "machine/digest.h"

namespace muster::node {
namespace {

bool by_seniority(const Member& a, const Member& b) { return a.seniority() < b.seniority(); }

}  // namespace

bool LinkStateRecord::lists(BootId boot) const { return std::ranges::binary_search(peers, boot); }

LinkStates::LinkStates(Member self) : self_(self.boot), reached_{self.boot}, island_{self} {
  entries_[self_].record = {.member = std::move(self), .version = 1, .peers = {}};
  changes_.touch(self_);
  digest_ = digest_of_reached();
}

void LinkStates::own_changed() {
  digest_ -= part_of_digest(self_);
  ++entries_.at(self_).record.version;
  digest_ += part_of_digest(self_);
  changes_.touch(self_);
}

std::uint64_t LinkStates::part_of_digest(BootId boot) const {
  const LinkStateRecord* const record = find(boot);
  Digest digest;
  digest.mix(boot.value);
  digest.mix(record == nullptr ? 0 : record->version);
  return digest.value();
}

std::uint64_t LinkStates::digest_of_reached() const {
  std::uint64_t sum = 0;
  for (const BootId boot : reached_) sum += part_of_digest(boot);
  return sum;
}

void LinkStates::set_ordinal(std::uint32_t ordinal) {
  entries_.at(self_).record.member.ordinal = ordinal;
  own_changed();
  dirty_ = true;
}

void LinkStates::link_up(Now now, const Member& peer) {
  LinkStateRecord& own = entries_.at(self_).record;
  const auto place = std::ranges::lower_bound(own.peers, peer.boot);
  if (place == own.peers.end() || *place != peer.boot) own.peers.insert(place, peer.boot);
  own_changed();
  Entry& entry = entries_[peer.boot];
  if (!reached(peer.boot)) {
    newly_linked_.push_back(peer.boot);
  } else if (!(entry.record.member == peer)) {
    dirty_ = true;
  }
  entry.record.member = peer;  // Its own record may not have come yet.
  entry.reached = now.mono;
}

void LinkStates::link_down(BootId peer) {
  LinkStateRecord& own = entries_.at(self_).record;
  if (std::erase(own.peers, peer) == 0) return;
  own_changed();
  if (!held(entries_.at(peer).record, self_)) dirty_ = true;
}

bool LinkStates::merge(Now now, LinkStateRecord record, BootId source) {
  const BootId boot = record.member.boot;
  if (boot == self_ || !boot.valid()) return false;
  if (!entries_.contains(boot) && entries_.size() >= max_records) return false;
  Entry& entry = entries_[boot];
  if (entry.record.version >= record.version) return false;
  if (!std::ranges::is_sorted(record.peers)) std::ranges::sort(record.peers);
  record.peers.erase(std::unique(record.peers.begin(), record.peers.end()), record.peers.end());
  note_changes(entry.record, record);
  const bool counts = reached(boot);
  if (counts) digest_ -= part_of_digest(boot);
  entry = {std::move(record), source, now.mono};
  if (counts) digest_ += part_of_digest(boot);
  changes_.touch(boot);
  return true;
}

/// What another's new record may mean for the island.
void LinkStates::note_changes(const LinkStateRecord& before, const LinkStateRecord& after) {
  const BootId boot = after.member.boot;
  const bool inside = reached(boot);
  if (inside && !(before.member == after.member)) dirty_ = true;
  const auto lists_it = [&](BootId peer) {  // Our own links are not theirs to judge.
    const LinkStateRecord* const record = peer == self_ ? nullptr : find(peer);
    return record != nullptr && record->lists(boot);
  };
  std::vector<BootId> some;
  std::ranges::set_difference(before.peers, after.peers, std::back_inserter(some));
  for (const BootId peer : some) {
    if (!inside && !reached(peer)) continue;
    if (!lists_it(peer)) continue;
    const bool stays = own().lists(boot) || held(after, peer);
    if (!stays || !(own().lists(peer) || held(*find(peer), boot))) dirty_ = true;
  }
  some.clear();
  std::ranges::set_difference(after.peers, before.peers, std::back_inserter(some));
  for (const BootId peer : some) {
    if (inside != reached(peer) && lists_it(peer)) newly_linked_.push_back(inside ? peer : boot);
  }
}

/// A peer of ours other than `than` is linked to whom this record is of: it is in the island.
bool LinkStates::held(const LinkStateRecord& record, BootId than) const {
  const auto holds_it = [&](BootId peer) {
    if (peer == than || peer == self_ || !own().lists(peer)) return false;
    const LinkStateRecord* const theirs = find(peer);
    return theirs != nullptr && theirs->lists(record.member.boot);
  };
  return std::ranges::any_of(record.peers, holds_it);
}

void LinkStates::prune(Now now) {
  std::vector<BootId> gone;
  for (auto& [boot, entry] : entries_) {
    if (own().lists(boot) || reached(boot)) {
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
  const bool anew = std::exchange(dirty_, false);
  const bool added = !anew && !newly_linked_.empty() && add_newly_linked();
  newly_linked_.clear();
  return anew || std::exchange(dirty_, false) ? search_anew() : added;
}

bool LinkStates::search_anew() {
  reached_.clear();
  search({self_}, reached_);
  digest_ = digest_of_reached();
  const std::vector<const Member*> island = members_of(reached_);
  const auto same = [](const Member* a, const Member& b) { return *a == b; };
  if (std::ranges::equal(island, island_, same)) return false;
  std::vector<Member> members;
  members.reserve(island.size());
  for (const Member* const member : island) members.push_back(*member);
  island_ = std::move(members);
  return true;
}

bool LinkStates::add_newly_linked() {
  constexpr std::size_t few = 16;
  const std::vector<BootId> before = reached_;
  search(newly_linked_, reached_);
  std::vector<BootId> fresh;
  std::ranges::set_difference(reached_, before, std::back_inserter(fresh));
  std::vector<Member> members;
  dirty_ = fresh.size() > few;
  for (const BootId boot : fresh) {
    if (dirty_) return false;
    const Member& member = entries_.at(boot).record.member;
    const auto named_so = [&](const Member& other) { return other.name == member.name; };
    // Which of two boots of a name counts is decided where all are seen.
    dirty_ = std::ranges::any_of(island_, named_so) || std::ranges::any_of(members, named_so);
    members.push_back(member);
  }
  if (dirty_) return false;
  for (Member& member : members) {
    digest_ += part_of_digest(member.boot);
    const auto place = std::ranges::upper_bound(island_, member, by_seniority);
    island_.insert(place, std::move(member));
  }
  return !fresh.empty();
}

void LinkStates::search(std::vector<BootId> open, std::vector<BootId>& seen) const {
  const auto is_new = [&seen](BootId boot) {
    const auto place = std::ranges::lower_bound(seen, boot);
    if (place != seen.end() && *place == boot) return false;
    seen.insert(place, boot);
    return true;
  };
  std::erase_if(open, [&](BootId boot) { return !entries_.contains(boot) || !is_new(boot); });
  std::vector<BootId> unseen;
  // In a full mesh the first round finds everybody and the search ends there.
  while (!open.empty() && seen.size() < entries_.size()) {
    const BootId boot = open.back();
    open.pop_back();
    unseen.clear();
    std::ranges::set_difference(entries_.at(boot).record.peers, seen, std::back_inserter(unseen));
    for (const BootId peer : unseen) {
      if (linked(boot, peer) && is_new(peer)) open.push_back(peer);
    }
  }
}

/// By seniority, each name once.
std::vector<const Member*> LinkStates::members_of(const std::vector<BootId>& boots) const {
  std::vector<const Member*> members;
  members.reserve(boots.size());
  for (const BootId boot : boots) members.push_back(&entries_.at(boot).record.member);
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

bool LinkStates::reached(BootId boot) const { return std::ranges::binary_search(reached_, boot); }

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
  BOOST_ASSERT(digest_ == digest_of_reached());
  constexpr std::size_t few = 64;
  if (dirty_ || !newly_linked_.empty() || entries_.size() > few) return;
  std::vector<BootId> all;
  search({self_}, all);
  BOOST_ASSERT(all == reached_);
  const auto same = [](const Member* a, const Member& b) { return *a == b; };
  BOOST_ASSERT(std::ranges::equal(members_of(all), island_, same));
}

}  // namespace muster::node
