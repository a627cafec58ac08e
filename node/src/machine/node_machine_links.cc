// SPDX-License-Identifier: MIT
//
// Links come up, are watched, and go down.
#include <algorithm>
#include <utility>

#include "machine/node_machine_impl.h"

namespace muster::node {
namespace {

wire::GoodbyeReason to_wire(DownReason reason) {
  switch (reason) {
    case DownReason::left:
      return wire::GOODBYE_LEFT;
    case DownReason::disconnected:
      return wire::GOODBYE_DISCONNECTED;
    case DownReason::replaced:
      return wire::GOODBYE_REPLACED;
    case DownReason::silent:
      return wire::GOODBYE_SILENT;
    case DownReason::closed:
    case DownReason::shutdown:
      break;
  }
  return wire::GOODBYE_CLOSED;
}

}  // namespace

Link& NodeMachine::Impl::add_link() {
  const LinkId id{++last_link_};
  Link& link = links_[id];
  link.id = id;
  return link;
}

/// The other end has said who it is.
void NodeMachine::Impl::name_attempt(Link& link, const Member& peer) {
  attempts_.erase({link.name(), link.id});
  link.peer = peer;
  attempts_.emplace(link.name(), link.id);
}

std::vector<LinkId> NodeMachine::Impl::attempts_at(const NodeName& name) const {
  std::vector<LinkId> found;
  for (auto i = attempts_.lower_bound({name, {}}); i != attempts_.end() && i->first == name; ++i)
    found.push_back(i->second);
  return found;
}

Link* NodeMachine::Impl::find(LinkId id) {
  const auto found = links_.find(id);
  return found == links_.end() ? nullptr : &found->second;
}

Link* NodeMachine::Impl::find(BootId boot) {
  const auto found = connected_.find(boot);
  return found == connected_.end() ? nullptr : &links_.at(found->second);
}

const Link* NodeMachine::Impl::find(BootId boot) const {
  const auto found = connected_.find(boot);
  return found == connected_.end() ? nullptr : &links_.at(found->second);
}

void NodeMachine::Impl::transmit(Link& link, Lane lane, const Bytes& frame) {
  if (!cuts_.empty() && is_cut(link)) {
    link.holes = true;
    return;
  }
  effects_.transmit(link.id, lane, frame);
}

void NodeMachine::Impl::transmit(Link& link, const wire::Control& message) {
  transmit(link, Lane::urgent, encode(message));
}

void NodeMachine::Impl::received(Now now, LinkId id, std::string_view frame) {
  enter(now);
  Link* const link = find(id);
  if (link != nullptr && !cuts_.empty() && is_cut(*link)) {
    link->holes = true;
  } else if (link != nullptr) {
    ++counters_.frames_in;
    take_frame(now, *link, frame);
  }
  finish(now);
}

void NodeMachine::Impl::take_frame(Now now, Link& link, std::string_view frame) {
  if (frame.empty()) return malformed(now, link, "an empty frame");
  if (frame.size() > max_payload + 1) return malformed(now, link, "a frame above the limit");
  link.watch.heard(now);
  const auto service = static_cast<ServiceId>(frame.front());
  const std::string_view payload = frame.substr(1);
  if (service == control_service) return on_control(now, link, payload);
  if (service == 0) return malformed(now, link, "a frame for nobody");
  if (!link.connected()) return malformed(now, link, "data before hello");
  const auto listener = services_.find(service);
  if (listener == services_.end()) {
    ++counters_.frames_unknown_service;
    return;
  }
  const auto from = link.member;  // The link may go in the callback.
  listener->second->received(now, *from, payload);
}

void NodeMachine::Impl::up(Now now, Link& link) {
  // An older boot of the same name, or a link whose end was not seen.
  if (const auto held = connected_names_.find(link.peer.name); held != connected_names_.end()) {
    Link& other = links_.at(held->second);
    const bool same_boot = other.peer.boot == link.peer.boot;
    down(now, other, same_boot ? DownReason::closed : DownReason::replaced,
         same_boot ? "its new link took over" : "a newer start of it took over");
  }
  attempts_.erase({link.name(), link.id});
  link.stage = Link::Stage::connected;
  link.connection = ++last_connection_;
  link.member = std::make_shared<const Member>(link.peer);
  link.watch.begin(now);
  connected_[link.peer.boot] = link.id;
  connected_names_[link.peer.name] = link.id;
  states_.link_up(now, link.peer);
  links_changed_ = true;
  refused_.erase(link.peer.name);
  if (const auto wish = wishes_.find(link.peer.name); wish != wishes_.end()) {
    conclude(wish->second, {.connected = true, .reason = "connected"});
    dial_agenda_.erase(link.peer.name);
    wishes_.erase(wish);
  }
  close_spare(now, link);
  const auto member = link.member;
  deliver_to_services([member](Service& service, Now then) { service.connected(then, *member); });
  report(now, NodeEvent::Kind::nodeup, link.peer, link.peer.name.text() + " is up");
  link_agenda_.set(link.id, now.mono);  // The first probe measures its clock.
  if (probe_at_ == never) probe_at_ = now.mono;
}

// Other attempts at the same node are not needed any more.
void NodeMachine::Impl::close_spare(Now now, const Link& kept) {
  for (const LinkId id : attempts_at(kept.peer.name)) {
    Link& link = links_.at(id);
    const bool same = link.peer.boot == kept.peer.boot || (link.dialled && !link.peer.boot.valid());
    if (same) fail(now, link, "linked already", true);
  }
}

void NodeMachine::Impl::erase(Link& link, bool close) {
  const LinkId id = link.id;
  const BootId boot = link.peer.boot;
  link_agenda_.erase(id);
  attempts_.erase({link.name(), id});
  if (link.connected()) {
    connected_.erase(boot);
    connected_names_.erase(link.peer.name);
  }
  if (const auto held = chosen_.find(boot); held != chosen_.end() && held->second == id)
    chosen_.erase(held);
  links_.erase(id);
  if (close) effects_.close(id);
}

void NodeMachine::Impl::down(Now now, Link& link, DownReason reason, const std::string& detail,
                             Ending ending) {
  const auto member = link.member;
  if (ending == Ending::say_goodbye) say_goodbye(link, reason);
  erase(link, ending != Ending::closed);
  states_.link_down(member->boot);
  clock_.forget(member->boot);
  links_changed_ = true;
  for (Calls::Pending& call : calls_.abandon(member->boot)) {
    Error error = call_error(boost::system::errc::not_connected, member->name.text());
    notifications_.emplace_back([reply = std::move(call.reply),
                                 error = std::move(error)](Now then) { reply(then, error); });
  }
  deliver_to_services([member, reason](Service& service, Now then) {
    service.disconnected(then, *member, reason);
  });
  const std::string why(to_string(reason));
  report(now, NodeEvent::Kind::nodedown, *member,
         member->name.text() + " is down: " + why + (detail.empty() ? "" : ", " + detail), reason);
  if (reason == DownReason::disconnected) shunned_.insert(member->name);
  wish_for(now, member->name);
}

void NodeMachine::Impl::say_goodbye(Link& link, DownReason reason) {
  wire::Control message;
  message.mutable_goodbye()->set_reason(to_wire(reason));
  message.mutable_goodbye()->set_admissions(book_.status(self_.name).admissions);
  transmit(link, message);
}

void NodeMachine::Impl::fail(Now now, Link& link, const std::string& reason, bool duplicate,
                             bool close) {
  const NodeName name = link.name();
  erase(link, close);
  if (!name.empty()) attempt_failed(now, name, reason, duplicate);
}

void NodeMachine::Impl::malformed(Now now, Link& link, const std::string& what) {
  ++counters_.frames_malformed;
  const std::string reason = "sent " + what;
  if (link.connected()) {
    report(now, NodeEvent::Kind::alarm, link.peer, link.peer.name.text() + " " + reason);
    return down(now, link, DownReason::closed, reason);
  }
  const Member whom{.name = link.name(), .boot = link.peer.boot};
  if (!whom.name.empty()) report_refused(now, whom, reason);
  fail(now, link, reason);
}

}  // namespace muster::node
