// SPDX-License-Identifier: MIT
//
// Runs one strategy machine: owns its timer, its socket and the questions it has asked; decides
// nothing.
//
// Threads: one strand.  Stop: stop() cancels and awaits all of it, the machine's last words (for
// at most a second) included; the machine is not called any more after that.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "datagram_group.h"
#include "muster/discovery/port_mapper_client.h"
#include "muster/discovery/strategy_registry.h"
#include "task_group.h"

namespace muster::discovery {

class HttpClient;

class StrategyShell : private StrategySink {
 public:
  using Report = std::function<void(Pass)>;

  StrategyShell(const boost::asio::any_io_executor& executor, Log log, Report report);
  ~StrategyShell() override;

  void start(const StrategyRegistry::Make& make, const StrategyContext& context);
  enum class LastWords : bool { no, yes };
  boost::asio::awaitable<void> stop(LastWords last_words);
  [[nodiscard]] std::map<std::string, std::uint64_t> counters() const;

 private:
  void report(Pass pass) override;
  void ask(QuestionId id, Question question) override;
  void withdraw(QuestionId id) override;
  void send(std::string datagram) override { group_.send(datagram); }
  void note(Level level, std::string text) override { log_.write(level, text); }

  boost::asio::awaitable<void> wake_loop();
  boost::asio::awaitable<void> perform_any(QuestionId id, Question question);
  boost::asio::awaitable<void> perform(QuestionId id, OpenGroup question);
  boost::asio::awaitable<void> perform(QuestionId id, AskNames question);
  boost::asio::awaitable<void> perform(QuestionId id, ReadFile question);
  boost::asio::awaitable<void> perform(QuestionId id, Discover question);
  boost::asio::awaitable<void> perform(QuestionId id, LookUp question);
  boost::asio::awaitable<void> perform(QuestionId id, HttpRequest question);
  boost::asio::awaitable<void> perform(QuestionId id, RunProgram question);
  void answer(QuestionId id, const Answer& answer);

  const Log log_;
  const Report report_;
  std::uint16_t mapper_port_ = 0;
  std::map<std::string, port_mapper::KnownNames> known_names_;  // By host.
  std::unique_ptr<StrategyMachine> machine_;
  boost::asio::steady_timer timer_;
  DatagramGroup group_;
  const std::unique_ptr<HttpClient> http_;
  TaskGroup tasks_;
  TaskGroup last_words_;  // Asked in the machine's stop().
  std::map<QuestionId, TaskGroup::Id> asked_;
  bool stopping_ = false;
};

}  // namespace muster::discovery
