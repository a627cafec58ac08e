// SPDX-License-Identifier: MIT
//
// `rancher`: asks the metadata service for the containers of our own service, again and again; a
// node is node_basename@address.  Pure.
//
// Known empty: a service without containers.  Unknown, so that peers stay: no answer in time, any
// status but 200, what cannot be read, or containers none of which has an address.
#pragma once

#include "muster/discovery/strategy_machine.h"

namespace muster::discovery {

class RancherMachine : public StrategyMachine {
 public:
  struct Options {
    std::string node_basename = {};
    Duration interval = std::chrono::seconds(5);  ///< From one answer to the next question.
    std::string metadata_url = "http://rancher-metadata/latest";
    Duration deadline = std::chrono::seconds(5);
  };

  RancherMachine(Options options, const StrategyContext& context, StrategySink& sink)
      : options_(std::move(options)), self_(context.self), sink_(sink) {}

  void start(Now now) override { ask(now); }
  void wake(Now now) override {
    if (now.mono >= next_) ask(now);
  }
  [[nodiscard]] Instant next_wake() const override { return next_; }
  void answer(Now now, QuestionId id, const Answer& answer) override;
  [[nodiscard]] std::map<std::string, std::uint64_t> counters() const override { return counters_; }

 private:
  void ask(Now now);
  Pass read(const Result<HttpReply>& reply);

  const Options options_;
  const NodeName self_;
  StrategySink& sink_;
  QuestionId question_ = 0;
  Instant asked_ = {};
  Instant next_ = never;
  std::map<std::string, std::uint64_t> counters_{{"containers_skipped", 0}, {"failures", 0}};
};

}  // namespace muster::discovery
