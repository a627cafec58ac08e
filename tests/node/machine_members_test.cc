// SPDX-License-Identifier: MIT
//
// Membership, ordinals and the oldest, over lives of nodes.
#include <algorithm>

#include "node/machine_net.h"

namespace muster::node::test {
namespace {

using Kind = NodeEvent::Kind;

void expect_agreement(Net& net) {
  std::optional<std::size_t> first;
  for (std::size_t i = 0; i < net.size(); ++i) {
    if (!net.is_up(i)) continue;
    if (!first) first = i;
    EXPECT_EQ(net[i].island(), net[*first].island());
    EXPECT_EQ(net[i].membership().nodes, net[*first].membership().nodes);
    EXPECT_EQ(net.host(i).disk.membership.nodes, net[i].membership().nodes);
    for (const Member& member : net[i].island()) {
      EXPECT_EQ(net[i].membership().nodes.at(member.name).newest, member.seniority());
      EXPECT_TRUE(net[i].membership().nodes.at(member.name).admitted());
    }
  }
}

TEST(NodeMembers, NewcomersComeAfterAllThatAreKnown) {
  Net net(1);
  for (const char* name : {"a", "b", "c", "d"}) net.add(name);
  net.boot(0);
  net.boot(1);
  net.connect(1, 0);
  ASSERT_TRUE(net.run_until([&] { return net.meshed(); }));
  // Two that knew nobody: both keep 1, the boot id decides.
  EXPECT_EQ(net[0].self().ordinal, 1u);
  EXPECT_EQ(net[1].self().ordinal, 1u);
  net.boot(2);
  net.connect(2, 1);
  ASSERT_TRUE(net.run_until([&] { return net.meshed(); }));
  EXPECT_EQ(net[2].self().ordinal, 2u);
  net.boot(3);
  net.connect(3, 0);
  ASSERT_TRUE(net.run_until([&] { return net.meshed(); }));
  EXPECT_EQ(net[3].self().ordinal, 3u);
  net.crash(0);
  net.run(100ms);
  net.boot(0);
  EXPECT_EQ(net[0].self().ordinal, 4u);
  ASSERT_TRUE(net.run_until([&] { return net.meshed(); }));
  EXPECT_EQ(net.island(2), (std::vector<std::string>{"b", "c", "d", "a"}));
  expect_agreement(net);
}

TEST(NodeMembers, WhoStoodAloneFirstIsOlderThanWhoCameLater) {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {  // whatever the boot ids
    Net net(seed);
    for (const char* name : {"a", "b"}) net.add(name);
    net.boot(0);
    net.run(1100ms);
    net.boot(1);
    net.connect(seed % 2, 1 - seed % 2);
    ASSERT_TRUE(net.run_until([&] { return net.meshed(); }));
    EXPECT_EQ(net.island(1), (std::vector<std::string>{"a", "b"})) << seed;
    EXPECT_EQ(net[1].self().ordinal, 2u);
    expect_agreement(net);
  }
}

TEST(NodeMembers, ANodeWithoutItsDiskThatMetAnotherNewcomerFirstIsNotRefusedForEver) {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    SCOPED_TRACE(seed);
    Net net(seed);
    for (const char* name : {"a", "b", "c"}) net.add(name);
    net.boot(0);
    net.boot(1);
    net.connect(1, 0);
    ASSERT_TRUE(net.run_until([&] { return net.meshed(); }));
    net.crash(0);
    net.host(0).disk = {};
    net.separate(0, 1);
    net.boot(2);
    net.boot(0);
    net.connect(0, 2);
    net.run(2s);
    ASSERT_EQ(net.island(0).size(), 2u);
    net.separate(0, 1, false);
    net.connect(2, 1);
    ASSERT_TRUE(net.run_until([&] { return net.meshed(); }, 14s));
    net.run(1s);
    expect_agreement(net);
  }
}

TEST(NodeMembers, ARestartIsTheYoungestEvenWhenTheOthersWentOnWithoutIt) {
  Net net(2);
  for (const char* name : {"a", "b", "c", "d", "e"}) net.add(name);
  net.boot(0);
  net.boot(1);
  net.connect(1, 0);
  ASSERT_TRUE(net.run_until([&] { return net.meshed(); }));
  net.crash(0);
  for (const std::size_t i : {2u, 3u, 4u}) {
    net.boot(i);
    net.connect(i, 1);
    ASSERT_TRUE(net.run_until([&] { return net.meshed(); }));
  }
  net.boot(0);
  ASSERT_TRUE(net.run_until([&] { return net.meshed(); }));
  EXPECT_EQ(net.island(1).back(), "a");
  expect_agreement(net);
}

TEST(NodeMembers, AnOldDiskPutBackIsNotTakenForAnOldProcess) {
  Net net(3);
  for (const char* name : {"a", "b"}) net.boot(net.add(name));
  net.connect(1, 0);
  ASSERT_TRUE(net.run_until([&] { return net.meshed(); }));
  const NodeState backup = net.host(0).disk;
  for (int i = 0; i < 5; ++i) {
    net.crash(0);
    net.run(100ms);
    net.boot(0);
    ASSERT_TRUE(net.run_until([&] { return net.meshed(); }));
  }
  net.crash(0);
  net.host(0).disk = backup;
  net.boot(0);
  ASSERT_TRUE(net.run_until([&] { return net.meshed(); }));
  expect_agreement(net);
}

TEST(NodeMembers, AnAdmissionIsOnDiskBeforeItIsAnswered) {
  Net net(4);
  for (const char* name : {"a", "b"}) net.boot(net.add(name));
  net.connect(1, 0);
  while (net.host(1).count(Kind::nodeup) == 0) net.run(50us);
  EXPECT_TRUE(net.host(0).disk.membership.nodes.at(name_of("b@127.0.0.1")).admitted());
  EXPECT_TRUE(net.host(1).disk.membership.nodes.at(name_of("a@127.0.0.1")).admitted());
}

TEST(NodeMembers, OnlyAMajorityForgetsAndOnlyTheDead) {
  Net net(5);
  for (const char* name : {"a", "b", "c", "d", "e"}) net.boot(net.add(name));
  for (const std::size_t i : {1u, 2u, 3u, 4u}) net.connect(i, 0);
  ASSERT_TRUE(net.run_until([&] { return net.meshed(); }));
  const NodeName d = name_of("d@127.0.0.1");
  EXPECT_NE(net[0].forget(net.now(0), d).error().text().find("in this island"), std::string::npos);
  EXPECT_FALSE(net[0].forget(net.now(0), name_of("x@127.0.0.1")));
  net.crash(3);
  for (const std::size_t i : {1u, 2u, 4u}) net.separate(0, i);
  net.run(3s);
  EXPECT_NE(net[0].forget(net.now(0), d).error().text().find("no majority"), std::string::npos);
  EXPECT_TRUE(net[1].forget(net.now(1), d));
  net.rearm(1);
  net.run(1s);
  EXPECT_EQ(net.host(2).count(Kind::forgotten, "d"), 1);
  for (const std::size_t i : {1u, 2u, 4u}) net.separate(0, i, false);
  ASSERT_TRUE(net.run_until([&] { return net.meshed(); }, 14s));
  net.run(1s);
  EXPECT_EQ(net.host(0).count(Kind::forgotten, "d"), 1);
  expect_agreement(net);
  // It may come back: it is admitted anew.
  net.boot(3);
  ASSERT_TRUE(net.run_until([&] { return net.meshed(); }, 2s));
  EXPECT_EQ(net[0].membership().nodes.at(d).admissions, 3u);
  expect_agreement(net);
}

TEST(NodeMembers, ADayAfterItsDeathAMemberIsForgottenByAMajority) {
  Net net(6);
  for (const char* name : {"a", "b", "c"}) {
    net.add(name, [](NodeOptions& options) {
      options.forget_after = 10min;
      options.probe_every = 10s;  // Quiet, so that the day is short.
      options.silent_after = 60s;
    });
    net.boot(net.size() - 1);
  }
  net.connect(1, 0);
  net.connect(2, 0);
  ASSERT_TRUE(net.run_until([&] { return net.meshed(); }));
  net.crash(2);
  net.run(8min);
  EXPECT_TRUE(net[0].membership().nodes.at(name_of("c@127.0.0.1")).admitted());
  net.run(5min);
  for (const std::size_t i : {0u, 1u}) {
    EXPECT_EQ(net.host(i).count(Kind::forgotten, "c"), 1);
    EXPECT_FALSE(net[i].membership().nodes.at(name_of("c@127.0.0.1")).admitted());
  }
  net.crash(1);
  net.run(30min);  // Alone of two: no majority.
  EXPECT_TRUE(net[0].membership().nodes.at(name_of("b@127.0.0.1")).admitted());
}

TEST(NodeMembers, AgreeAfterRandomHistories) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Net net(seed);
    const std::size_t size = 2 + net.random(5);
    for (std::size_t i = 0; i < size; ++i) {
      net.add(std::string(1, static_cast<char>('a' + i)));
      net.host(i).skew = std::chrono::milliseconds(net.random(20'000)) - 10s;
    }
    const auto any = [&] { return net.random(size); };
    const auto stop = [&](std::size_t i) {
      if (net.host(i).machine) net.crash(i);
    };
    const auto begin = [&](std::size_t i) {
      if (net.host(i).machine) return;
      net.boot(i);
      net.connect(i, (i + 1 + net.random(size - 1)) % size);
    };
    for (int step = 0; step < 30; ++step) {
      const std::size_t i = any();
      switch (net.random(8)) {
        case 0:
        case 1:
        case 2:
          begin(i);
          break;
        case 3:
          stop(i);
          break;
        case 4:
          if (net.is_up(i)) net[i].leave(net.now(i));
          break;
        case 5:
          if (const std::size_t k = any(); k != i) net.separate(i, k);
          break;
        case 6:
          if (const std::size_t k = any(); k != i) net.separate(i, k, false);
          break;
        case 7:
          if (!net.host(i).machine && net.random(3) == 0) net.wipe(i);
          break;
      }
      net.run(std::chrono::microseconds(net.random(net.random(2) == 0 ? 3'000 : 3'000'000)));
    }
    for (std::size_t a = 0; a < size; ++a) {
      for (std::size_t b = 0; b < size; ++b) net.separate(a, b, false);
    }
    for (std::size_t i = 0; i < size; ++i) {
      if (net.host(i).machine && !net.is_up(i)) stop(i);
      begin(i);
    }
    // A topology asks again and again for what it lists.
    for (int pass = 0; pass < 10 && !net.meshed(); ++pass) {
      for (std::size_t i = 1; i < size; ++i) net.connect(i, i - 1);
      net.run(2s);
      // Who lost its disk and first met others without memory may seem older than its own past;
      // it is told what to do, and that helps.
      for (std::size_t i = 0; i < size; ++i) {
        if (pass == 3 && net.host(i).count(Kind::refused, "", "start this node anew") > 0) {
          net.crash(i);
          net.boot(i);
        }
      }
    }
    ASSERT_TRUE(net.meshed()) << net.story();
    net.run(3s);
    expect_agreement(net);
    for (std::size_t i = 0; i < size; ++i) EXPECT_EQ(net[i].counters().frames_malformed, 0u);
    if (testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace muster::node::test
