// SPDX-License-Identifier: MIT
//
// From a transport that is up to a connected pair.  The dialler says hello, the other answers with
// its own or refuses.  Then the node with the smaller boot id chooses: it welcomes one link and
// refuses further ones of the same boot, so that two nodes that dial each other keep the same link
// whatever the order of events.  The other returns the welcome; each is connected when it has one.
#include <algorithm>
#include <utility>

#include "machine/node_machine_impl.h"

namespace muster::node {
namespace {

constexpr Duration hello_deadline = std::chrono::seconds(5);

}  // namespace

void NodeMachine::Impl::opened(Now now, LinkId id) {
  enter(now);
  Link* const link = find(id);
  if (link != nullptr && link->stage == Link::Stage::transport) {
    link->stage = Link::Stage::hello;
    link->give_up = now.mono + hello_deadline;
    link_agenda_.set(id, link->give_up);
    if (!link->dialled && (leaving_ || links_.size() > options_.links_max)) {
      fail(now, *link, "too many links");
    } else if (link->dialled) {
      send_hello(now, *link, met_, newcomer(now));
    }
  }
  finish(now);
}

void NodeMachine::Impl::send_hello(Now now, Link& link, bool met, bool newcomer) {
  wire::Control message;
  wire::Hello& hello = *message.mutable_hello();
  hello.set_version_min(protocol_version);
  hello.set_version_max(protocol_version);
  hello.add_features("links");
  hello.set_cluster(options_.cluster);
  hello.set_name(self_.name.text());
  hello.set_boot(self_.boot.value);
  hello.set_ordinal(self_.ordinal);
  hello.set_met(met);
  hello.set_newcomer(newcomer);
  hello.set_highest_ordinal(book_.highest_ordinal());
  hello.set_address(options_.advertised.address);
  hello.set_port(options_.advertised.port);
  hello.set_membership(book_.digest());
  link.spoke_at = now.mono;
  transmit(link, message);
}

std::optional<wire::Refuse> NodeMachine::Impl::objection(const Link& link,
                                                         const Greeting& greeting) const {
  const Member& peer = greeting.member;
  const auto object = [&](wire::RefusalCode code, const std::string& reason) {
    wire::Refuse refuse;
    refuse.set_code(code);
    refuse.set_reason(reason);
    return refuse;
  };
  if (peer.boot == self_.boot)
    return object(wire::REFUSAL_SELF, "that address is this node itself");
  if (greeting.version_min > protocol_version || greeting.version_max < protocol_version) {
    const auto theirs =
        std::to_string(greeting.version_min) + " to " + std::to_string(greeting.version_max);
    return object(wire::REFUSAL_VERSION,
                  peer.name.text() + " speaks protocol " + theirs + ", " + self_.name.text() +
                      " speaks " + std::to_string(protocol_version) + ": upgrade the older one");
  }
  if (greeting.cluster != options_.cluster) {
    return object(wire::REFUSAL_CLUSTER, "other cluster: " + peer.name.text() + " is of '" +
                                             presentable(greeting.cluster) + "', " +
                                             self_.name.text() + " of '" + options_.cluster + "'");
  }
  if (const std::string form = form_error(peer.name); !form.empty())
    return object(wire::REFUSAL_NAME_FORM, form);
  if (peer.name == self_.name) {
    return object(wire::REFUSAL_NAME_TAKEN,
                  "another live node is called " + self_.name.text() + ": names must differ");
  }
  if (link.dialled && peer.name != link.expected) {
    return object(wire::REFUSAL_WRONG_NAME,
                  "at the address of " + link.expected.text() + " there is " + peer.name.text());
  }
  if (leaving_) return object(wire::REFUSAL_LEAVING, self_.name.text() + " is leaving");
  if (greeting.met && stale(peer)) return too_old(peer);
  return std::nullopt;
}

bool NodeMachine::Impl::stale(const Member& peer) const {
  const Seniority newest = book_.status(peer.name).newest;
  return newest.boot.valid() && newest.boot != peer.boot && newest > peer.seniority();
}

wire::Refuse NodeMachine::Impl::too_old(const Member& peer) const {
  wire::Refuse refusal;
  refusal.set_code(wire::REFUSAL_OLDER_BOOT);
  refusal.set_reason("a newer start of " + peer.name.text() + " is known");
  refusal.set_may_rise(!states_.contains(book_.status(peer.name).newest.boot));
  return refusal;
}

void NodeMachine::Impl::on_hello(Now now, Link& link, const wire::Hello& message) {
  const auto greeting = decode(message);
  if (!greeting) return malformed(now, link, "a hello with wrong fields");
  name_attempt(link, greeting->member);
  link.membership = greeting->membership;
  if (is_cut(link)) return fail(now, link, "cut off by fault injection");
  if (const auto refusal = objection(link, *greeting)) return refuse(now, link, *refusal);
  if (!link.dialled) shunned_.erase(link.peer.name);
  const bool met = met_;
  const bool was_newcomer = newcomer(now);
  take_in(now, *greeting);
  save_if_changed();  // An admission is on disk before it is answered.
  if (!link.dialled) send_hello(now, link, met, was_newcomer);
  link.stage = Link::Stage::welcome;
  if (self_.boot < link.peer.boot) choose(now, link);
}

void NodeMachine::Impl::take_in(Now now, const Greeting& greeting) {
  book_.learn_ordinal(greeting.highest_ordinal);
  settle_ordinal(now, greeting);
  book_.admit(greeting.member.name);
  book_.admit(self_.name);
  book_.learn_address(greeting.advertised, greeting.member.seniority());
}

// The ordinal is given by the first meeting of this life: a newcomer comes after all that the
// others know.  Where both are newcomers, both keep what they have, and the boot id decides.
void NodeMachine::Impl::settle_ordinal(Now now, const Greeting& greeting) {
  const bool admitted_by_old = newcomer(now) && !greeting.newcomer;
  if (std::exchange(met_, true)) return;
  const bool others_went_on = greeting.met && greeting.highest_ordinal >= self_.ordinal;
  const bool disk_is_old = book_.status(self_.name).newest > self_.seniority();
  if (admitted_by_old || others_went_on || disk_is_old) rise();
}

/// Becomes the youngest of all that are known here; peers that are linked learn of it by the link
/// states.
void NodeMachine::Impl::rise() {
  self_.ordinal = book_.highest_ordinal() + 1;
  book_.learn_boot(self_.name, self_.seniority());
  states_.set_ordinal(self_.ordinal);
}

void NodeMachine::Impl::choose(Now now, Link& link) {
  const auto chosen = chosen_.find(link.peer.boot);
  if (chosen != chosen_.end()) {
    // The other end may have lost the link that we hold: find out at once.
    Link& held = links_.at(chosen->second);
    if (held.connected()) probe(now, held);
    wire::Refuse refusal;
    refusal.set_code(wire::REFUSAL_DUPLICATE);
    refusal.set_reason("linked already");
    return refuse(now, link, refusal);
  }
  chosen_[link.peer.boot] = link.id;
  send_welcome(now, link);
}

void NodeMachine::Impl::send_welcome(Now now, Link& link) {
  wire::Control message;
  wire::Welcome& welcome = *message.mutable_welcome();
  welcome.set_ordinal(self_.ordinal);
  welcome.set_wall_microseconds(to_wire(now.wall));
  link.welcomed = true;
  link.spoke_at = now.mono;
  transmit(link, message);
}

void NodeMachine::Impl::on_welcome(Now now, Link& link, const wire::Welcome& message) {
  const bool ours_to_choose = self_.boot < link.peer.boot;
  if (ours_to_choose != link.welcomed) return malformed(now, link, "a welcome out of turn");
  link.peer.ordinal = std::min(message.ordinal(), std::uint32_t{0x7fffffff});
  if (stale(link.peer)) return refuse(now, link, too_old(link.peer));
  book_.learn_boot(link.peer.name, link.peer.seniority());
  save_if_changed();
  clock_.sample(link.peer.boot, link.spoke_at, now.mono, from_wire(message.wall_microseconds()));
  clock_.steer_if_few(now);
  up(now, link);
  if (!link.welcomed) send_welcome(now, link);
}

void NodeMachine::Impl::refuse(Now now, Link& link, wire::Refuse refusal) {
  refusal.set_name(self_.name.text());
  refusal.set_highest_ordinal(book_.highest_ordinal());
  wire::Control message;
  const std::string reason = refusal.reason();
  const auto code = refusal.code();
  *message.mutable_refuse() = std::move(refusal);
  transmit(link, message);
  const bool duplicate = code == wire::REFUSAL_DUPLICATE;
  if (!duplicate && code != wire::REFUSAL_SELF && code != wire::REFUSAL_LEAVING) {
    ++counters_.refusals;
    report_refused(now, link.peer, reason);
  }
  fail(now, link, reason, duplicate);
}

void NodeMachine::Impl::on_refuse(Now now, Link& link, const wire::Refuse& message) {
  const auto code = message.code();
  std::string reason = presentable(message.reason());
  const auto by = NodeName::parse(message.name());
  if (code == wire::REFUSAL_NAME_FORM && by && !form_error(*by).empty()) reason = form_error(*by);
  if (code == wire::REFUSAL_SELF) reason = "that address is this node itself";
  if (code == wire::REFUSAL_OLDER_BOOT) {
    const std::uint32_t highest = std::min(message.highest_ordinal(), std::uint32_t{0x7fffffff});
    book_.learn_ordinal(highest);
    if (!message.may_rise()) {
      reason += "; start this node anew to join";
    } else if (highest >= self_.ordinal) {  // Else it was said before we rose.
      rise();
      save_if_changed();
    }
  }
  const Member whom{.name = link.name(), .boot = link.peer.boot, .ordinal = link.peer.ordinal};
  if (code != wire::REFUSAL_DUPLICATE && code != wire::REFUSAL_SELF &&
      code != wire::REFUSAL_LEAVING) {
    ++counters_.refusals;
    report_refused(now, whom, reason);
  }
  if (link.connected()) return down(now, link, DownReason::closed, "refused: " + reason);
  fail(now, link, reason, code == wire::REFUSAL_DUPLICATE);
}

void NodeMachine::Impl::report_refused(Now now, const Member& node, const std::string& reason) {
  constexpr std::size_t max_names = 1024;
  constexpr std::size_t max_reasons = 8;
  if (refused_.size() >= max_names && !refused_.contains(node.name)) refused_.clear();
  std::set<std::string>& told = refused_[node.name];
  if (told.size() >= max_reasons || !told.insert(reason).second) return;
  report(now, NodeEvent::Kind::refused, node, node.name.text() + ": " + reason);
}

}  // namespace muster::node
