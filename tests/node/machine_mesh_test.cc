// SPDX-License-Identifier: MIT
//
// Nodes find each other: hello, the choice of one link per pair, peer exchange, refusals.
#include "node/machine_net.h"

namespace muster::node::test {
namespace {

using Kind = NodeEvent::Kind;

TEST(NodeMesh, FormsFromAChainOfDials) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Net net(seed);
    const std::size_t size = 2 + seed % 9;
    for (std::size_t i = 0; i < size; ++i) net.boot(net.add("n" + std::to_string(i)));
    for (std::size_t i = 1; i < size; ++i) net.connect(i, i - 1);
    ASSERT_TRUE(net.run_until([&] { return net.meshed(); }, 3s));
    net.run(2s);
    for (std::size_t a = 0; a < size; ++a) {
      for (std::size_t b = a + 1; b < size; ++b) {
        EXPECT_EQ(net.transports(a, b), 1u);
        EXPECT_TRUE(net[0].linked(net[a].self().boot, net[b].self().boot));
      }
      EXPECT_EQ(net.host(a).count(Kind::nodedown), 0);
      EXPECT_EQ(net[a].counters().frames_malformed, 0u);
      EXPECT_EQ(net[a].counters().repairs, 0u);
    }
  }
}

TEST(NodeMesh, SimultaneousDialsEndInOneLinkOnBothSides) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Net net(seed);
    const auto a = net.add("a");
    const auto b = net.add("b");
    net.boot(a);
    net.boot(b);
    std::vector<ConnectOutcome> outcomes;
    const auto note = [&](Now, const ConnectOutcome& outcome) { outcomes.push_back(outcome); };
    net.connect(a, b, note);
    net.run(std::chrono::microseconds(net.random(2500)));
    net.connect(b, a, note);
    net.run(1s);
    ASSERT_TRUE(net.meshed());
    ASSERT_EQ(net.transports(a, b), 1u);
    ASSERT_EQ(outcomes.size(), 2u);
    EXPECT_TRUE(outcomes[0].connected && outcomes[1].connected);
    EXPECT_EQ(net.host(a).count(Kind::nodeup), 1);
    EXPECT_EQ(net.host(b).count(Kind::nodeup), 1);
    EXPECT_EQ(net.host(a).count(Kind::nodedown), 0);
    EXPECT_EQ(net.host(b).count(Kind::nodedown), 0);
    EXPECT_EQ(net.host(a).count(Kind::refused) + net.host(b).count(Kind::refused), 0);
  }
}

TEST(NodeMesh, WhoComesBackIsNotToldOfTheOthersWhomItKnows) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Net net(seed);
    for (const std::string name : {"one", "two", "third"}) net.boot(net.add(name));
    net.connect(1, 0);
    net.connect(2, 0);
    ASSERT_TRUE(net.run_until([&] { return net.meshed(); }));
    net.run(2s);
    net[0].disconnect(net.now(0), name_of("two@127.0.0.1"));
    net.run(1s);
    for (const std::size_t host : {0, 1}) net.host(host).recording = true;
    net.connect(0, 1);
    ASSERT_TRUE(net.run_until([&] { return net.meshed(); }));
    net.run(2s);
    for (const std::size_t host : {0, 1}) {
      EXPECT_FALSE(net.host(host).sent.empty());
      for (const auto& [link, frame] : net.host(host).sent)
        EXPECT_EQ(frame->find("third@127.0.0.1"), std::string::npos);
      EXPECT_EQ(net[host].counters().repairs, 0u);
    }
  }
}

TEST(NodeMesh, ANodeThatDialsItselfIsTold) {
  Net net(1);
  const auto a = net.add("a");
  net.add("b", [&](NodeOptions& options) {
    options.advertised.port = net.host(a).options.advertised.port;
  });
  net.boot(a);
  std::string reason;
  const auto note = [&](Now, const ConnectOutcome& outcome) { reason = outcome.reason; };
  net[a].connect(net.now(a),
                 {.name = name_of("b@127.0.0.1"), .address = "127.0.0.1", .port = 10000}, note);
  net.rearm(a);
  net.run(1s);
  EXPECT_NE(reason.find("this node itself"), std::string::npos) << reason;
  net[a].connect(net.now(a), {.name = name_of("a@127.0.0.1")}, note);
  EXPECT_EQ(reason, "that is this node itself");
}

TEST(NodeMesh, ShortAndLongNamesDoNotMixAndTheSentenceSaysWhichFlag) {
  Net net(1);
  const auto shorty = net.add("a@box");
  const auto lengthy = net.add("b@127.0.0.1");
  net.boot(shorty);
  net.boot(lengthy);
  std::string reason;
  const auto note = [&](Now, const ConnectOutcome& outcome) { reason = outcome.reason; };
  net.connect(shorty, lengthy, note);
  EXPECT_NE(reason.find("** System NOT running to use fully qualified hostnames **"),
            std::string::npos);
  EXPECT_NE(reason.find("--name"), std::string::npos);
  net.connect(lengthy, shorty, note);
  EXPECT_NE(reason.find("** System running to use fully qualified hostnames **"),
            std::string::npos);
  net.run(3s);
  EXPECT_TRUE(net[shorty].connected().empty());
}

TEST(NodeMesh, OtherClusterIsRefusedOnBothSidesOnce) {
  Net net(1);
  const auto a = net.add("a", [](NodeOptions& options) { options.cluster = "blue"; });
  const auto b = net.add("b", [](NodeOptions& options) { options.cluster = "green"; });
  net.boot(a);
  net.boot(b);
  for (int i = 0; i < 5; ++i) {
    net.connect(a, b);
    net.run(1s);
  }
  EXPECT_EQ(net.host(a).count(Kind::refused, "b", "other cluster"), 1);
  EXPECT_EQ(net.host(b).count(Kind::refused, "a", "other cluster"), 1);
  EXPECT_TRUE(net[a].connected().empty());
}

