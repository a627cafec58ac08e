// SPDX-License-Identifier: MIT
//
// For tests of strategies, yours and ours: no sockets, no sleeping, no luck.
//
//   test::StrategyWorld world("my_cloud", Settings::map({{"query", "web"}}), registry);
//   world.http("GET http://cloud/web", {.status = 200, .body = R"(["a@10.0.0.1"])"});
//   world.run(10s);                                      // Of virtual time.
//   EXPECT_EQ(world.names(), std::vector<std::string>{"a@10.0.0.1"});
//   world.http("GET http://cloud/web", {.status = 503});  // From now on.
//   world.run(10s);
//   EXPECT_EQ(world.last().kind, Pass::Kind::unknown);
//
// Below it: a clock made by hand, a sink that records, plumbing that is a set of names.
// Threads: one.  Errors: a world whose options are wrong throws std::runtime_error.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "muster/discovery/plumbing.h"
#include "muster/discovery/strategy_registry.h"

namespace muster::discovery::test {

/// Stands still until a test moves it.
class VirtualClock {
 public:
  [[nodiscard]] Now now() const { return now_; }
  [[nodiscard]] Duration elapsed() const { return now_.mono - start; }
  void set(Instant mono) {
    now_.wall += std::chrono::duration_cast<std::chrono::microseconds>(mono - now_.mono);
    now_.mono = mono;
  }

  /// Wakes the machine whenever it asks for it, until `by` has passed; `then` runs after each wake.
  template <class Machine, class Then>
  void run(Machine& machine, Duration by, Then then) {
    const Instant end = now_.mono + by;
    for (int same = 0; machine.next_wake() <= end && same < 10'000; ++same) {
      set(std::max(now_.mono, machine.next_wake()));
      machine.wake(now_);
      machine.check_invariants();
      then();
    }
    set(end);
  }

  static constexpr Instant start = Instant(std::chrono::hours(1));

 private:
  Now now_{.mono = start, .wall = Timestamp(std::chrono::hours(24 * 365 * 50))};
};

/// Keeps all that a strategy says; answers nothing.
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

[[nodiscard]] std::vector<std::string> names_of(const Pass& pass);
/// Of a node of that name, with a cookie and a link port.
[[nodiscard]] StrategyContext context_of(const std::string& name, std::uint64_t seed = 1);

/// One strategy, made from its options, in a world that answers what the test has written down and
/// fails the rest ("the test says nothing about ...").  Answers come at once.
class StrategyWorld {
 public:
  StrategyWorld(const std::string& strategy, Settings options,
                const StrategyRegistry& registry = StrategyRegistry(),
                StrategyContext context = context_of("self@10.0.0.9"));
  ~StrategyWorld();

  // What is there, from now on.
  void dns(const std::string& name, LookedUp answer) { dns_[name] = std::move(answer); }
  /// `request` is "METHOD URL".
  void http(const std::string& request, HttpReply reply) { http_[request] = std::move(reply); }
  void http(const std::string& request, Error error) { http_[request] = std::move(error); }
  void file(const std::filesystem::path& path, std::string content) {
    files_[path] = std::move(content);
  }
  void program(const std::string& program, std::string output) {
    programs_[program] = std::move(output);
  }
  void names_at(const std::string& host, std::vector<std::string> names) {
    mappers_[host] = std::move(names);
  }

  /// Starts the strategy when called first.
  void run(Duration by);
  [[nodiscard]] const std::vector<Pass>& passes() const { return sink_.passes; }
  /// Throws where there was no pass yet.
  [[nodiscard]] const Pass& last() const { return sink_.passes.at(sink_.passes.size() - 1); }
  [[nodiscard]] std::vector<std::string> names() const { return names_of(last()); }
  [[nodiscard]] const std::vector<std::string>& notes() const { return sink_.notes; }
  /// All that was asked: "DNS web.internal", "GET http://...", "FILE path", ...
  [[nodiscard]] const std::vector<std::string>& questions() const { return questions_; }
  [[nodiscard]] const VirtualClock& clock() const { return clock_; }

 private:
  void answer_all();
  [[nodiscard]] Answer answer_to(const Question& question);

  RecordingSink sink_;
  VirtualClock clock_;
  std::unique_ptr<StrategyMachine> machine_;
  bool started_ = false;
  std::vector<std::string> questions_;
  std::map<std::string, LookedUp> dns_;
  std::map<std::string, Result<HttpReply>> http_;
  std::map<std::filesystem::path, std::string> files_;
  std::map<std::string, std::string> programs_;
  std::map<std::string, std::vector<std::string>> mappers_;
};

/// A transport that links whom it is told to, unless `outcome` says otherwise.
class NamePlumbing : public Plumbing {
 public:
  void connect(const Peer& peer, Duration, Done done) override {
    dials.push_back(peer);
    if (outcome.ok()) linked.insert(peer.name);
    done(outcome);
  }
  void disconnect(const NodeName& name, Done done) override {
    linked.erase(name);
    done({});
  }
  std::set<NodeName> list_nodes() override { return linked; }

  DialOutcome outcome;
  std::vector<Peer> dials;
  std::set<NodeName> linked;
};

}  // namespace muster::discovery::test
