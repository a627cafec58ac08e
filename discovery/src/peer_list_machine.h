// SPDX-License-Identifier: MIT
//
// `file` and `exec`: a list of peers (peer_list.h) from a file that is looked at again and again,
// or from a program that is run again and again.  Pure.
//
// A list that makes no sense, a file that is not there, a program that fails: unknown.  A single
// bad entry is counted and skipped, and said once for each new content.
#pragma once

#include "polling_machine.h"

namespace muster::discovery {

class PeerListMachine : public PollingMachine {
 public:
  struct Options {
    std::string source = {};  ///< For people: the file, or the program.
    Question question = {};   ///< ReadFile or RunProgram.
    Duration interval = {};
  };

  PeerListMachine(Options options, StrategySink& sink)
      : PollingMachine(options.interval, sink, {{"bad_entries", 0}}),
        options_(std::move(options)) {}

 private:
  [[nodiscard]] Question question() const override { return options_.question; }
  [[nodiscard]] Pass read(const Answer& answer) override;
  [[nodiscard]] Pass parse(const std::string& content);

  const Options options_;
  std::optional<std::string> content_ = {};  // Of the last pass ...
  Pass pass_ = {};                           // ... and what it came to.
};

}  // namespace muster::discovery
