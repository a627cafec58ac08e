// SPDX-License-Identifier: MIT
//
// A process that stood still longer than the others wait has missed what they did without it: it
// serves nothing of what it knew before it has asked them.
#include <gtest/gtest.h>

#include <csignal>

#include "cluster.h"

namespace muster::testing {
namespace {

using namespace std::chrono_literals;

class Frozen : public Cluster {};

TEST_F(Frozen, ServesNothingStaleWhenItThaws) {
  TestNode a(*this, "a");
  TestNode b(*this, "b");
  configure_static({"a", "b"});
  a.start_ready();
  b.start_ready();
  ASSERT_TRUE(form_a_cluster({&a, &b}));
  for (int round = 1; round <= repetitions(5); ++round) {
    const std::string before = std::to_string(round) + " before";
    const std::string after = std::to_string(round) + " after";
    ASSERT_TRUE(eventually(20s, [&] { return a.redis({"SET", "key", before}) == "+OK"; }));
    ASSERT_TRUE(eventually(20s, [&] { return b.redis({"GET", "key"}) == before; }));
    std::vector<std::unique_ptr<RedisClient>> waiting;
    for (int client = 0; client < 20; ++client) {
      waiting.push_back(std::make_unique<RedisClient>(b.redis_port()));
      ASSERT_EQ(waiting.back()->ask({"PING"}), "+PONG");
    }
    b.process().signal(SIGSTOP);
    EXPECT_TRUE(eventually(20s, [&] { return !a.sees(b); }));
    EXPECT_TRUE(eventually(20s, [&] { return a.redis({"SET", "key", after}) == "+OK"; }));
    // They ask while it stands still, so that its first acts are to answer.
    for (const auto& client : waiting) client->send({"GET", "key"});
    b.process().signal(SIGCONT);
    for (const auto& client : waiting) {
      const std::string reply = client->read_reply();
      EXPECT_TRUE(reply == after || reply.starts_with("-LOADING")) << reply;
    }
    EXPECT_TRUE(eventually(20s, [&] { return b.redis({"GET", "key"}) == after; }));
    ASSERT_TRUE(form_a_mesh({&a, &b}));
  }
}

}  // namespace
}  // namespace muster::testing
