// SPDX-License-Identifier: MIT
//
// Membership, the island, and how news of both reaches everybody.
#include <algorithm>
#include <iterator>
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

bool NodeMachine::Impl::unpublished() const {
  return published_known_ != book_.changes().latest() ||
         published_links_ != states_.changes().latest();
}

// News goes to those who cannot have it from where we have it; who came since the last time may
// lack what is old.  What this node itself saw goes to everybody, in frames that are built once.
void NodeMachine::Impl::publish(Now now) {
  publish_at_ = never;
  last_publish_ = now.mono;
  std::vector<BootId> fresh;
  for (const auto& [boot, id] : connected_) {
    if (!links_.at(id).told) fresh.push_back(boot);
  }
  News news;
  gather_members(published_known_, news);
  gather_links(published_links_, fresh, news);
  published_known_ = book_.changes().latest();
  published_links_ = states_.changes().latest();
  NewsFrames all_members;
  if (!fresh.empty()) add_members(all_members);
  for (const auto& [boot, id] : connected_) {
    Link& link = links_.at(id);
    const bool told = std::exchange(link.told, true);
    if (link.membership != book_.digest()) send(link, told ? news.members : all_members);
    send(link, news.links);
    if (const auto more = news.some.find(boot); more != news.some.end()) send(link, more->second);
  }
}

void NodeMachine::Impl::gather_members(std::uint64_t since, News& news) const {
  book_.changes().since(since, [&](const NodeName& name) {
    const auto node = book_.known(name);
    const BootId source = book_.source(name);
    if (node && !source.valid()) news.members.add(*node);
    if (!node || !source.valid()) return;
    for (const auto& [to, id] : connected_) {
      if (to != source && !states_.linked(source, to)) news.some[to].add(*node);
    }
  });
}

// Whom a record lists has it from where it was made.
void NodeMachine::Impl::gather_links(std::uint64_t since, const std::vector<BootId>& fresh,
                                     News& news) const {
  std::vector<BootId> lacking;
  const auto tell = [&](const LinkStateRecord& record, const std::vector<BootId>& peers) {
    const BootId boot = record.member.boot;
    if (record.version == 0) return;
    if (boot == self_.boot) return news.links.add(record);
    lacking.clear();
    std::ranges::set_difference(peers, record.peers, std::back_inserter(lacking));
    for (const BootId to : lacking) {
      if (to != boot && to != states_.source(boot)) news.some[to].add(record);
    }
  };
  states_.changes().since(since, [&](BootId boot) {
    if (const auto* const record = states_.find(boot)) tell(*record, states_.own().peers);
  });
  if (fresh.empty()) return;
  states_.for_each([&](const LinkStateRecord& record) {
    if (!states_.changes().touched(record.member.boot, since)) tell(record, fresh);
  });
}

void NodeMachine::Impl::add_members(NewsFrames& news) const {
  for (const auto& [name, status] : book_.membership().nodes) news.add(*book_.known(name));
}

void NodeMachine::Impl::send(Link& link, NewsFrames& news) {
  for (const Bytes& frame : news.frames()) transmit(link, Lane::urgent, frame);
}

/// Everything, whoever else may have told it.
void NodeMachine::Impl::repair(Link& link) {
  ++counters_.repairs;
  NewsFrames news;
  add_members(news);
  states_.for_each([&](const LinkStateRecord& record) {
    if (record.version != 0) news.add(record);
  });
  send(link, news);
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

void NodeMachine::Impl::report(Now now, NodeEvent::Kind kind, const Member& node,
                               std::string detail, DownReason reason) {
  effects_.report(now, {.kind = kind, .node = node, .reason = reason, .detail = std::move(detail)});
}

}  // namespace muster::node
