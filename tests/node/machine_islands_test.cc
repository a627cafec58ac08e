// SPDX-License-Identifier: MIT
//
// Who is down, who is in the island, and when a node says so.
#include <algorithm>

#include "node/machine_net.h"

namespace muster::node::test {
namespace {

using Kind = NodeEvent::Kind;
using Names = std::vector<std::string>;

void start(Net& net, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) {
    const auto host = net.add(std::string(1, static_cast<char>('a' + i)));
    net.host(host).options.allow_faults = true;
    net.boot(host);
    if (i > 0) net.connect(host, 0);
  }
  ASSERT_TRUE(net.run_until([&] { return net.meshed(); }));
  net.run(1s);
}

TEST(NodeIslands, ASilentNodeIsDownWithinTwoSeconds) {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Net net(seed);
    start(net, 5);
    net.run(std::chrono::microseconds(net.random(1'000'000)));
    const Duration from = net.elapsed();
    for (std::size_t i = 0; i < 4; ++i) net.separate(4, i);
    net.run(2s);
    for (std::size_t i = 0; i < 4; ++i) {
      ASSERT_EQ(net.host(i).count(Kind::nodedown, "e"), 1);
      EXPECT_EQ(net.host(i).last(Kind::nodedown)->reason, DownReason::silent);
      EXPECT_EQ(net[i].island().size(), 4u);
      EXPECT_GE(net.host(i).event_times.back() - from, 1s);
    }
    EXPECT_EQ(net.island(4), Names{"e"});
  }
}

TEST(NodeIslands, ASuspicionIsAFewWordsOfEachToEach) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Net net(seed);
    const std::size_t size = 3 + seed % 3;
    for (std::size_t i = 0; i < size; ++i) net.boot(net.add("n" + std::to_string(i)));
    for (std::size_t i = 1; i < size; ++i) net.connect(i, 0);
    ASSERT_TRUE(net.run_until([&] { return net.meshed(); }));
    net.run(5s);
    const auto heard_within_3_s = [&] {
      const std::uint64_t before = net[0].counters().frames_in;
      net.run(3s);
      return net[0].counters().frames_in - before;
    };
    const std::uint64_t usual = heard_within_3_s();
    net.pause(size - 1);
    EXPECT_LE(heard_within_3_s(), usual + 12 * size);
    EXPECT_EQ(net.host(0).count(Kind::nodedown, "n" + std::to_string(size - 1)), 1);
  }
}

TEST(NodeIslands, APauseShorterThanTheDeadlineAccusesNobody) {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Net net(seed);
    start(net, 4);
    net.run(std::chrono::microseconds(net.random(1'000'000)));
    net.pause(1);
    net.run(std::chrono::milliseconds(200 + net.random(1250)));
    net.resume(1);
    net.run(3s);
    for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(net.host(i).count(Kind::nodedown), 0);
  }
}

/// Node 4 hears all, but nothing of what it says comes through to the others for so long, and for
/// longer to node 0.
void muffle(Net& net, Duration others, Duration first) {
  net.run(std::chrono::microseconds(net.random(1'000'000)));
  for (std::size_t i = 1; i < 4; ++i) net.stall(4, i, others);
  net.stall(4, 0, first);
}

// The deadline of a silence that others confirm is 1.5 s, of one that the suspect contradicts
// 2.5 s; the others hear nothing of it but the contradiction.
TEST(NodeIslands, WhoeverContradictsASuspicionIsNotDown) {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Net net(seed);
    start(net, 5);
    muffle(net, 1s, 2200ms);
    net.run(2100ms);
    ASSERT_EQ(net[0].counters().suspicions, 1u);
    net.run(5s);
    for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(net.host(i).count(Kind::nodedown), 0);
    EXPECT_TRUE(net.meshed());
  }
}

TEST(NodeIslands, WhoseContradictionDoesNotComeThroughIsDown) {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Net net(seed);
    start(net, 5);
    muffle(net, 2200ms, 2200ms);
    net.run(2100ms);
    for (std::size_t i = 0; i < 4; ++i) {
      ASSERT_EQ(net.host(i).count(Kind::nodedown, "e"), 1);
      EXPECT_EQ(net.island(i).size(), 4u);
    }
    EXPECT_TRUE(net.run_until([&] { return net.meshed(); }, 14s));
  }
}

TEST(NodeIslands, ANodeThatStoodStillAccusesNobody) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Net net(seed);
    start(net, 4);
    net.pause(1);
    net.run(30s);
    for (const std::size_t i : {0u, 2u, 3u})
      EXPECT_EQ(net.host(i).last(Kind::nodedown)->reason, DownReason::silent);
    net.resume(1);
    ASSERT_TRUE(net.run_until([&] { return net.meshed(); }, 14s));
    // It learned from the others that the links are closed; it called nobody silent.
    for (const NodeEvent& event : net.host(1).events)
      EXPECT_FALSE(event.kind == Kind::nodedown && event.reason == DownReason::silent);
    EXPECT_GE(net[1].counters().stalls, 1u);
  }
}

TEST(NodeIslands, AClosedLinkIsSeenAtOnce) {
  Net net(1);
  start(net, 3);
  net.crash(2);
  net.run(5ms);
  EXPECT_EQ(net.host(0).last(Kind::nodedown)->reason, DownReason::closed);
  EXPECT_EQ(net.island(0).size(), 2u);
}

