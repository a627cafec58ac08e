// SPDX-License-Identifier: MIT
// Processes share a port mapper: the one that serves it is killed, others stand still; Erlang's own
// `epmd -names` is asked who is there.
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <sstream>

#include "cluster.h"

namespace muster::testing {
namespace {

using namespace std::chrono_literals;

class PortMapper : public Cluster {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists("/usr/bin/epmd"))
      GTEST_SKIP() << "epmd is not installed (Debian: apt-get install erlang-base)";
  }
  /// As epmd's own client lists them, in order, parted by spaces.
  [[nodiscard]] std::string names() const {
    std::istringstream output(run({"/usr/bin/epmd", "-names"}, environment()).output);
    std::vector<std::string> found;
    for (std::string line; std::getline(output, line);)
      if (line.starts_with("name ")) found.push_back(line.substr(5, line.find(" at port") - 5));
    std::ranges::sort(found);
    std::string all;
    for (const auto& each : found) all += (all.empty() ? "" : " ") + each;
    return all;
  }
  /// One that serves does so until its end; its log outlives its process.
  [[nodiscard]] TestNode* server() {
    for (auto* node : {&a_, &b_, &c_}) {
      const std::string log = node->log();
      const auto served = log.rfind("serving it");
      const auto started = log.rfind("listens for links");
      if (served != std::string::npos && served > started && node->process().running()) return node;
    }
    return nullptr;
  }
  void start_all() {
    for (auto* node : {&a_, &b_, &c_}) node->start();
    EXPECT_TRUE(eventually(20s, [&] { return names() == "a b c" && server(); })) << names();
  }

  TestNode a_{*this, "a"};
  TestNode b_{*this, "b"};
  TestNode c_{*this, "c"};
};

TEST_F(PortMapper, IsServedByASurvivorWhenTheOneThatServesIsKilled) {
  start_all();
  auto slowest = 0ms;
  for (int kill = repetitions(3); kill > 0; --kill) {
    TestNode* dead = server();
    ASSERT_NE(dead, nullptr);
    std::string left = "a b c ";
    left.erase(left.find(dead->name().substr(0, 1)), 2);
    left.pop_back();
    const auto before = std::chrono::steady_clock::now();
    dead->process().kill_hard();
    EXPECT_TRUE(eventually(10s, [&] { return names() == left; })) << names() << ", not " << left;
    slowest = std::max(slowest, std::chrono::duration_cast<std::chrono::milliseconds>(
                                    std::chrono::steady_clock::now() - before));
    dead->start();
    EXPECT_TRUE(eventually(20s, [&] { return names() == "a b c" && server(); })) << names();
  }
  std::cout << "all registered again after at most " << slowest.count() << " ms\n";
}

TEST_F(PortMapper, ForgetsAKilledNodeAndKeepsOneThatStandsStill) {
  start_all();
  std::vector<TestNode*> others;
  for (auto* node : {&a_, &b_, &c_})
    if (node != server()) others.push_back(node);
  others.at(0)->process().signal(SIGSTOP);
  EXPECT_TRUE(eventually(5s, [&] { return !server()->sees(*others[0]); }));
  EXPECT_EQ(names(), "a b c");
  others.at(1)->process().kill_hard();
  EXPECT_TRUE(eventually(5s, [&] { return names().size() == 3; })) << names();
  EXPECT_EQ(names().find(others[1]->name().substr(0, 1)), std::string::npos) << names();
  others[0]->process().signal(SIGCONT);
}

TEST_F(PortMapper, FindsAllOfThisHostsNodesForLocalEpmd) {
  configure("topologies: {here: {strategy: local_epmd, config: {polling_interval: 200ms}}}");
  for (auto* node : {&a_, &b_, &c_}) node->start();
  EXPECT_TRUE(form_a_mesh({&a_, &b_, &c_}));
  TestNode* dead = server();
  ASSERT_NE(dead, nullptr);
  dead->process().kill_hard();
  dead->start();
  EXPECT_TRUE(form_a_mesh({&a_, &b_, &c_}));
}

}  // namespace
}  // namespace muster::testing
