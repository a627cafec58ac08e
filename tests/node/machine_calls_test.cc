// SPDX-License-Identifier: MIT
//
// Services and named calls between machines.
#include <algorithm>

#include "node/machine_net.h"

namespace muster::node::test {
namespace {

constexpr ServiceId service_id = 20;

/// Notes what it is told and holds the fabric to its word about order.
struct Listener final : Service {
  Net* net = nullptr;
  std::size_t host = 0;
  std::set<BootId> up;
  std::vector<std::string> heard;
  int islands = 0;

  void connected(Now, const Member& peer) override {
    EXPECT_TRUE(up.insert(peer.boot).second);
    // What fabric.island() says is already the new island.
    const auto island = (*net)[host].island();
    EXPECT_TRUE(std::ranges::find(island, peer) != island.end());
    EXPECT_TRUE((*net)[host].send(peer.boot, service_id, Lane::urgent,
                                  std::make_shared<const std::string>("hello")));
  }
  void disconnected(Now, const Member& peer, DownReason) override {
    EXPECT_EQ(up.erase(peer.boot), 1u);
  }
  void island_changed(Now) override { ++islands; }
  void received(Now, const Member& from, std::string_view payload) override {
    EXPECT_TRUE(up.contains(from.boot));
    heard.emplace_back(payload);
  }
};

struct Pair {
  explicit Pair(std::uint64_t seed) : net(seed) {
    for (std::size_t i = 0; i < 2; ++i) {
      net.add(i == 0 ? "a" : "b");
      listeners[i].net = &net;
      listeners[i].host = i;
      net.host(i).before_start = [this, i](NodeMachine& machine) {
        machine.attach(service_id, &listeners[i]);
        machine.handle("echo", [](Now, const Member& caller, std::string_view request) {
          return Result<std::string>(std::string(caller.name.base()) + ":" + std::string(request));
        });
        machine.handle("fail", [](Now, const Member&, std::string_view) -> Result<std::string> {
          return bad_input("this does not work");
        });
        machine.handle("vast", [](Now, const Member&, std::string_view) {
          return Result<std::string>(std::string(2'000'000, 'x'));
        });
      };
      net.boot(i);
    }
    net.connect(0, 1);
    EXPECT_TRUE(net.run_until([&] { return net.meshed(); }));
    net.run(10ms);
  }
  void call(const std::string& name, std::string request, Duration deadline = 1s) {
    net[0].call(net.now(0), net[1].self().boot, name, std::move(request), deadline,
                [this](Now, const Result<std::string>& answer) {
                  answers.push_back(answer ? "ok " + *answer : answer.error().text());
                });
    net.rearm(0);
  }

  Net net;
  Listener listeners[2];
  std::vector<std::string> answers;
};

TEST(NodeServices, HearConnectedFirstAndSpeakInOrder) {
  Pair pair(1);
  EXPECT_EQ(pair.listeners[0].heard, std::vector<std::string>{"hello"});
  EXPECT_EQ(pair.listeners[1].heard, std::vector<std::string>{"hello"});
  const BootId b = pair.net[1].self().boot;
  for (int i = 0; i < 100; ++i) {
    pair.net[0].send(b, service_id, Lane::bulk,
                     std::make_shared<const std::string>(std::to_string(i)));
  }
  pair.net.run(1s);
  ASSERT_EQ(pair.listeners[1].heard.size(), 101u);
  EXPECT_EQ(pair.listeners[1].heard[100], "99");
  EXPECT_GE(pair.listeners[0].islands, 1);
  pair.net.crash(1);
  pair.net.run(10ms);
  EXPECT_TRUE(pair.listeners[0].up.empty());
  EXPECT_FALSE(
      pair.net[0].send(b, service_id, Lane::urgent, std::make_shared<const std::string>("x")));
}

TEST(NodeServices, AnUnknownServiceIsSkipped) {
  Pair pair(2);
  pair.net[0].send(pair.net[1].self().boot, 99, Lane::urgent,
                   std::make_shared<const std::string>("x"));
  pair.net.run(1s);
  EXPECT_EQ(pair.net[1].counters().frames_unknown_service, 1u);
  EXPECT_EQ(pair.net[1].counters().frames_malformed, 0u);
  EXPECT_TRUE(pair.net.meshed());
}

TEST(NodeCalls, AnswerWithTheHandlersWord) {
  Pair pair(3);
  pair.call("echo", "hi");
  pair.call("fail", "");
  pair.call("nothing", "");
  pair.call("vast", "");
  pair.net.run(100ms);
  ASSERT_EQ(pair.answers.size(), 4u);
  EXPECT_EQ(pair.answers[0], "ok a:hi");
  EXPECT_EQ(pair.answers[1], "this does not work");
  EXPECT_NE(pair.answers[2].find("no such call 'nothing' on b@127.0.0.1"), std::string::npos);
  EXPECT_NE(pair.answers[3].find("too large"), std::string::npos);
  pair.net.run(5s);
  EXPECT_EQ(pair.answers.size(), 4u);
}

TEST(NodeCalls, EndOnceAtTheDeadlineAndALateAnswerIsDropped) {
  Pair pair(4);
  pair.net.pause(1);
  const Duration from = pair.net.elapsed();
  pair.call("echo", "hi", 300ms);
  ASSERT_TRUE(pair.net.run_until([&] { return !pair.answers.empty(); }));
  EXPECT_LT(pair.net.elapsed() - from, 320ms);
  EXPECT_NE(pair.answers[0].find("timed out"), std::string::npos) << pair.answers[0];
  pair.net.resume(1);
  pair.net.run(3s);
  EXPECT_EQ(pair.answers.size(), 1u);
}

TEST(NodeCalls, EndOnceWhenTheLinkGoes) {
  Pair pair(5);
  for (int i = 0; i < 10; ++i) pair.call("echo", "hi", 10s);
  pair.net.crash(1);
  pair.net.run(100ms);
  ASSERT_EQ(pair.answers.size(), 10u);
  EXPECT_NE(pair.answers[0].find("not connected"), std::string::npos) << pair.answers[0];
  pair.net.run(20s);
  EXPECT_EQ(pair.answers.size(), 10u);
  pair.net[0].call(pair.net.now(0), BootId{5}, "echo", "", 1s,
                   [&](Now, const Result<std::string>& answer) {
                     pair.answers.push_back(answer.error().text());
                   });
  EXPECT_EQ(pair.answers.size(), 10u);  // Never from within call().
  pair.net.rearm(0);
  pair.net.run(1ms);
  EXPECT_EQ(pair.answers.size(), 11u);
}

TEST(NodeCalls, OutstandingOnesAreBounded) {
  Pair pair(6);
  for (int i = 0; i < 1100; ++i) pair.call("echo", "hi", 10s);
  pair.net.run(100ms);
  EXPECT_EQ(pair.answers.size(), 1100u);
  EXPECT_EQ(std::ranges::count(pair.answers, "ok a:hi"), 1024);
}

TEST(NodeCalls, AHandlerMayCloseTheLinkThatItAnswersOn) {
  Pair pair(7);
  pair.net[1].handle("go", [&](Now now, const Member& caller, std::string_view) {
    pair.net[1].disconnect(now, caller.name);
    return Result<std::string>(std::string("gone"));
  });
  pair.call("go", "");
  pair.net.run(1s);
  ASSERT_EQ(pair.answers.size(), 1u);
  EXPECT_TRUE(pair.net[1].connected().empty());
}

}  // namespace
}  // namespace muster::node::test
