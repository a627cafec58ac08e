// SPDX-License-Identifier: MIT
#include "rancher_machine.h"

#include "rancher_json.h"

namespace muster::discovery {

Question RancherMachine::question() const {
  return HttpRequest{.url = options_.metadata_url + "/self/service",
                     .headers = {{"Accept", "application/json"}},
                     .within = options_.deadline,
                     .most_bytes = std::size_t{1} << 20};
}

Pass RancherMachine::read(const Answer& answer) {
  const auto& reply = std::get<HttpAnswer>(answer).reply;
  const auto unknown = [&](const std::string& why) {
    count("failures");
    return Pass::unknown("Rancher's metadata service: " + why);
  };
  if (!reply) return unknown(reply.error().text());
  if (reply->status != 200)
    return unknown(options_.metadata_url + "/self/service answers " +
                   std::to_string(reply->status) + " " + reply->reason.substr(0, 100));
  const auto containers = read_rancher_service(reply->body);
  if (!containers) return unknown(containers.error().text());
  count("containers_skipped", containers->skipped);
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
