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

#include "muster/discovery/strategy_machine.h"

namespace muster::discovery {

class LocalEpmdMachine : public StrategyMachine {
 public:
  LocalEpmdMachine(Duration polling_interval, const StrategyContext& context, StrategySink& sink);

  void start(Now now) override { ask(now); }
  void wake(Now now) override {
    if (now.mono >= next_) ask(now);
  }
  [[nodiscard]] Instant next_wake() const override { return next_; }
  void answer(Now now, QuestionId id, const Answer& answer) override;
  [[nodiscard]] std::map<std::string, std::uint64_t> counters() const override { return counters_; }

 private:
  void ask(Now now);
  [[nodiscard]] PeerSet peers_of(const std::vector<std::string>& names);

  const Duration interval_;
  const NodeName self_;
  StrategySink& sink_;
  QuestionId question_ = 0;
  Instant asked_ = {};
  Instant next_ = never;
  std::map<std::string, std::uint64_t> counters_{{"failures", 0}, {"names_skipped", 0}};
};

}  // namespace muster::discovery
