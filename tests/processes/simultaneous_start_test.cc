// SPDX-License-Identifier: MIT
// Two nodes that know nothing start at the same moment, are written to before they have settled who
// begins, and one of them is killed: no acknowledged write may be missing.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "cluster.h"

namespace muster::testing {
namespace {

using namespace std::chrono_literals;

// Writes to one node as soon and as long as that takes writes, through restarts.
class Writer {
 public:
  explicit Writer(const TestNode& node)
      : prefix_(node.name() + ":"), port_(node.redis_port()), thread_([this](const auto& stop) {
          while (!stop.stop_requested()) converse(stop);
        }) {}

  [[nodiscard]] bool has_begun() const { return acknowledged_ > 0; }
  // The keys of all acknowledged writes; no more are made.
  std::vector<std::string> finish() {
    thread_.request_stop();
    thread_.join();
    return keys_;
  }

 private:
  void converse(const std::stop_token& stop) {
    RedisClient client(port_);
    while (!stop.stop_requested()) {
      const std::string key = prefix_ + std::to_string(next_++);
      const std::string answer = client.ask({"SET", key, key});
      if (answer == "+OK") {
        keys_.push_back(key);
        ++acknowledged_;
        continue;
      }
      pause_briefly();
      if (answer.starts_with('!')) return;
    }
  }

  const std::string prefix_;
  const std::uint16_t port_;
  int next_ = 0;
  std::vector<std::string> keys_;
  std::atomic<int> acknowledged_ = 0;
  std::jthread thread_;
};

class SimultaneousStart : public Cluster {
 protected:
  struct Pair {
    Pair(Cluster& cluster, int number)
        : a(cluster, "a" + std::to_string(number)), b(cluster, "b" + std::to_string(number)) {}
    TestNode a;
    TestNode b;
  };

  // "" or a few of those that the node does not have.
  static std::string missing(const TestNode& node, const std::vector<std::string>& keys) {
    RedisClient client(node.redis_port());
    std::string some;
    std::size_t count = 0;
    for (const auto& key : keys) {
      const std::string answer = client.ask({"GET", key});
      if (answer != key && ++count <= 3) some += " " + key + " (" + answer + ")";
    }
    if (count == 0) return {};
    return std::to_string(count) + " of " + std::to_string(keys.size()) + ":" + some;
  }

  void try_once(int number, const std::string& durability, std::chrono::milliseconds kill_after) {
    Pair pair(*this, number);
    configure_static({"a" + std::to_string(number), "b" + std::to_string(number)},
                     "ttl: 1h, on_split: merge, durability: " + durability);
    pair.a.start();
    pair.b.start();
    Writer to_a(pair.a), to_b(pair.b);
    EXPECT_TRUE(eventually(10s, [&] { return to_a.has_begun() || to_b.has_begun(); }));
    if (durability == "async") {
      // What one alone acknowledged within its last 100 ms may be lost with it.
      EXPECT_TRUE(eventually(10s, [&] { return to_a.has_begun() && to_b.has_begun(); }));
    }
    (void)eventually(kill_after, [] { return false; });
    TestNode& victim = number % 2 == 0 ? pair.a : pair.b;
    victim.process().kill_hard();
    victim.start_ready();
    std::vector<std::string> keys = to_a.finish();
    for (auto& key : to_b.finish()) keys.push_back(std::move(key));
    ASSERT_TRUE(form_a_mesh({&pair.a, &pair.b}));
    for (const auto* node : {&pair.a, &pair.b}) {
      EXPECT_TRUE(eventually(5s, [&] { return missing(*node, keys).empty(); }))
          << node->name() << " lacks " << missing(*node, keys) << "; " << victim.name()
          << " was killed after " << kill_after.count() << " ms";
    }
  }
};

TEST_F(SimultaneousStart, LosesNoAcknowledgedWriteWhenOneIsKilledAtOnce) {
  const int tries = std::max(2, repetitions(20) / 10);
  for (int number = 0; number < tries && !HasFailure(); ++number) {
    try_once(number, "sync", std::chrono::milliseconds(number * 47 % 150));
  }
}

TEST_F(SimultaneousStart, LosesNoAcknowledgedWriteWhenOneIsKilledOnceBothAreReady) {
  const int tries = std::max(2, repetitions(20) / 10);
  for (int number = 0; number < tries && !HasFailure(); ++number) {
    try_once(number, "async", std::chrono::milliseconds(300 + number * 47 % 150));
  }
}

}  // namespace
}  // namespace muster::testing
