// SPDX-License-Identifier: MIT
// What a node remembers: restarts, alone and into a cluster; deaths at any moment.
#include <gtest/gtest.h>

#include <array>
#include <iostream>
#include <thread>

#include "cluster.h"

namespace muster::testing {
namespace {

using namespace std::chrono_literals;

std::string key(int number) { return "key:" + std::to_string(number); }
std::string value(int number) { return "value " + std::to_string(number); }

// Writes from `first` on until the connection breaks; the number after the last acknowledged.
int write_until_it_dies(std::uint16_t port, int first) {
  RedisClient client(port);
  int next = first;
  while (client.ask({"SET", key(next), value(next)}) == "+OK") ++next;
  return next;
}

int missing(const TestNode& node, int end, int first = 0) {
  RedisClient client(node.redis_port());
  int count = 0;
  for (int number = first; number < end; ++number) {
    count += client.ask({"GET", key(number)}) != value(number);
  }
  return count;
}

class Persistence : public Cluster {
 protected:
  TestNode a_{*this, "a"};
  TestNode b_{*this, "b"};
  TestNode c_{*this, "c"};
  const std::array<TestNode*, 3> all_{&a_, &b_, &c_};

  /// In the end: what the one that was killed last acknowledged alone, the others get from it.
  void expect_on_all(int end, int first) const {
    for (const auto* node : all_) {
      ASSERT_TRUE(eventually(10s, [&] { return missing(*node, end, first) == 0; }))
          << missing(*node, end, first) << " on " << node->name();
    }
  }
};

// Kills the node after a while that differs each time, in the midst of writes.
int write_and_kill(TestNode& node, int first, int round) {
  std::jthread killer([&node, round] {
    (void)eventually(std::chrono::milliseconds(60 + 37 * (round % 11)), [] { return false; });
    node.process().signal(SIGKILL);
  });
  return write_until_it_dies(node.redis_port(), first);
}

TEST_F(Persistence, StartsAloneWithWhatItKnew) {
  a_.start_ready();
  EXPECT_EQ(a_.redis({"SET", "token", "ada"}), "+OK");
  a_.process().signal(SIGTERM);
  ASSERT_EQ(a_.process().wait(10s), 0);
  a_.start_ready();
  EXPECT_EQ(a_.redis({"GET", "token"}), "ada");
  EXPECT_GE(a_.count_in_log("is ready on a@127.0.0.1: alone, "), 1u);
}

TEST_F(Persistence, BootsAloneAlsoWhenItWasStoppedFirst) {
  a_.start_ready();
  b_.start_ready();
  ASSERT_TRUE(form_a_cluster({&a_, &b_}));
  EXPECT_EQ(b_.redis({"SET", "token", "ada"}), "+OK");
  for (auto* node : {&a_, &b_}) {
    node->process().signal(SIGTERM);
    ASSERT_EQ(node->process().wait(10s), 0);
  }
  a_.start_ready();
  EXPECT_EQ(a_.redis({"GET", "token"}), "ada");
}

TEST_F(Persistence, CatchesUpWithWhatItMissedBeforeItIsReady) {
  a_.start_ready();
  b_.start_ready();
  ASSERT_TRUE(form_a_cluster({&a_, &b_}));
  EXPECT_EQ(a_.redis({"SET", "old", "1"}), "+OK");
  EXPECT_EQ(a_.redis({"SET", "gone", "1"}), "+OK");
  b_.process().kill_hard();
  ASSERT_TRUE(eventually(5s, [&] { return !a_.sees(b_); }));
  EXPECT_EQ(a_.redis({"SET", "new", "2"}), "+OK");
  EXPECT_EQ(a_.redis({"DEL", "gone"}), ":1");
  b_.start_ready();
  EXPECT_EQ(b_.redis({"GET", "old"}), "1");
  EXPECT_EQ(b_.redis({"GET", "new"}), "2");
  EXPECT_EQ(b_.redis({"GET", "gone"}), "(nil)");
}

TEST_F(Persistence, LosesNoAcknowledgedWriteWhenKilledWithDurabilitySync) {
  configure_static({"a"}, "ttl: 1h, durability: sync");
  int written = 0;
  for (int round = 0; round < repetitions(5); ++round) {
    a_.start_ready();
    ASSERT_EQ(missing(a_, written), 0) << "after " << round << " kills";
    written = write_and_kill(a_, written, round);
    a_.process().kill_hard();
  }
  a_.start_ready();
  EXPECT_GT(written, 0);
  EXPECT_EQ(missing(a_, written), 0);
}

TEST_F(Persistence, LosesNoAcknowledgedWriteWhenOneOfThreeIsKilled) {
  configure_static({"a", "b", "c"}, "ttl: 1h, on_split: merge");
  for (auto* node : all_) node->start_ready();
  ASSERT_TRUE(form_a_cluster({&a_, &b_, &c_}));
  int written = 0;
  for (int round = 0; round < repetitions(4); ++round) {
    TestNode& victim = *all_[static_cast<std::size_t>(round) % all_.size()];
    written = write_and_kill(victim, written, round);
    victim.process().kill_hard();
    for (const auto* node : all_) {
      if (node == &victim) continue;
      ASSERT_EQ(missing(*node, written), 0) << node->name() << ", kill " << round + 1;
    }
    victim.start_ready();
    ASSERT_TRUE(form_a_cluster({&a_, &b_, &c_}));
    ASSERT_EQ(missing(victim, written), 0) << "after " << round + 1 << " restarts";
  }
  EXPECT_GT(written, 0);
}

TEST_F(Persistence, LosesNoAcknowledgedWriteWhenAllAreKilledAtOnceWithDurabilitySync) {
  configure_static({"a", "b", "c"}, "ttl: 1h, durability: sync, on_split: merge");
  constexpr int range = 1'000'000;  // Each node's client has numbers of its own.
  std::array<int, 3> written{0, range, 2 * range};
  for (int round = 0; round < repetitions(3); ++round) {
    for (auto* node : all_) node->start_ready();
    ASSERT_TRUE(form_a_cluster({&a_, &b_, &c_}));
    for (std::size_t i = 0; i < all_.size(); ++i) {
      const int first = static_cast<int>(i) * range;
      ASSERT_NO_FATAL_FAILURE(expect_on_all(written[i], first)) << "kill " << round;
    }
    {
      std::vector<std::jthread> clients;
      for (std::size_t i = 0; i < all_.size(); ++i) {
        clients.emplace_back([this, i, &written] {
          written[i] = write_until_it_dies(all_[i]->redis_port(), written[i]);
        });
      }
      (void)eventually(std::chrono::milliseconds(200 + 37 * (round % 11)), [] { return false; });
      for (auto* node : all_) node->process().signal(SIGKILL);
    }
    for (auto* node : all_) node->process().kill_hard();
  }
  for (auto* node : all_) node->start_ready();
  ASSERT_TRUE(form_a_cluster({&a_, &b_, &c_}));
  for (std::size_t i = 0; i < all_.size(); ++i) {
    EXPECT_GT(written[i], static_cast<int>(i) * range);
    expect_on_all(written[i], static_cast<int>(i) * range);
  }
}

TEST_F(Persistence, ServesAHundredThousandKeysSoonAfterItWasKilled) {
  configure_static({"a"}, "ttl: 1h, durability: sync");
  a_.start_ready();
  RedisClient client(a_.redis_port());
  for (int first = 0; first < 100'000; first += 1'000) {
    std::vector<std::string> command{"MSET"};
    for (int number = first; number < first + 1'000; ++number) {
      command.insert(command.end(), {key(number), value(number) + std::string(200, 'v')});
    }
    ASSERT_EQ(client.ask(command), "+OK");
  }
  a_.process().kill_hard();
  const auto killed = std::chrono::steady_clock::now();
  a_.start_ready();
  EXPECT_EQ(a_.redis({"GET", key(99'999)}), value(99'999) + std::string(200, 'v'));
  const auto took = std::chrono::steady_clock::now() - killed;
  EXPECT_EQ(a_.redis({"DBSIZE"}), ":100000");
  std::cout << "served " << std::chrono::duration_cast<std::chrono::milliseconds>(took).count()
            << " ms after its start\n";
}

TEST_F(Persistence, KeepsValuesOnDiskAloneWhereItIsToldTo) {
  configure_static({"a", "b"}, "storage: disc_only_copies, ttl: 1h, on_split: merge");
  a_.start_ready();
  b_.start_ready();
  ASSERT_TRUE(form_a_cluster({&a_, &b_}));
  int written = 0;
  for (int round = 0; round < repetitions(2); ++round) {
    auto& victim = round % 2 == 0 ? a_ : b_;
    const auto& survivor = round % 2 == 0 ? b_ : a_;
    written = write_and_kill(victim, written, round);
    victim.process().kill_hard();
    ASSERT_EQ(missing(survivor, written), 0) << "after " << round + 1 << " kills";
    victim.start_ready();
    ASSERT_TRUE(form_a_cluster({&a_, &b_}));
    ASSERT_EQ(missing(victim, written), 0) << "after " << round + 1 << " restarts";
  }
  EXPECT_EQ(a_.table().at("storage").as_string(), "disc_only_copies");
  EXPECT_EQ(a_.redis({"EXPIRE", key(0), "1000"}), ":1");
  EXPECT_EQ(b_.redis({"GET", key(0)}), value(0));
  EXPECT_EQ(b_.redis({"GETDEL", key(1)}), value(1));
  EXPECT_EQ(a_.redis({"GET", key(1)}), "(nil)");
}

}  // namespace
}  // namespace muster::testing
