// SPDX-License-Identifier: MIT
//
// The strategy `kubernetes` in a world made by hand: a service account in memory, an API server
// whose every answer the test gives, and bodies in the form of the real one (kubernetes/*.json).
#pragma once

#include <gmock/gmock.h>

#include <deque>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "muster/discovery/strategy_registry.h"
#include "muster/discovery/test_kit.h"

namespace muster::discovery::test {

inline std::string recorded(const std::string& name) {
  std::ifstream in(std::string(MUSTER_SOURCE_DIR) + "/tests/discovery/kubernetes/" + name);
  EXPECT_TRUE(in) << name;
  return {std::istreambuf_iterator<char>(in), {}};
}

inline std::vector<std::string> recorded_lines(const std::string& name) {
  std::ifstream in(std::string(MUSTER_SOURCE_DIR) + "/tests/discovery/kubernetes/" + name);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  EXPECT_FALSE(lines.empty()) << name;
  return lines;
}

class KubernetesTest : public ::testing::Test {
 protected:
  static constexpr const char* account = "/var/run/secrets/kubernetes.io/serviceaccount/";
  static constexpr const char* server = "https://cluster.localhost.";
  static constexpr const char* endpoints_url =
      "https://cluster.localhost./api/v1/namespaces/web/endpoints?labelSelector=app%3Dtest_selector"
      "&limit=500";

  KubernetesTest() {
    files[account + std::string("token")] = "a-token\n";
    files[account + std::string("ca.crt")] =
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    files[account + std::string("namespace")] = "web";
    set("kubernetes_node_basename", "test_basename");
    set("kubernetes_selector", "app=test_selector");
    set("kubernetes_master", "cluster.localhost.");
  }

  void set(const std::string& key, Settings value) { options.set(key, std::move(value)); }

  /// Up to the first request.
  void start(const std::string& self = "test_basename@10.48.99.99") {
    const auto plan = plan_topology("k", "kubernetes", options, StrategyRegistry());
    ASSERT_TRUE(plan) << plan.error().text();
    machine = plan->make(sink, context_of(self));
    machine->start(clock.now());
    answer_files();
  }
  void answer_files() {
    while (!sink.asked.empty()) {
      const auto [question_id, question] = sink.asked.front();
      sink.asked.pop_front();
      if (const auto* file = std::get_if<ReadFile>(&question)) {
        const auto found = files.find(file->path.string());
        FileRead read{bad_input("cannot read " + file->path.string())};
        if (found != files.end()) read.content = found->second;
        machine->answer(clock.now(), question_id, read);
      } else {
        requests.emplace_back(question_id, std::get<HttpRequest>(question));
      }
      machine->check_invariants();
    }
  }
  void run(Duration by) {
    clock.run(*machine, by, [&] { answer_files(); });
  }

  /// The URL of the oldest request that was not looked at yet; what follows answers that one.
  std::string asked() {
    if (requests.empty()) return "nothing was asked";
    std::tie(id, request) = requests.front();
    requests.pop_front();
    return request.url;
  }
  void reply(int status, std::string body, std::optional<Duration> retry_after = {}) {
    HttpAnswer answer;
    answer.reply = HttpReply{.status = status, .body = std::move(body), .retry_after = retry_after};
    give(answer);
  }
  void reply_recorded(const std::string& name) { reply(200, recorded(name)); }
  void fail(const std::string& why) {
    HttpAnswer answer;
    answer.reply = bad_input(why);
    give(answer);
  }
  void line(const std::string& text) { give(HttpLine{text}); }
  void end() { give(HttpEnded{}); }
  void break_off() { give(HttpEnded{bad_input("connection reset")}); }
  void give(const Answer& answer) {
    machine->answer(clock.now(), id, answer);
    machine->check_invariants();
    answer_files();
  }
  /// Lists `body` and opens the watch that follows.
  void list_and_watch(const std::string& name) {
    asked();
    reply_recorded(name);
    asked();
    ASSERT_TRUE(request.stream) << request.url;
    reply(200, "");
  }

  [[nodiscard]] const Pass& last() const { return sink.passes.back(); }
  [[nodiscard]] std::vector<std::string> names() const {
    if (sink.passes.empty()) return {"no pass"};
    return names_of(last());
  }
  [[nodiscard]] std::uint64_t counted(const std::string& what) const {
    return machine->counters().at(what);
  }

  VirtualClock clock;
  RecordingSink sink;
  Settings options = Settings::map();
  std::map<std::string, std::string> files;
  std::unique_ptr<StrategyMachine> machine;
  std::deque<std::pair<QuestionId, HttpRequest>> requests;
  QuestionId id = 0;
  HttpRequest request;
};

}  // namespace muster::discovery::test