TEST(NodeMesh, ConnectSaysWhyItFailed) {
  Net net(1);
  const auto a = net.add("a");
  const auto b = net.add("b");
  net.boot(a);
  std::string reason;
  const auto note = [&](Now, const ConnectOutcome& outcome) { reason = outcome.reason; };
  net.connect(a, b, note);
  net.run(1s);
  EXPECT_EQ(reason, "Connection refused");
  net.boot(b);
  net.separate(a, b);
  net.connect(a, b, note);
  net.run(5s);
  EXPECT_EQ(reason, "timed out");
}

TEST(NodeMesh, ANewerStartOfANameReplacesTheOlder) {
  Net net(3);
  const auto a = net.add("a");
  const auto b = net.add("b");
  const auto twin = net.add("c");
  net.boot(a);
  net.boot(b);
  net.connect(b, a);
  ASSERT_TRUE(net.run_until([&] { return net.meshed({a, b}); }));
  // A second process with the name of b.
  net.host(twin).options.name = name_of("b@127.0.0.1");
  net.boot(twin);
  net.connect(twin, a);
  net.run(2s);
  ASSERT_EQ(net[a].connected().size(), 1u);
  EXPECT_EQ(net[a].connected()[0].boot, net[twin].self().boot);
  EXPECT_EQ(net.host(a).last(Kind::nodedown)->reason, DownReason::replaced);
  EXPECT_EQ(net.host(b).count(Kind::alarm, "", "another process runs as"), 1);
  // The older one cannot come back.
  std::string reason;
  net.connect(b, a, [&](Now, const ConnectOutcome& outcome) { reason = outcome.reason; });
  net.run(1s);
  EXPECT_NE(reason.find("a newer start of b@127.0.0.1 is known"), std::string::npos) << reason;
  EXPECT_EQ(net[a].connected()[0].boot, net[twin].self().boot);
}

TEST(NodeMesh, ARestartedNodeIsFoundAgain) {
  Net net(4);
  for (const char* name : {"a", "b", "c"}) net.boot(net.add(name));
  net.connect(1, 0);
  net.connect(2, 0);
  ASSERT_TRUE(net.run_until([&] { return net.meshed(); }));
  net.crash(0);
  net.run(30s);
  net.boot(0);  // It dials those whom it remembers; they dial it.
  ASSERT_TRUE(net.run_until([&] { return net.meshed(); }, 1s));
  EXPECT_EQ(net.island(1).back(), "a");  // A restart makes a node the youngest.
}

TEST(NodeMesh, ALostLinkIsDialledAgain) {
  Net net(5);
  for (const char* name : {"a", "b"}) net.boot(net.add(name));
  net.connect(1, 0);
  ASSERT_TRUE(net.run_until([&] { return net.meshed(); }));
  net.separate(0, 1);
  net.run(60s);
  EXPECT_TRUE(net[0].connected().empty());
  net.separate(0, 1, false);
  EXPECT_TRUE(net.run_until([&] { return net.meshed(); }, 14s));
  EXPECT_EQ(net.host(0).count(Kind::nodedown), 1);
}

TEST(NodeMesh, DisconnectLastsUntilAskedAgain) {
  Net net(6);
  for (const char* name : {"a", "b", "c"}) net.boot(net.add(name));
  net.connect(1, 0);
  net.connect(2, 0);
  ASSERT_TRUE(net.run_until([&] { return net.meshed(); }));
  EXPECT_TRUE(net[0].disconnect(net.now(0), name_of("b@127.0.0.1")));
  EXPECT_FALSE(net[0].disconnect(net.now(0), name_of("b@127.0.0.1")));
  net.run(60s);
  EXPECT_EQ(net.transports(0, 1), 0u);
  EXPECT_EQ(net.host(1).last(Kind::nodedown)->reason, DownReason::disconnected);
  EXPECT_EQ(net.island(0).size(), 3u);  // Through c.
  net.connect(1, 0);
  EXPECT_TRUE(net.run_until([&] { return net.meshed(); }, 1s));
}

TEST(NodeMesh, ANodeThatLeftIsNotDialledAgain) {
  Net net(7);
  for (const char* name : {"a", "b", "c"}) net.boot(net.add(name));
  net.connect(1, 0);
  net.connect(2, 0);
  ASSERT_TRUE(net.run_until([&] { return net.meshed(); }));
  const auto dials = [&] { return net[1].counters().dials + net[2].counters().dials; };
  const auto before = dials();
  net[0].leave(net.now(0));
  EXPECT_TRUE(net[0].left());
  net.run(60s);
  EXPECT_EQ(dials(), before);
  for (const std::size_t i : {1u, 2u}) {
    EXPECT_EQ(net.host(i).count(Kind::left, "a"), 1);
    EXPECT_EQ(net.host(i).last(Kind::nodedown)->reason, DownReason::left);
    EXPECT_FALSE(net[i].membership().nodes.at(name_of("a@127.0.0.1")).admitted());
  }
  net.crash(0);
  net.boot(0);
  net.connect(0, 1);
  EXPECT_TRUE(net.run_until([&] { return net.meshed(); }, 2s));
  EXPECT_TRUE(net[2].membership().nodes.at(name_of("a@127.0.0.1")).admitted());
}

}  // namespace
}  // namespace muster::node::test
