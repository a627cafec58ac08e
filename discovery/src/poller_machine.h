// SPDX-License-Identifier: MIT
//
// The loop that every polling strategy shares: ask, report the answer, ask again `interval` after
// it came.  Pure.
#pragma once

#include <memory>

#include "muster/discovery/strategy_machine.h"

namespace muster::discovery {

class PollerMachine : public StrategyMachine {
 public:
  struct Options {
    Duration interval = std::chrono::seconds(5);
    Duration deadline = std::chrono::seconds(5);
  };

  PollerMachine(std::shared_ptr<const DiscoverCall> call, Options options, StrategySink& sink)
      : call_(std::move(call)), options_(options), sink_(sink) {}

  void start(Now now) override { ask(now); }
  void wake(Now now) override {
    if (now.mono >= next_) ask(now);
  }
  [[nodiscard]] Instant next_wake() const override { return next_; }
  void answer(Now now, QuestionId id, const Answer& answer) override {
    if (id != question_) return;
    const auto& found = std::get<Discovered>(answer).peers;
    Pass pass = found ? Pass::list(*found) : Pass::unknown(found.error().text());
    pass.took = now.mono - asked_;
    next_ = after(now.mono, options_.interval);
    sink_.report(std::move(pass));
  }

 private:
  void ask(Now now) {
    next_ = never;
    asked_ = now.mono;
    sink_.ask(++question_, Discover{.call = call_, .within = options_.deadline});
  }

  const std::shared_ptr<const DiscoverCall> call_;
  const Options options_;
  StrategySink& sink_;
  QuestionId question_ = 0;
  Instant asked_ = {};
  Instant next_ = never;
};

}  // namespace muster::discovery
