// SPDX-License-Identifier: MIT
#include "local_epmd_machine.h"

namespace muster::discovery {
namespace {

constexpr const char* this_host = "127.0.0.1";
constexpr Duration answer_deadline = std::chrono::seconds(3);

}  // namespace

LocalEpmdMachine::LocalEpmdMachine(Duration polling_interval, const StrategyContext& context,
                                   StrategySink& sink)
    : interval_(polling_interval), self_(context.self), sink_(sink) {}

void LocalEpmdMachine::ask(Now now) {
  next_ = never;
  asked_ = now.mono;
  sink_.ask(++question_, AskNames{.host = this_host, .within = answer_deadline});
}

void LocalEpmdMachine::answer(Now now, QuestionId id, const Answer& answer) {
  const auto* found = std::get_if<NamesFound>(&answer);
  if (!found || id != question_ || next_ != never) return;
  if (!found->names) ++counters_["failures"];
  Pass pass = found->names ? Pass::list(peers_of(*found->names))
                           : Pass::unknown(found->names.error().text());
  pass.disconnects = false;
  pass.took = now.mono - asked_;
  next_ = after(now.mono, interval_);
  sink_.report(std::move(pass));
}

/// Without ourselves.  A name that no node of ours could have is a stranger's with our mark.
PeerSet LocalEpmdMachine::peers_of(const std::vector<std::string>& names) {
  PeerSet peers;
  for (const std::string& base : names) {
    if (base == self_.base()) continue;
    auto name = NodeName::parse(std::string(base).append("@").append(self_.host()));
    if (name)
      peers.insert(Peer{*name});
    else
      ++counters_["names_skipped"];
  }
  return peers;
}

}  // namespace muster::discovery
