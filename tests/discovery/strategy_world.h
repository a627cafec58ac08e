// SPDX-License-Identifier: MIT
//
// A StrategySink that records, for tests that answer by hand.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "muster/discovery/strategy_machine.h"

namespace muster::discovery::test {

class RecordingSink : public StrategySink {
 public:
  struct Asked {
    QuestionId id;
    Question question;
  };

  void report(Pass pass) override { passes.push_back(std::move(pass)); }
  void ask(QuestionId id, Question question) override {
    asked.push_back({id, std::move(question)});
  }
  void withdraw(QuestionId id) override { withdrawn.push_back(id); }
  void send(std::string datagram) override { sent.push_back(std::move(datagram)); }
  void note(Level, std::string text) override { notes.push_back(std::move(text)); }

  std::vector<Pass> passes;
  std::deque<Asked> asked;
  std::vector<QuestionId> withdrawn;
  std::vector<std::string> sent, notes;
};

inline std::vector<std::string> names_of(const Pass& pass) {
  std::vector<std::string> names;
  for (const Peer& peer : pass.peers) names.push_back(peer.name.text());
  return names;
}

inline StrategyContext context_of(const std::string& name, std::uint64_t seed = 1) {
  return {.topology = "t",
          .self = NodeName::parse(name).value(),
          .cookie = "a cookie of more than thirty-two bytes",
          .boot_id = seed * 1000,
          .link_port = static_cast<std::uint16_t>(7000 + seed),
          .seed = seed};
}

}  // namespace muster::discovery::test
