// SPDX-License-Identifier: MIT
#include "machine/membership_book.h"

#include <algorithm>
#include <utility>

namespace muster::node {

MembershipBook::MembershipBook(NodeState state, NodeName self)
    : state_(std::move(state)), self_(std::move(self)) {
  for (const Peer& peer : state_.peers) places_[peer.name] = {peer, {}};
  for (const auto& [name, status] : state_.membership.nodes) {
    learn_ordinal(status.newest.ordinal);
    changes_.touch(name);
  }
  unsaved_ = false;
}

Membership::Status MembershipBook::status(const NodeName& name) const {
  const auto found = state_.membership.nodes.find(name);
  return found == state_.membership.nodes.end() ? Membership::Status{} : found->second;
}

Peer MembershipBook::reached(const NodeName& name) const {
  const auto found = places_.find(name);
  return found == places_.end() ? Peer{.name = name} : found->second.peer;
}

bool MembershipBook::struck_by_force(const NodeName& name) const {
  const auto found = forced_.find(name);
  return found != forced_.end() && found->second;
}

std::optional<KnownNode> MembershipBook::known(const NodeName& name) const {
  const auto found = state_.membership.nodes.find(name);
  if (found == state_.membership.nodes.end()) return std::nullopt;
  return KnownNode{.name = name,
                   .status = found->second,
                   .reached = reached(name),
                   .forgotten = struck_by_force(name)};
}

Membership::Status* MembershipBook::entry(const NodeName& name) {
  const auto found = state_.membership.nodes.find(name);
  if (found != state_.membership.nodes.end()) return &found->second;
  if (state_.membership.nodes.size() >= max_nodes) return nullptr;
  return &state_.membership.nodes[name];
}

void MembershipBook::changed(const NodeName& name, BootId source) {
  sources_[name] = source;
  changes_.touch(name);
  ++revision_;
  unsaved_ = true;
}

void MembershipBook::admit(const NodeName& name) {
  Membership::Status* const status = entry(name);
  if (status == nullptr || status->admitted()) return;
  ++status->admissions;
  forced_.erase(name);
  changed(name, {});
}

void MembershipBook::strike(const NodeName& name, bool forgotten) {
  Membership::Status* const status = entry(name);
  if (status == nullptr || !status->admitted()) return;
  ++status->admissions;
  if (forgotten) forced_[name] = true;
  changed(name, {});
}

void MembershipBook::raise_admissions(const NodeName& name, std::uint32_t admissions) {
  Membership::Status* const status = entry(name);
  if (status == nullptr || status->admissions >= admissions) return;
  status->admissions = admissions;
  forced_.erase(name);
  changed(name, {});
}

void MembershipBook::learn_ordinal(std::uint32_t ordinal) {
  if (ordinal <= state_.highest_ordinal) return;
  state_.highest_ordinal = ordinal;
  unsaved_ = true;
}

void MembershipBook::learn_boot(const NodeName& name, Seniority seniority) {
  learn_ordinal(seniority.ordinal);
  Membership::Status* const status = entry(name);
  if (status == nullptr || status->newest >= seniority) return;
  status->newest = seniority;
  changed(name, {});
}

void MembershipBook::learn_address(const Peer& peer, Seniority of) {
  if (peer.name == self_ || entry(peer.name) == nullptr) return;
  if (peer.address.empty()) return;
  Place& place = places_[peer.name];
  place.of = std::max(place.of, of);
  if (place.peer == peer) return;
  place.peer = peer;
  changed(peer.name, {});
}

bool MembershipBook::merge(const KnownNode& news, BootId source) {
  learn_ordinal(news.status.newest.ordinal);
  Membership::Status* const status = entry(news.name);
  if (status == nullptr) return false;
  bool is_news = false;
  if (status->admissions < news.status.admissions) {
    status->admissions = news.status.admissions;
    forced_[news.name] = news.forgotten;
    is_news = true;
  }
  if (status->newest < news.status.newest) {
    status->newest = news.status.newest;
    is_news = true;
  }
  if (!news.reached.address.empty() && news.name != self_) {
    Place& place = places_[news.name];
    // Of one start the first address stays: two that differ would be told back and forth for ever.
    if (place.peer.address.empty() || place.of < news.status.newest) {
      is_news = is_news || !(place.peer == news.reached);
      place = {news.reached, news.status.newest};
    }
  }
  if (is_news) changed(news.name, source);
  return is_news;
}

void MembershipBook::mark_clock(Timestamp mark) {
  if (mark <= state_.clock_mark) return;
  state_.clock_mark = mark;
  unsaved_ = true;
}

bool MembershipBook::majority(const std::vector<Member>& island) const {
  std::size_t all = 0;
  std::size_t here = 0;
  for (const auto& [name, status] : state_.membership.nodes) {
    if (!status.admitted()) continue;
    ++all;
    const auto is_it = [&wanted = name](const Member& member) { return member.name == wanted; };
    if (std::ranges::any_of(island, is_it)) ++here;
  }
  return here * 2 > all;
}

bool MembershipBook::take_unsaved() { return std::exchange(unsaved_, false); }

NodeState MembershipBook::saved() const {
  NodeState state = state_;
  state.peers.clear();
  for (const auto& [name, place] : places_) {
    if (admitted(name) && !place.peer.address.empty()) state.peers.insert(place.peer);
  }
  return state;
}

BootId MembershipBook::source(const NodeName& name) const {
  const auto found = sources_.find(name);
  return found == sources_.end() ? BootId{} : found->second;
}

}  // namespace muster::node
