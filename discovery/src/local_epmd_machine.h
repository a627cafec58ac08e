// SPDX-License-Identifier: MIT
//
// `local_epmd`: all of muster's nodes that are registered at this host's port mapper, asked for at
// the start and again `polling_interval` after each answer.  A name there becomes name@HOST, HOST
// being that of our own name: nodes of one host share it.  Names of other programs (Erlang's) are
// left out by whoever answers the question.
//
// A port mapper hears of nodes rather than lists them (a node may run without being registered for
// a moment, as when the one that serves it has just died), so passes never disconnect.  Where none
// answers the pass is unknown, and asked again.  Pure.
#pragma once

#include "polling_machine.h"

namespace muster::discovery {

class LocalEpmdMachine : public PollingMachine {
 public:
  LocalEpmdMachine(Duration polling_interval, const StrategyContext& context, StrategySink& sink);

 private:
  [[nodiscard]] Question question() const override;
  [[nodiscard]] Pass read(const Answer& answer) override;
  [[nodiscard]] PeerSet peers_of(const std::vector<std::string>& names);

  const NodeName self_;
};

}  // namespace muster::discovery
