// SPDX-License-Identifier: MIT
//
// The loop that polling strategies share: ask, report what the answer came to, ask again `interval`
// after it came.  Pure.  One question or one wake-up is open, never both.
#pragma once

#include "muster/discovery/strategy_machine.h"

namespace muster::discovery {

class PollingMachine : public StrategyMachine {
 public:
  void start(Now now) final { ask(now); }
  void wake(Now now) final {
    if (now.mono >= next_) ask(now);
  }
  [[nodiscard]] Instant next_wake() const final { return next_; }
  void answer(Now now, QuestionId id, const Answer& answer) final {
    if (id != asked_id_ || next_ != never) return;
    Pass pass = read(answer);
    pass.took = now.mono - asked_at_;
    next_ = after(now.mono, interval_);
    sink_.report(std::move(pass));
  }
  [[nodiscard]] std::map<std::string, std::uint64_t> counters() const final { return counters_; }

 protected:
  using Counters = std::map<std::string, std::uint64_t>;

  PollingMachine(Duration interval, StrategySink& sink, Counters counters = {})
      : interval_(interval), sink_(sink), counters_(std::move(counters)) {}

  [[nodiscard]] virtual Question question() const = 0;
  /// The answer is of the question's kind.
  [[nodiscard]] virtual Pass read(const Answer& answer) = 0;

  void count(const std::string& what, std::uint64_t by = 1) { counters_[what] += by; }
  void note(Level level, std::string text) { sink_.note(level, std::move(text)); }

 private:
  void ask(Now now) {
    next_ = never;
    asked_at_ = now.mono;
    sink_.ask(++asked_id_, question());
  }

  const Duration interval_;
  StrategySink& sink_;
  Counters counters_;
  QuestionId asked_id_ = 0;
  Instant asked_at_ = {};
  Instant next_ = never;
};

}  // namespace muster::discovery
