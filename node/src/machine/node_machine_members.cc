// SPDX-License-Identifier: MIT
//
// Membership, the island, and how news of both reaches everybody.
#include <algorithm>
#include <utility>

#include "machine/node_machine_impl.h"

namespace muster::node {
namespace {

std::string listed(const std::vector<Member>& island) {
  constexpr std::size_t most = 12;
  std::string text;
  for (std::size_t i = 0; i < std::min(most, island.size()); ++i)
    text += (i == 0 ? "" : ", ") + island[i].name.text();
  if (island.size() > most) text += " and " + std::to_string(island.size() - most) + " more";
  return text;
}

void mix(std::uint64_t& hash, std::uint64_t value) {
  hash = (hash ^ value) * 0x9e3779b97f4a7c15;
  hash ^= hash >> 29;
}

void mix(std::uint64_t& hash, const std::string& text) {
  for (const char c : text) mix(hash, static_cast<unsigned char>(c));
}

}  // namespace

bool NodeMachine::Impl::disconnect(Now now, const NodeName& name) {
  enter(now);
  shunned_.insert(name);
  drop_wish(now, name, "disconnected on request");
  const bool was = linked_to(name);
  for (const Member& member : was ? connected() : std::vector<Member>{}) {
    if (member.name == name) down(now, *find(member.boot), DownReason::disconnected, "on request");
  }
  finish(now);
  return was;
}

void NodeMachine::Impl::leave(Now now) {
  enter(now);
  if (!std::exchange(leaving_, true)) {
    book_.strike(self_.name, false);
    save_if_changed();
    for (const Member& member : connected())
      down(now, *find(member.boot), DownReason::left, "this node left");
    std::vector<LinkId> rest;
    for (const auto& [id, link] : links_) rest.push_back(id);
    for (const LinkId id : rest) erase(links_.at(id), true);
    for (auto& [name, wish] : wishes_) {
      conclude(wish, {.connected = false, .reason = "this node is leaving"});
      dial_agenda_.erase(name);
    }
    wishes_.clear();
    report(now, NodeEvent::Kind::left, self_, self_.name.text() + " (this node) left");
    left_ = true;
  }
  finish(now);
}

Result<void> NodeMachine::Impl::forget(Now now, const NodeName& name) {
  const std::vector<Member>& island = states_.island();
  const auto here = [&](const Member& member) { return member.name == name; };
  if (!book_.admitted(name)) return bad_input(name.text() + " is not a member");
  if (std::ranges::any_of(island, here))
    return bad_input(name.text() + " is in this island: only a dead node can be forgotten");
  if (!book_.majority(island)) {
    return bad_input("this island is no majority of the admitted nodes: " + name.text() +
                     " cannot be forgotten from here");
  }
  enter(now);
  strike(now, name);
  finish(now);
  return {};
}

void NodeMachine::Impl::strike(Now now, const NodeName& name) {
  book_.strike(name, true);
  save_if_changed();
  drop_wish(now, name, "forgotten");
  report(now, NodeEvent::Kind::forgotten, {.name = name, .boot = {}},
         name.text() + " is forgotten");
}

// Dead is not left; but a member that stays away for a day does not hold up the others for ever.
void NodeMachine::Impl::forget_the_long_dead(Now now) {
  const std::vector<Member>& island = states_.island();
  std::set<NodeName> here;
  for (const Member& member : island) here.insert(member.name);
  std::vector<NodeName> due;
  for (const auto& [name, status] : book_.membership().nodes) {
    if (!status.admitted() || here.contains(name)) {
      missing_since_.erase(name);
    } else if (now.mono - missing_since_.try_emplace(name, now.mono).first->second >=
               options_.forget_after) {
      due.push_back(name);
    }
  }
  if (due.empty() || island.front().boot != self_.boot || !book_.majority(island)) return;
  for (const NodeName& name : due) {
    missing_since_.erase(name);
    strike(now, name);
  }
}

Result<void> NodeMachine::Impl::cut(Now now, const NodeName& name) {
  if (!options_.allow_faults)
    return bad_input("link faults are off; start the node with --allow-fault-injection");
  if (name == self_.name) return bad_input("a node cannot be cut from itself");
  if (cuts_.size() >= MembershipBook::max_nodes) return bad_input("too many cuts");
  enter(now);
  cuts_.insert(name);
  drop_wish(now, name, "cut off by fault injection");
  finish(now);
  return {};
}

void NodeMachine::Impl::heal(Now now) {
  enter(now);
  cuts_.clear();
  for (const Member& member : connected()) {
    Link* const link = find(member.boot);
    // Frames were swallowed: what follows would have a hole.
    if (link != nullptr && link->holes)
      down(now, *link, DownReason::closed, "the cut is healed, the link begins anew");
  }
  wish_for_members(now);
  finish(now);
}

bool NodeMachine::Impl::merge_known(Now now,
                                    const google::protobuf::RepeatedPtrField<wire::Known>& in,
                                    BootId source) {
  for (const wire::Known& known : in) {
    const auto node = decode(known);
    if (!node) return false;
    merge_known(now, *node, source);
  }
  return true;
}

void NodeMachine::Impl::merge_known(Now now, const KnownNode& node, BootId source) {
  const bool was = book_.admitted(node.name);
  if (!book_.merge(node, source)) return;
  const bool is = book_.admitted(node.name);
  if (node.name == self_.name) {
    // Struck off by an island that did not see us: we are here, so we are admitted again.
    if (!is && !leaving_) book_.admit(self_.name);
  } else if (is) {
    wish_for(now, node.name);
  } else if (was && !linked_to(node.name)) {
    // (While it is linked, its own goodbye is on the way.)
    drop_wish(now, node.name, node.forgotten ? "forgotten" : "it left");
    report(now, node.forgotten ? NodeEvent::Kind::forgotten : NodeEvent::Kind::left,
           {.name = node.name, .boot = node.status.newest.boot},
           node.name.text() + (node.forgotten ? " is forgotten" : " left"));
  }
}

bool NodeMachine::Impl::merge_links(Now now,
                                    const google::protobuf::RepeatedPtrField<wire::LinkState>& in,
                                    BootId source) {
  for (const wire::LinkState& state : in) {
    auto record = decode(state);
    if (!record) return false;
    book_.learn_ordinal(record->member.ordinal);
    const Member member = record->member;
    if (states_.merge(now, *std::move(record), source)) renew_member(member);
  }
  return true;
}

/// A peer may rise: its ordinal is no longer what its welcome said.
void NodeMachine::Impl::renew_member(const Member& member) {
  Link* const link = find(member.boot);
  if (link == nullptr || !link->connected() || link->peer == member) return;
  link->peer.ordinal = member.ordinal;
  link->member = std::make_shared<const Member>(link->peer);
  book_.learn_boot(member.name, link->peer.seniority());
}

// News goes to those who cannot have it from where we have it.
std::uint64_t NodeMachine::Impl::fill_known(
    std::uint64_t told, BootId to, google::protobuf::RepeatedPtrField<wire::Known>& out) const {
  std::size_t size = 0;
  return book_.changes().since(told, [&](const NodeName& name) {
    const auto node = book_.known(name);
    const BootId source = book_.source(name);
    if (!node) return true;
    if (to.valid() && source.valid() && (source == to || states_.linked(source, to))) return true;
    wire::Known known;
    encode(*node, known);
    size += known.ByteSizeLong() + 8;
    if (size > news_budget) return false;
    *out.Add() = std::move(known);
    return true;
  });
}

std::uint64_t NodeMachine::Impl::fill_links(
    std::uint64_t told, BootId to, google::protobuf::RepeatedPtrField<wire::LinkState>& out) const {
  std::size_t size = 0;
  return states_.changes().since(told, [&](BootId boot) {
    const LinkStateRecord* const record = states_.find(boot);
    if (record == nullptr || record->version == 0 || boot == to) return true;
    // With told == 0 the peer is new: what it is said to know, it may not know yet.
    const bool has_it = told != 0 && (states_.source(boot) == to || record->lists(to));
    if (boot != self_.boot && has_it) return true;
    wire::LinkState state;
    encode(*record, state);
    size += state.ByteSizeLong() + 8;
    if (size > news_budget && !out.empty()) return false;
    *out.Add() = std::move(state);
    return true;
  });
}

bool NodeMachine::Impl::unpublished() const {
  return published_known_ != book_.changes().latest() ||
         published_links_ != states_.changes().latest();
}

void NodeMachine::Impl::publish(Now now) {
  publish_at_ = never;
  last_publish_ = now.mono;
  published_known_ = book_.changes().latest();
  published_links_ = states_.changes().latest();
  for (const auto& [boot, id] : connected_) publish_to(links_.at(id));
}

void NodeMachine::Impl::publish_to(Link& link) {
  while (link.told_known != book_.changes().latest() ||
         link.told_links != states_.changes().latest()) {
    wire::Control message;
    wire::Update& update = *message.mutable_update();
    link.told_known = fill_known(link.told_known, link.peer.boot, *update.mutable_known());
    link.told_links = fill_links(link.told_links, link.peer.boot, *update.mutable_links());
    if (!update.known().empty() || !update.links().empty()) transmit(link, message);
  }
}

// Everything once more, whoever may have told it.
void NodeMachine::Impl::repair(Link& link) {
  ++counters_.repairs;
  std::uint64_t known = 0;
  std::uint64_t links = 0;
  while (known != book_.changes().latest() || links != states_.changes().latest()) {
    wire::Control message;
    wire::Update& update = *message.mutable_update();
    known = fill_known(known, {}, *update.mutable_known());
    links = fill_links(links, {}, *update.mutable_links());
    transmit(link, message);
  }
}

void NodeMachine::Impl::settle_island(Now now) {
  const bool changed = states_.settle();
  if (changed) {
    const std::vector<Member>& island = states_.island();
    report(now, NodeEvent::Kind::island, self_, "island: " + listed(island));
    if (!(island.front() == oldest_)) {
      oldest_ = island.front();
      report(now, NodeEvent::Kind::oldest, oldest_, oldest_.name.text() + " is the oldest");
    }
  }
  if (changed || links_changed_ || shown_revision_ != book_.revision()) {
    links_changed_ = false;
    shown_revision_ = book_.revision();
    deliver_to_services([](Service& service, Now then) { service.island_changed(then); });
  }
}

std::uint64_t NodeMachine::Impl::digest() const {
  const std::uint64_t known = book_.changes().latest();
  const std::uint64_t links = states_.changes().latest();
  if (digest_known_ == known && digest_links_ == links && digest_ != 0) return digest_;
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const auto& [name, status] : book_.membership().nodes) {
    mix(hash, name.text());
    mix(hash, status.admissions);
    mix(hash, status.newest.ordinal);
    mix(hash, status.newest.boot.value);
  }
  for (const Member& member : states_.island()) {
    const LinkStateRecord* const record = states_.find(member.boot);
    mix(hash, member.boot.value);
    mix(hash, record == nullptr ? 0 : record->version);
  }
  digest_ = hash | 1;
  digest_known_ = known;
  digest_links_ = links;
  return digest_;
}

void NodeMachine::Impl::report(Now now, NodeEvent::Kind kind, const Member& node,
                               std::string detail, DownReason reason) {
  effects_.report(now, {.kind = kind, .node = node, .reason = reason, .detail = std::move(detail)});
}

}  // namespace muster::node
