// SPDX-License-Identifier: MIT
//
// `epmd`: the configured list, once, and again every `timeout`.  `none` is an empty one: all peers
// come by hand.  Pure.
#pragma once

#include "muster/discovery/strategy_machine.h"

namespace muster::discovery {

class StaticListMachine : public StrategyMachine {
 public:
  StaticListMachine(PeerSet peers, Duration timeout, StrategySink& sink)
      : peers_(std::move(peers)), timeout_(timeout), sink_(sink) {}

  void start(Now now) override { report(now); }
  void wake(Now now) override {
    if (now.mono >= next_) report(now);
  }
  [[nodiscard]] Instant next_wake() const override { return next_; }

 private:
  void report(Now now) {
    next_ = after(now.mono, timeout_);
    Pass pass = Pass::list(peers_);
    pass.disconnects = false;  // The list never changes while it runs.
    sink_.report(std::move(pass));
  }

  const PeerSet peers_;
  const Duration timeout_;
  StrategySink& sink_;
  Instant next_ = never;
};

}  // namespace muster::discovery
