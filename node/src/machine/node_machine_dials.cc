// SPDX-License-Identifier: MIT
//
// Whom this node wants to be linked to and does not reach yet: asked by connect(), or admitted and
// not linked.  One attempt per name at a time; failed ones come back with backoff for as long as
// the name is wanted.
#include <utility>

#include "machine/node_machine_impl.h"

namespace muster::node {
namespace {

constexpr Duration transport_deadline = std::chrono::seconds(10);
constexpr std::size_t max_waiting = 64;
constexpr int max_duplicates = 5;

std::string name_form_error(const NodeName& self, const NodeName& other) {
  const bool is_long = self.is_long();
  return std::string("** System ") + (is_long ? "" : "NOT ") +
         "running to use fully qualified hostnames ** Hostname " + std::string(other.host()) +
         " is illegal: " + self.text() + " was started with " + (is_long ? "--name" : "--sname") +
         ", " + other.text() + " with " + (is_long ? "--sname" : "--name") +
         "; start both with --name (or both with --sname)";
}

}  // namespace

std::string NodeMachine::Impl::form_error(const NodeName& other) const {
  return self_.name.is_long() == other.is_long() ? "" : name_form_error(self_.name, other);
}

void NodeMachine::Impl::connect(Now now, const Peer& peer, ConnectDone done) {
  enter(now);
  const auto answer = [&](bool connected, std::string why) {
    notifications_.emplace_back(
        [done = std::move(done), outcome = ConnectOutcome{connected, std::move(why)}](Now later) {
          if (done) done(later, outcome);
        });
  };
  const bool is_self = peer.name == self_.name;
  if (!is_self) shunned_.erase(peer.name);
  if (is_self || peer.name.empty()) {
    answer(false, "that is this node itself");
  } else if (const std::string form = form_error(peer.name); !form.empty()) {
    answer(false, form);
  } else if (leaving_) {
    answer(false, "this node is leaving");
  } else if (cuts_.contains(peer.name)) {
    answer(false, "cut off by fault injection");
  } else if (linked_to(peer.name)) {
    answer(true, "already connected");
  } else if (!wishes_.contains(peer.name) && wishes_.size() >= MembershipBook::max_nodes) {
    answer(false, "too many nodes are being dialled");
  } else {
    Wish& wish = wishes_[peer.name];
    wish.asked = peer;
    if (wish.waiting.size() >= max_waiting) {
      answer(false, "too many wait for this node");
    } else {
      wish.waiting.push_back(std::move(done));
      if (!attempt_under_way(peer.name)) dial(now, peer.name, wish);
    }
  }
  finish(now);
}

bool NodeMachine::Impl::attempt_under_way(const NodeName& name) const {
  return !attempts_at(name).empty();
}

bool NodeMachine::Impl::wanted(const NodeName& name) const {
  return !leaving_ && name != self_.name && book_.admitted(name) && !shunned_.contains(name) &&
         !cuts_.contains(name) && !linked_to(name);
}

void NodeMachine::Impl::dial(Now now, const NodeName& name, Wish& wish) {
  dial_agenda_.erase(name);
  if (links_.size() >= options_.links_max) {
    attempt_failed(now, name, "too many links", false);
    return;
  }
  // What was asked for counts while somebody waits.  Else by turns the address that the node gave,
  // and its name alone: a restarted node may have another port, which its port mapper knows.
  Peer peer = wish.asked;
  if (wish.waiting.empty()) {
    peer = book_.reached(name);
    if (wish.backoff.failures() % 2 == 1) peer = {.name = name};
  }
  Link& link = add_link();
  const LinkId id = link.id;
  link.dialled = true;
  link.expected = name;
  attempts_.emplace(name, id);
  link.give_up = now.mono + transport_deadline;
  link_agenda_.set(id, link.give_up);
  wish.attempt = id;
  ++counters_.dials;
  peer.name = name;
  effects_.dial(id, peer);
}

void NodeMachine::Impl::wake_dials(Now now) {
  while (const auto name = dial_agenda_.take_due(now.mono)) {
    const auto found = wishes_.find(*name);
    if (found == wishes_.end()) continue;
    if (!wanted(*name) && found->second.waiting.empty()) {
      wishes_.erase(found);
    } else if (!attempt_under_way(*name)) {
      dial(now, *name, found->second);
    }
  }
}

void NodeMachine::Impl::attempt_failed(Now now, const NodeName& name, const std::string& reason,
                                       bool duplicate) {
  const auto found = wishes_.find(name);
  if (found == wishes_.end() || attempt_under_way(name)) return;
  Wish& wish = found->second;
  wish.attempt = {};
  const bool patient = duplicate && wish.backoff.failures() < max_duplicates;
  if (!patient) {
    if (wish.waiting.empty()) report_refused(now, {.name = name, .boot = {}}, reason);
    conclude(wish, {.connected = false, .reason = reason});
  }
  if (wanted(name) || !wish.waiting.empty()) {
    dial_agenda_.set(name, now.mono + wish.backoff.next(random()));
  } else {
    dial_agenda_.erase(name);
    wishes_.erase(found);
  }
}

void NodeMachine::Impl::conclude(Wish& wish, const ConnectOutcome& outcome) {
  for (ConnectDone& done : std::exchange(wish.waiting, {})) {
    if (!done) continue;
    notifications_.emplace_back(
        [done = std::move(done), outcome](Now later) { done(later, outcome); });
  }
}

void NodeMachine::Impl::wish_for(Now now, const NodeName& name) {
  if (!wanted(name) || wishes_.contains(name)) return;
  wishes_[name].asked = {.name = name};
  // Both ends come to the wish at the same moment: the smaller name goes first, and mostly only
  // one dials.
  const auto spread = std::chrono::microseconds(random() % 50'000);
  const auto patience = std::chrono::milliseconds(self_.name < name ? 1 : 150);
  dial_agenda_.set(name, now.mono + patience + spread);
}

void NodeMachine::Impl::wish_for_members(Now now) {
  for (const auto& [name, status] : book_.membership().nodes) wish_for(now, name);
}

void NodeMachine::Impl::drop_wish(Now now, const NodeName& name, const std::string& reason) {
  const auto found = wishes_.find(name);
  if (found != wishes_.end()) {
    conclude(found->second, {.connected = false, .reason = reason});
    dial_agenda_.erase(name);
    wishes_.erase(found);
  }
  for (const LinkId id : attempts_at(name)) fail(now, links_.at(id), reason);
}

}  // namespace muster::node
