// SPDX-License-Identifier: MIT
#include "rancher_machine.h"

#include "rancher_json.h"

namespace muster::discovery {

void RancherMachine::ask(Now now) {
  next_ = never;
  asked_ = now.mono;
  HttpRequest request{.url = options_.metadata_url + "/self/service",
                      .headers = {{"Accept", "application/json"}},
                      .within = options_.deadline,
                      .most_bytes = std::size_t{1} << 20};
  sink_.ask(++question_, std::move(request));
}

void RancherMachine::answer(Now now, QuestionId id, const Answer& answer) {
  const auto* answered = std::get_if<HttpAnswer>(&answer);
  if (id != question_ || !answered) return;
  Pass pass = read(answered->reply);
  pass.took = now.mono - asked_;
  next_ = after(now.mono, options_.interval);
  sink_.report(std::move(pass));
}

Pass RancherMachine::read(const Result<HttpReply>& reply) {
  const auto unknown = [&](const std::string& why) {
    ++counters_["failures"];
    return Pass::unknown("Rancher's metadata service: " + why);
  };
  if (!reply) return unknown(reply.error().text());
  if (reply->status != 200)
    return unknown(options_.metadata_url + "/self/service answers " +
                   std::to_string(reply->status) + " " + reply->reason.substr(0, 100));
  const auto containers = read_rancher_service(reply->body);
  if (!containers) return unknown(containers.error().text());
  counters_["containers_skipped"] += containers->skipped;
  PeerSet peers;
  for (const std::string& address : containers->addresses) {
    const auto name = NodeName::parse(options_.node_basename + "@" + address);
    if (name && *name != self_) peers.insert(Peer{*name});
  }
  if (containers->addresses.empty() && containers->skipped > 0)
    return unknown("none of the service's containers has an address");
  return Pass::list(std::move(peers));
}

}  // namespace muster::discovery
