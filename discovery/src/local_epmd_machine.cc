// SPDX-License-Identifier: MIT
#include "local_epmd_machine.h"

namespace muster::discovery {
namespace {

constexpr const char* this_host = "127.0.0.1";
constexpr Duration answer_deadline = std::chrono::seconds(3);

}  // namespace

LocalEpmdMachine::LocalEpmdMachine(Duration polling_interval, const StrategyContext& context,
                                   StrategySink& sink)
    : PollingMachine(polling_interval, sink, {{"failures", 0}, {"names_skipped", 0}}),
      self_(context.self) {}

Question LocalEpmdMachine::question() const {
  return AskNames{.host = this_host, .within = answer_deadline};
}

Pass LocalEpmdMachine::read(const Answer& answer) {
  const auto& names = std::get<NamesFound>(answer).names;
  if (!names) count("failures");
  Pass pass = names ? Pass::list(peers_of(*names)) : Pass::unknown(names.error().text());
  pass.disconnects = false;
  return pass;
}

PeerSet LocalEpmdMachine::peers_of(const std::vector<std::string>& names) {
  PeerSet peers;
  for (const std::string& base : names) {
    if (base == self_.base()) continue;
    auto name = NodeName::parse(std::string(base).append("@").append(self_.host()));
    if (name)
      peers.insert(Peer{*name});
    else
      count("names_skipped");
  }
  return peers;
}

}  // namespace muster::discovery
