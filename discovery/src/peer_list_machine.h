// SPDX-License-Identifier: MIT
//
// `file` and `exec`: a list of peers (peer_list.h) from a file that is looked at again and again,
// or from a program that is run again and again.  Pure.
//
// A list that makes no sense, a file that is not there, a program that fails: unknown.  A single
// bad entry is counted and skipped, and said once for each new content.
#pragma once

#include "muster/discovery/strategy_machine.h"

namespace muster::discovery {

class PeerListMachine : public StrategyMachine {
 public:
  struct Options {
    std::string source = {};  ///< For people: the file, or the program.
    Question question = {};   ///< ReadFile or RunProgram.
    Duration interval = {};
  };

  PeerListMachine(Options options, StrategySink& sink)
      : options_(std::move(options)), sink_(sink) {}

  void start(Now now) override { ask(now); }
  void wake(Now now) override {
    if (now.mono >= next_) ask(now);
  }
  [[nodiscard]] Instant next_wake() const override { return next_; }
  void answer(Now now, QuestionId id, const Answer& answer) override;
  [[nodiscard]] std::map<std::string, std::uint64_t> counters() const override { return counters_; }

 private:
  void ask(Now now);
  Pass read(const std::string& content);

  const Options options_;
  StrategySink& sink_;
  QuestionId question_ = 0;
  Instant asked_ = {};
  Instant next_ = never;
  std::optional<std::string> content_ = {};  // Of the last pass ...
  Pass pass_ = {};                           // ... and what it came to.
  std::map<std::string, std::uint64_t> counters_{{"bad_entries", 0}};
};

}  // namespace muster::discovery
