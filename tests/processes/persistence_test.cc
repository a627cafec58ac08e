// SPDX-License-Identifier: MIT
// What a node remembers: restarts, alone and into a cluster; deaths at any moment.
#include <gtest/gtest.h>

#include <thread>

#include "cluster.h"

namespace muster::testing {
namespace {

using namespace std::chrono_literals;

class Persistence : public Cluster {
 protected:
  TestNode a_{*this, "a"};
  TestNode b_{*this, "b"};
};

std::string key(int number) { return "key:" + std::to_string(number); }
std::string value(int number) { return "value " + std::to_string(number); }

// Writes from `first` on until the connection breaks; the number after the last acknowledged.
int write_until_it_dies(std::uint16_t port, int first) {
  RedisClient client(port);
  int next = first;
  while (client.ask({"SET", key(next), value(next)}) == "+OK") ++next;
  return next;
}

int missing(const TestNode& node, int end) {
  RedisClient client(node.redis_port());
  int count = 0;
  for (int number = 0; number < end; ++number) {
    count += client.ask({"GET", key(number)}) != value(number);
  }
  return count;
}

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

TEST_F(Persistence, LosesNoAcknowledgedWriteWhenOneOfTwoIsKilled) {
  configure_static({"a", "b"}, "ttl: 1h, on_split: merge");
  a_.start_ready();
  b_.start_ready();
  ASSERT_TRUE(form_a_cluster({&a_, &b_}));
  int written = 0;
  for (int round = 0; round < repetitions(5); ++round) {
    auto& victim = round % 2 == 0 ? a_ : b_;
    const auto& survivor = round % 2 == 0 ? b_ : a_;
    written = write_and_kill(victim, written, round);
    victim.process().kill_hard();
    ASSERT_EQ(missing(survivor, written), 0) << "after " << round + 1 << " kills";
    victim.start_ready();
    ASSERT_TRUE(form_a_cluster({&a_, &b_}));
    ASSERT_EQ(missing(victim, written), 0) << "after " << round + 1 << " restarts";
  }
  EXPECT_GT(written, 0);
}

}  // namespace
}  // namespace muster::testing