TEST(NodeIslands, TwoNodesThatShareANeighbourAreNotSplit) {
  Net net(2);
  start(net, 4);
  net.separate(0, 1);
  net.run(10s);
  EXPECT_EQ(net[0].connected().size(), 2u);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(net[i].island().size(), 4u);
    EXPECT_FALSE(net[i].linked(net[0].self().boot, net[1].self().boot));
    EXPECT_TRUE(net[i].linked(net[0].self().boot, net[2].self().boot));
  }
  // Those between told that they still hear it.
  EXPECT_EQ(net.host(0).count(Kind::nodedown, "b", "only the link may be broken"), 1);
  // The bridge breaks as well: now they are apart.
  net.separate(0, 2);
  net.separate(0, 3);
  net.run(3s);
  EXPECT_EQ(net.island(0), Names{"a"});
  EXPECT_EQ(net.island(1).size(), 3u);
}

TEST(NodeIslands, AOneWayCutTakesTheLinkDownOnBothSides) {
  Net net(3);
  start(net, 3);
  net.block(0, 1);
  net.run(3s);
  EXPECT_EQ(net.host(0).count(Kind::nodedown, "b"), 1);
  EXPECT_EQ(net.host(1).count(Kind::nodedown, "a"), 1);
  EXPECT_EQ(net[0].island().size(), 3u);
}

TEST(NodeIslands, ThreeIslandsEachHaveOneOldestAndJoinAgain) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Net net(seed);
    start(net, 7);
    const auto part = [](std::size_t i) { return i % 3; };
    for (std::size_t a = 0; a < 7; ++a) {
      for (std::size_t b = 0; b < a; ++b) {
        if (part(a) != part(b)) net.separate(a, b);
      }
    }
    net.run(4s);
    for (std::size_t i = 0; i < 7; ++i) {
      EXPECT_EQ(net[i].island(), net[part(i)].island());
      EXPECT_EQ(net[i].island().size(), part(i) == 0 ? 3u : 2u);
      EXPECT_EQ(net.host(i).last(Kind::island)->detail.substr(0, 8), "island: ");
    }
    for (std::size_t a = 0; a < 7; ++a) {
      for (std::size_t b = 0; b < a; ++b) net.separate(a, b, false);
    }
    ASSERT_TRUE(net.run_until([&] { return net.meshed(); }, 14s));
    for (std::size_t i = 0; i < 7; ++i) EXPECT_EQ(net[i].island(), net[0].island());
  }
}

TEST(NodeIslands, AChainOfLinksIsOneIsland) {
  Net net(4);
  for (std::size_t i = 0; i < 5; ++i) net.add(std::string(1, static_cast<char>('a' + i)));
  for (std::size_t a = 0; a < 5; ++a) {
    for (std::size_t b = 0; b + 1 < a; ++b) net.separate(a, b);
  }
  for (std::size_t i = 0; i < 5; ++i) net.boot(i);
  for (std::size_t i = 1; i < 5; ++i) net.connect(i, i - 1);
  net.run(3s);
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(net[i].island().size(), 5u);
    EXPECT_EQ(net[i].island(), net[0].island());
    EXPECT_EQ(net[i].membership().nodes, net[0].membership().nodes);
  }
  net.separate(2, 3);
  net.run(3s);
  EXPECT_EQ(net[0].island().size(), 3u);
  EXPECT_EQ(net[4].island().size(), 2u);
}

TEST(NodeFaults, ACutNeedsTheSwitchAndHealsAtOnce) {
  Net net(5);
  start(net, 2);
  net.host(0).options.allow_faults = false;
  net.crash(0);
  net.boot(0);
  ASSERT_TRUE(net.run_until([&] { return net.meshed(); }));
  const auto refused = net[0].cut(net.now(0), name_of("b@127.0.0.1"));
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().text().find("--allow-fault-injection"), std::string::npos);
  // b has the switch.
  EXPECT_TRUE(net[1].cut(net.now(1), name_of("a@127.0.0.1")));
  net.run(1s);
  EXPECT_EQ(net[0].connected().size(), 1u);  // Silent: nobody knows yet.
  net.run(1s);
  // Whoever notices first closes the link; the other may hear that.
  const auto silent = [&](std::size_t i) {
    return net.host(i).last(Kind::nodedown)->reason == DownReason::silent;
  };
  EXPECT_TRUE(silent(0) || silent(1));
  net.run(30s);
  EXPECT_TRUE(net[0].connected().empty());
  std::string reason;
  net.connect(1, 0, [&](Now, const ConnectOutcome& outcome) { reason = outcome.reason; });
  EXPECT_EQ(reason, "cut off by fault injection");
  net[1].heal(net.now(1));
  net.rearm(1);
  EXPECT_TRUE(net.run_until([&] { return net.meshed(); }, 1s));
}

TEST(NodeFaults, ACutHealedBeforeItWasNoticedBeginsTheLinkAnew) {
  Net net(6);
  start(net, 2);
  EXPECT_TRUE(net[1].cut(net.now(1), name_of("a@127.0.0.1")));
  net.run(600ms);
  net[1].heal(net.now(1));
  net.rearm(1);
  net.run(1s);
  EXPECT_TRUE(net.meshed());
  // The stream had a hole; nobody goes on with it.
  EXPECT_EQ(net.host(0).count(Kind::nodeup), net.host(1).count(Kind::nodeup));
  EXPECT_GE(net.host(0).count(Kind::nodedown), 1);
}

}  // namespace
}  // namespace muster::node::test
