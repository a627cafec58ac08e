// SPDX-License-Identifier: MIT
//
// The words between nodes.  Whatever is not well formed, or comes at the wrong time, ends the link.
#include <utility>

#include "machine/node_machine_impl.h"

namespace muster::node {

void NodeMachine::Impl::on_control(Now now, Link& link, std::string_view payload) {
  const auto message = decode(payload);
  if (!message) return malformed(now, link, "a frame that does not parse");
  if (message->has_refuse()) return on_refuse(now, link, message->refuse());
  switch (link.stage) {
    case Link::Stage::hello:
      if (message->has_hello()) return on_hello(now, link, message->hello());
      break;
    case Link::Stage::welcome:
      if (message->has_welcome()) return on_welcome(now, link, message->welcome());
      break;
    case Link::Stage::connected:
      return on_connected(now, link, *message);
    case Link::Stage::transport:
      break;
  }
  malformed(now, link, "a word out of turn");
}

void NodeMachine::Impl::on_connected(Now now, Link& link, const wire::Control& message) {
  switch (message.body_case()) {
    case wire::Control::kGoodbye:
      return on_goodbye(now, link, message.goodbye());
    case wire::Control::kUpdate:
      return on_update(now, link, message.update());
    case wire::Control::kProbe:
      return on_probe(now, link, message.probe());
    case wire::Control::kProbeReply:
      return on_probe_reply(now, link, message.probe_reply());
    case wire::Control::kSuspicion:
      return on_suspicion(now, link, message.suspicion());
    case wire::Control::kEvidence:
      return on_evidence(now, link, message.evidence());
    case wire::Control::kCall:
      return on_call(now, link, message.call());
    case wire::Control::kReply:
      return on_reply(now, link, message.reply());
    case wire::Control::BODY_NOT_SET:
      return;  // A word of a later version.
    case wire::Control::kHello:
    case wire::Control::kWelcome:
    case wire::Control::kRefuse:
      return malformed(now, link, "a word out of turn");
  }
}

void NodeMachine::Impl::on_goodbye(Now now, Link& link, const wire::Goodbye& message) {
  const Member peer = link.peer;
  switch (message.reason()) {
    case wire::GOODBYE_LEFT:
      if (message.admissions() % 2 == 0)
        book_.raise_admissions(peer.name, std::min(message.admissions(), 0x7ffffffeU));
      down(now, link, DownReason::left, "", Ending::close);
      return report(now, NodeEvent::Kind::left, peer, peer.name.text() + " left");
    case wire::GOODBYE_DISCONNECTED:
      return down(now, link, DownReason::disconnected, "at the request of the other side",
                  Ending::close);
    case wire::GOODBYE_REPLACED:
      shunned_.insert(peer.name);
      down(now, link, DownReason::replaced, "a newer start of this node's name took over there",
           Ending::close);
      return report(now, NodeEvent::Kind::alarm, peer,
                    "another process runs as " + self_.name.text() + "; " + peer.name.text() +
                        " is linked to that one");
    case wire::GOODBYE_SILENT:
      return down(now, link, DownReason::closed, "it did not hear this node", Ending::close);
    default:
      return down(now, link, DownReason::closed, "it closed the link", Ending::close);
  }
}

void NodeMachine::Impl::on_update(Now now, Link& link, const wire::Update& message) {
  const BootId from = link.peer.boot;
  const bool known = merge_known(now, message.known(), from);
  const bool links = merge_links(now, message.links(), from);
  if (!known || !links) malformed(now, link, "an update with wrong fields");
}

void NodeMachine::Impl::on_call(Now now, Link& link, const wire::Call& message) {
  const auto caller = link.member;
  const auto found = handlers_.find(message.name());
  Result<std::string> answer =
      call_error(boost::system::errc::function_not_supported,
                 "no such call '" + presentable(message.name()) + "' on " + self_.name.text());
  if (found != handlers_.end()) {
    const Handler handler = found->second;  // It may be replaced while it runs.
    answer = handler(now, *caller, message.request());
  }
  if (answer && answer->size() + 64 > max_payload)
    answer = call_error(boost::system::errc::message_size, "the answer is too large");
  wire::Control reply;
  reply.mutable_reply()->set_id(message.id());
  reply.mutable_reply()->set_failed(!answer);
  if (answer) {
    reply.mutable_reply()->set_answer(*std::move(answer));
  } else {
    const Error& error = answer.error();
    const bool portable = error.code.category() == boost::system::generic_category();
    std::string text = portable ? error.detail : error.text();
    text.resize(std::min(text.size(), max_payload / 2));
    reply.mutable_reply()->set_code(portable ? error.code.value() : 0);
    reply.mutable_reply()->set_answer(std::move(text));
  }
  if (Link* const back = find(caller->boot)) transmit(*back, reply);
}

void NodeMachine::Impl::on_reply(Now, Link& link, const wire::Reply& message) {
  auto call = calls_.answered(message.id(), link.peer.boot);
  if (!call) return;
  Result<std::string> answer = message.answer();
  if (message.failed()) {
    Error error = bad_input(message.answer());
    if (message.code() > 0 && message.code() < 200)
      error.code = {message.code(), boost::system::generic_category()};
    answer = std::move(error);
  }
  notifications_.emplace_back([reply = std::move(call->reply),
                               answer = std::move(answer)](Now now) { reply(now, answer); });
}

}  // namespace muster::node
