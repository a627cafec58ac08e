// SPDX-License-Identifier: MIT
//
// `dns_poll`, `dns_srv`, `kubernetes_dns`, `kubernetes_dns_srv`: asks DNS for one name, again and
// again.  Pure.
//
// A node is node_basename@ADDRESS, or node_basename@TARGET for SRV records, with the port of the
// record where `use_ports` and an address of the target is known (otherwise its port mapper is
// asked).  This node itself is left out.
//
// The next lookup starts `polling_interval` after an answer came; earlier where the TTL of the
// records ends earlier, but not before half of it and not before 1 s.  A TTL of 0 (nobody may keep
// them) or longer than `polling_interval` changes nothing.  A failed lookup is unknown and repeated
// sooner, with backoff up to `polling_interval`.  "No such name" and "no records" are a known empty
// list from the second such answer in a row on; the first is unknown.  One question is asked at a
// time, and one wake-up is due at most.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "muster/discovery/backoff.h"
#include "muster/discovery/strategy_machine.h"

namespace muster::discovery {

class DnsMachine : public StrategyMachine {
 public:
  struct Options {
    LookUp question = {};
    std::string node_basename = {};
    Duration polling_interval = std::chrono::seconds(5);
    bool use_ports = true;
  };

  DnsMachine(Options options, const StrategyContext& context, StrategySink& sink);

  void start(Now now) override { ask(now); }
  void wake(Now now) override;
  [[nodiscard]] Instant next_wake() const override { return next_; }
  void answer(Now now, QuestionId id, const Answer& answer) override;
  [[nodiscard]] std::map<std::string, std::uint64_t> counters() const override { return counters_; }
  void check_invariants() const override;

 private:
  void ask(Now now);
  Pass found(const LookedUp& answer);
  Pass empty(const LookedUp& answer);
  Pass failed(std::string reason);
  [[nodiscard]] Duration wait_after(const LookedUp& answer);

  const Options options_;
  const NodeName self_;
  StrategySink& sink_;
  std::uint64_t seed_;

  std::optional<QuestionId> asked_;
  QuestionId last_question_ = 0;
  Instant asked_at_ = {};
  Instant next_ = never;
  int empty_answers_ = 0;  // In a row.
  Backoff retry_;
  std::map<std::string, std::uint64_t> counters_{
      {"lookups", 0}, {"failed_lookups", 0}, {"empty_answers", 0}, {"records_skipped", 0}};
};

}  // namespace muster::discovery
