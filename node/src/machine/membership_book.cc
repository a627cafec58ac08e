// SPDX-License-Identifier: MIT
#include "machine/membership_book.h"

#include <algorithm>
#include <boost/assert.hpp>
#include <utility>

#include "machine/digest.h"

namespace muster::node {
namespace {

std::uint64_t digest_of(const NodeName& name, const Membership::Status& status) {
  if (status == Membership::Status{}) return 0;  // As if the name was never heard.
  Digest digest;
  digest.mix(name.text());
  digest.mix(status.admissions);
  digest.mix(status.newest.ordinal);
  digest.mix(status.newest.boot.value);
  return digest.value();
}

}  // namespace

MembershipBook::MembershipBook(NodeState state, NodeName self)
    : state_(std::move(state)), self_(std::move(self)) {
  for (const Peer& peer : std::exchange(state_.peers, {})) {
    places_[peer.name] = {peer, {}};
    remember_place(peer.name);
  }
  for (const auto& [name, status] : state_.membership.nodes) {
    learn_ordinal(status.newest.ordinal);
    changes_.touch(name);
    digest_ += digest_of(name, status);
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

template <class Change>
void MembershipBook::set(const NodeName& name, Membership::Status& status, const Change& change) {
  digest_ -= digest_of(name, status);
  change(status);
  digest_ += digest_of(name, status);
}

/// saved() has the address of whoever is admitted.
void MembershipBook::remember_place(const NodeName& name) {
  const auto place = places_.find(name);
  if (place == places_.end()) return;
  const auto old = state_.peers.lower_bound(Peer{.name = name});
  if (old != state_.peers.end() && old->name == name) state_.peers.erase(old);
  if (admitted(name) && !place->second.peer.address.empty())
    state_.peers.insert(place->second.peer);
}

void MembershipBook::changed(const NodeName& name, BootId source) {
  sources_[name] = source;
  remember_place(name);
  changes_.touch(name);
  ++revision_;
  unsaved_ = true;
}

void MembershipBook::admit(const NodeName& name) {
  Membership::Status* const status = entry(name);
  if (status == nullptr || status->admitted()) return;
  set(name, *status, [](Membership::Status& it) { ++it.admissions; });
  forced_.erase(name);
  changed(name, {});
}

void MembershipBook::strike(const NodeName& name, bool forgotten) {
  Membership::Status* const status = entry(name);
  if (status == nullptr || !status->admitted()) return;
  set(name, *status, [](Membership::Status& it) { ++it.admissions; });
  if (forgotten) forced_[name] = true;
  changed(name, {});
}

void MembershipBook::raise_admissions(const NodeName& name, std::uint32_t admissions) {
  Membership::Status* const status = entry(name);
  if (status == nullptr || status->admissions >= admissions) return;
  set(name, *status, [&](Membership::Status& it) { it.admissions = admissions; });
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
  set(name, *status, [&](Membership::Status& it) { it.newest = seniority; });
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
    set(news.name, *status,
        [&](Membership::Status& it) { it.admissions = news.status.admissions; });
    forced_[news.name] = news.forgotten;
    is_news = true;
  }
  if (status->newest < news.status.newest) {
    set(news.name, *status, [&](Membership::Status& it) { it.newest = news.status.newest; });
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

void MembershipBook::mark_clock(const ClockMark& mark) {
  if (mark.time <= state_.clock_mark.time) return;
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

void MembershipBook::check_invariants() const {
  std::uint64_t sum = 0;
  for (const auto& [name, status] : state_.membership.nodes) sum += digest_of(name, status);
  BOOST_ASSERT(sum == digest_);
}

BootId MembershipBook::source(const NodeName& name) const {
  const auto found = sources_.find(name);
  return found == sources_.end() ? BootId{} : found->second;
}

}  // namespace muster::node
