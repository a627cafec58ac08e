// SPDX-License-Identifier: MIT
//
// `erlang_hosts`: reads the hosts from a file, asks each host's port mapper for its names.  Pure.
//
// A pass is due at the start, every `timeout`, when the file's content changed (looked at every 5 s
// at least), and, with backoff, while a host did not answer.  A host that does not answer keeps the
// names that it gave last: an absent port mapper proves nothing about nodes.  For the same reason
// passes never disconnect.  Which hosts do not answer, and why, stands in the pass.
//
// Unknown: no file, no host in it, or no host has ever answered.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "muster/discovery/backoff.h"
#include "muster/discovery/strategy_machine.h"

namespace muster::discovery {

class ErlangHostsMachine : public StrategyMachine {
 public:
  struct Options {
    std::string file =
        {};  ///< Empty: `.hosts.erlang` in the working directory, then in the home directory.
    Duration timeout = forever;
  };

  ErlangHostsMachine(const Options& options, const StrategyContext& context, StrategySink& sink);

  void start(Now now) override;
  void wake(Now now) override;
  [[nodiscard]] Instant next_wake() const override { return busy() ? never : look_at_; }
  void answer(Now now, QuestionId id, const Answer& answer) override;
  [[nodiscard]] std::map<std::string, std::uint64_t> counters() const override { return counters_; }
  void check_invariants() const override;

 private:
  struct Host {
    std::vector<std::string> names;  // Of its last answer.
    bool has_answered = false;
    std::string failure = {};  // Of the last question; empty: it answered.
    bool missed = false;       // That it does not answer has been said.
  };

  [[nodiscard]] bool busy() const { return reading_ || !asked_.empty(); }
  void read_next(Now now);
  void file_read(Now now, const Result<std::string>& content);
  void file_missing(Now now);
  void take_file(const std::filesystem::path& path, const std::string& content);
  void ask_hosts(Now now);
  void ask_more();
  void names_found(Now now, const std::string& host, const Result<std::vector<std::string>>& names);
  void finish(Now now);
  void tell_the_missed();
  void report_unknown(Now now, std::string reason);
  void rest(Now now);

  std::vector<std::filesystem::path> candidates_;
  const Duration timeout_;
  StrategySink& sink_;
  std::uint64_t seed_;

  std::optional<QuestionId> reading_;
  std::size_t candidate_ = 0;
  std::string failures_;  // Of the candidates so far.
  std::optional<std::string> content_;
  std::map<std::string, Host> hosts_;
  std::vector<std::string> queue_;           // Hosts still to be asked in this pass.
  std::map<QuestionId, std::string> asked_;  // Hosts that were asked and did not answer yet.
  QuestionId last_question_ = 0;

  Instant started_ = {};     // This pass.
  Instant pass_at_ = {};     // When the next is due, whatever the file says.
  Instant look_at_ = never;  // When to look at the file, and do the pass if one is due.
  Backoff retry_{{.first = std::chrono::seconds(2), .most = std::chrono::minutes(1)}};
  std::map<std::string, std::uint64_t> counters_{{"file_problems", 0}, {"host_failures", 0}};
};

}  // namespace muster::discovery
