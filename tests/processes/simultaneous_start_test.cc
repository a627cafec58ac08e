// SPDX-License-Identifier: MIT
// Two nodes that know nothing start at the same moment, are written to before they have settled who
// begins, and one of them is killed: no acknowledged write may be missing.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "cluster.h"

namespace muster::testing {
namespace {

using namespace std::chrono_literals;

using Clock = std::chrono::steady_clock;

struct Acknowledged {
  std::string key;
  Clock::time_point at;
};

// Writes to one node as soon and as long as that takes writes, through restarts.
class Writer {
 public:
  explicit Writer(const TestNode& node)
      : prefix_(node.name() + ":"), port_(node.redis_port()), thread_([this](const auto& stop) {
          while (!stop.stop_requested()) converse(stop);
        }) {}

  [[nodiscard]] bool has_begun() const { return begun_; }
  // All acknowledged writes; no more are made.
  std::vector<Acknowledged> finish() {
    thread_.request_stop();
    thread_.join();
    return acknowledged_;
  }

 private:
  void converse(const std::stop_token& stop) {
    RedisClient client(port_);
    while (!stop.stop_requested()) {
      const std::string key = prefix_ + std::to_string(next_++);
      const std::string answer = client.ask({"SET", key, key});
      if (answer == "+OK") {
        acknowledged_.push_back({key, Clock::now()});
        begun_ = true;
        continue;
      }
      pause_briefly();
      if (answer.starts_with('!')) return;
    }
  }

  const std::string prefix_;
  const std::uint16_t port_;
  int next_ = 0;
  std::vector<Acknowledged> acknowledged_;
  std::atomic<bool> begun_ = false;
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

  // "" or how many of them the node does not have, and a few of those.
  static std::string missing(const TestNode& node, const std::vector<Acknowledged>& writes,
                             Clock::time_point killed) {
    RedisClient client(node.redis_port());
    std::string some;
    std::size_t count = 0;
    for (const auto& [key, at] : writes) {
      const std::string answer = client.ask({"GET", key});
      if (answer == key || ++count > 3) continue;
      const auto since = std::chrono::duration_cast<std::chrono::microseconds>(at - killed);
      some += " " + key + " (" + answer + ", acknowledged " + std::to_string(since.count()) +
              " us after the kill)";
    }
    if (count == 0) return {};
    return std::to_string(count) + " of " + std::to_string(writes.size()) + ":" + some;
  }

  // Both are ready, and each counts the other's copy.
  static bool are_together(const Pair& pair) {
    const std::string both = pair.a.name() + " " + pair.b.name();
    const auto counts_both = [&](const TestNode& node) {
      const auto table = node.table();
      return node.ready() && node.replicas() == both && !table.empty() &&
             table.at("apart").as_array().empty();
    };
    return counts_both(pair.a) && counts_both(pair.b);
  }

  static std::size_t founders(const Pair& pair) {
    return pair.a.count_in_log("initiated on") + pair.b.count_in_log("initiated on");
  }

  void try_once(int number, const std::string& durability, std::chrono::milliseconds kill_after) {
    Pair pair(*this, number);
    configure_static({"a" + std::to_string(number), "b" + std::to_string(number)},
                     "ttl: 1h, on_split: merge, durability: " + durability);
    pair.a.start();
    pair.b.start();
    Writer to_a(pair.a), to_b(pair.b);
    EXPECT_TRUE(eventually(10s, [&] { return to_a.has_begun() || to_b.has_begun(); }));
    auto promised_since = Clock::time_point::min();
    if (durability == "async") {
      EXPECT_TRUE(eventually(10s, [&] { return are_together(pair); }));
      // What one alone acknowledged is lost with it as long as its disk does not have it; of two
      // that began alone the one may not have the other's beginning yet.
      if (founders(pair) > 1) promised_since = Clock::now();
    }
    (void)eventually(kill_after, [] { return false; });
    TestNode& victim = number % 2 == 0 ? pair.a : pair.b;
    victim.process().signal(SIGKILL);
    const auto killed = Clock::now();
    victim.process().kill_hard();
    victim.start_ready();
    auto writes = to_a.finish();
    for (auto& write : to_b.finish()) writes.push_back(std::move(write));
    std::erase_if(writes, [&](const Acknowledged& write) { return write.at < promised_since; });
    ASSERT_TRUE(form_a_mesh({&pair.a, &pair.b}));
    ASSERT_TRUE(eventually(10s, [&] { return pair.a.ready() && pair.b.ready(); }));
    for (const auto* node : {&pair.a, &pair.b}) {
      EXPECT_TRUE(eventually(5s, [&] { return missing(*node, writes, killed).empty(); }))
          << node->name() << " lacks " << missing(*node, writes, killed) << "; " << victim.name()
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

TEST_F(SimultaneousStart, LosesNoAcknowledgedWriteWhenOneIsKilledOnceBothAreTogether) {
  const int tries = std::max(2, repetitions(20) / 10);
  for (int number = 0; number < tries && !HasFailure(); ++number) {
    try_once(number, "async", std::chrono::milliseconds(100 + number * 47 % 150));
  }
}

}  // namespace
}  // namespace muster::testing
