// SPDX-License-Identifier: MIT
//
// Whole nodes over loopback with TLS.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "node/temp_dir.h"
#include "node/test_nodes.h"

namespace muster::node {
namespace {

using ::testing::HasSubstr;

constexpr ServiceId test_service = 100;

/// Keeps what it receives.
class Inbox final : public Service {
 public:
  void connected(Now, const Member&) override {}
  void disconnected(Now, const Member&, DownReason) override {}
  void island_changed(Now) override {}
  void received(Now, const Member& from, std::string_view payload) override {
    const std::lock_guard lock(mutex_);
    bytes_ += payload.size();
    last_ = from.name.text() + ": " + std::string(payload.substr(0, 100));
    ++count_;
    changed_.notify_all();
  }
  [[nodiscard]] bool wait_for(std::size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20), [&] { return count_ >= count; });
  }
  [[nodiscard]] std::string last() {
    const std::lock_guard lock(mutex_);
    return last_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t count_ = 0;
  std::size_t bytes_ = 0;
  std::string last_;
};

TEST(NodeShell, ThreeNodesFormAMeshFromTwoConnects) {
  Loop loop;
  TestNode a(loop, settings_of("a@127.0.0.1"));
  TestNode b(loop, settings_of("b@127.0.0.1"));
  TestNode c(loop, settings_of("c@127.0.0.1"));
  for (TestNode* node : {&a, &b, &c}) ASSERT_TRUE(node->start());
  const auto first = a.connect(b);
  ASSERT_TRUE(first.connected) << first.reason;
  const auto second = c.connect(b);
  ASSERT_TRUE(second.connected) << second.reason;
  for (TestNode* node : {&a, &b, &c}) {
    EXPECT_TRUE(node->connected_to(2)) << node->book.all();
    EXPECT_EQ(node->node().view()->island.size(), 3u);
  }
}

TEST(NodeShell, MessagesAndCallsCrossAndAnswer) {
  Loop loop;
  Inbox inbox;
  TestNode a(loop, settings_of("a@127.0.0.1"));
  TestNode b(loop, settings_of("b@127.0.0.1"));
  ASSERT_TRUE(a.start());
  ASSERT_TRUE(b.start());
  b.on_strand([&](Now) {
    b.node().fabric().attach(test_service, &inbox);
    b.node().fabric().handle("double", [](Now, const Member& caller, std::string_view request) {
      return Result<std::string>(caller.name.text() + " " + std::string(request) +
                                 std::string(request));
    });
  });
  ASSERT_TRUE(a.connect(b).connected);
  const BootId boot = a.node().view()->connected.at(0).boot;
  std::promise<std::string> answer;
  a.on_strand([&](Now now) {
    Fabric& fabric = a.node().fabric();
    const auto big = std::make_shared<const std::string>(Fabric::max_payload, 'x');
    EXPECT_TRUE(fabric.send(boot, test_service, Lane::bulk, big));
    EXPECT_GE(fabric.queued(boot), Fabric::max_payload);
    const auto small = std::make_shared<const std::string>("hello");
    EXPECT_TRUE(fabric.send(boot, test_service, Lane::bulk, small));
    fabric.call(now, boot, "double", "ab", std::chrono::seconds(5),
                [&](Now, Result<std::string> reply) { answer.set_value(reply.value()); });
  });
  EXPECT_EQ(answer.get_future().get(), "a@127.0.0.1 abab");
  ASSERT_TRUE(inbox.wait_for(2));
  EXPECT_EQ(inbox.last(), "a@127.0.0.1: hello");
  b.on_strand([&](Now) { b.node().fabric().attach(test_service, nullptr); });
}

TEST(NodeShell, WhatIsCollectedInATurnIsSentAtItsEnd) {
  Loop loop;
  Inbox inbox;
  TestNode a(loop, settings_of("a@127.0.0.1"));
  TestNode b(loop, settings_of("b@127.0.0.1"));
  int collected = 0;
  int frames = 0;
  BootId boot;
  a.node().at_turn_end([&](Now) {
    if (collected == 0) return;
    const auto frame = std::make_shared<const std::string>(std::to_string(collected));
    a.node().fabric().send(boot, test_service, Lane::urgent, frame);
    collected = 0;
    ++frames;
  });
  ASSERT_TRUE(a.start());
  ASSERT_TRUE(b.start());
  b.on_strand([&](Now) { b.node().fabric().attach(test_service, &inbox); });
  ASSERT_TRUE(a.connect(b).connected);
  a.on_strand([&](Now) {
    boot = a.node().view()->connected.at(0).boot;
    for (int i = 0; i < 100; ++i) {
      ++collected;
      a.node().turn_soon();
    }
  });
  ASSERT_TRUE(inbox.wait_for(1));
  a.on_strand([&](Now) { EXPECT_EQ(frames, 1); });
  EXPECT_EQ(inbox.last(), "a@127.0.0.1: 100");
  b.on_strand([&](Now) { b.node().fabric().attach(test_service, nullptr); });
}

TEST(NodeShell, WhoLeavesIsForgottenAndTheOthersStay) {
  Loop loop;
  TestNode a(loop, settings_of("a@127.0.0.1"));
  TestNode b(loop, settings_of("b@127.0.0.1"));
  ASSERT_TRUE(a.start());
  ASSERT_TRUE(b.start());
  ASSERT_TRUE(a.connect(b).connected);
  const auto left = loop.run(a.node().leave());
  EXPECT_TRUE(left) << left.error().text();
  a.stop();
  EXPECT_TRUE(b.saw(NodeEvent::Kind::left, "a@127.0.0.1")) << b.book.all();
  EXPECT_TRUE(b.connected_to(0));
  EXPECT_FALSE(b.node().view()->membership.nodes.at(name_of("a@127.0.0.1")).admitted());
}

TEST(NodeShell, AStopIsSeenAtOnceAndARestartReconnects) {
  Loop loop;
  const TempDir dir;
  auto settings = settings_of("a@127.0.0.1");
  settings.directory = dir / "a";
  TestNode b(loop, settings_of("b@127.0.0.1"));
  ASSERT_TRUE(b.start());
  {
    TestNode a(loop, settings);
    ASSERT_TRUE(a.start());
    ASSERT_TRUE(a.connect(b).connected);
    a.stop();
    EXPECT_TRUE(b.saw(NodeEvent::Kind::nodedown, "a@127.0.0.1"));
  }
  TestNode again(loop, settings);
  ASSERT_TRUE(again.start());  // It remembers b, and dials it without being told.
  EXPECT_TRUE(again.saw(NodeEvent::Kind::nodeup, "b@127.0.0.1")) << again.book.all();
}

TEST(NodeShell, AWrongCookieIsSaidOnceOnBothSides) {
  Loop loop;
  TestNode a(loop, settings_of("a@127.0.0.1"));
  auto settings = settings_of("b@127.0.0.1");
  settings.cookie = Cookie("another cookie, just as long as it must be");
  TestNode b(loop, settings);
  ASSERT_TRUE(a.start());
  ASSERT_TRUE(b.start());
  for (int attempt = 0; attempt < 3; ++attempt) {
    const auto outcome = a.connect(b);
    EXPECT_FALSE(outcome.connected);
    EXPECT_THAT(outcome.reason, HasSubstr("wrong cookie"));
    EXPECT_THAT(outcome.reason, HasSubstr("127.0.0.1:" + std::to_string(b.port())));
  }
  EXPECT_TRUE(b.book.wait_for("wrong cookie"));
  EXPECT_EQ(a.book.count("wrong cookie"), 1u) << a.book.all();
  EXPECT_EQ(b.book.count("wrong cookie"), 1u) << b.book.all();
}

TEST(NodeShell, ShortAndLongNamesDoNotMixAndThePlumbingSaysWhy) {
  Loop loop;
  TestNode a(loop, settings_of("a@127.0.0.1"));
  ASSERT_TRUE(a.start());
  std::promise<discovery::DialOutcome> done;
  Peer peer;
  peer.name = name_of("b@localhost");
  peer.address = "127.0.0.1";
  peer.port = 1;
  a.node().plumbing().connect(peer, std::chrono::seconds(5),
                              [&](discovery::DialOutcome outcome) { done.set_value(outcome); });
  const auto outcome = done.get_future().get();
  EXPECT_EQ(outcome.problem, discovery::DialProblem::name_form);
  EXPECT_THAT(outcome.detail, HasSubstr("fully qualified hostnames"));
}

TEST(NodeShell, PlumbingConnectsListsAndDisconnects) {
  Loop loop;
  TestNode a(loop, settings_of("a@127.0.0.1"));
  TestNode b(loop, settings_of("b@127.0.0.1"));
  ASSERT_TRUE(a.start());
  ASSERT_TRUE(b.start());
  auto& plumbing = a.node().plumbing();
  const auto ask = [&](auto question) {
    std::promise<discovery::DialOutcome> done;
    question([&](discovery::DialOutcome outcome) { done.set_value(outcome); });
    return done.get_future().get();
  };
  const Peer there = b.node().view()->advertised;
  EXPECT_TRUE(ask([&](auto done) { plumbing.connect(there, std::chrono::seconds(5), done); }).ok());
  EXPECT_EQ(plumbing.list_nodes(), std::set<NodeName>{there.name});
  EXPECT_TRUE(ask([&](auto done) { plumbing.connect(there, std::chrono::seconds(5), done); }).ok());
  EXPECT_TRUE(ask([&](auto done) { plumbing.disconnect(there.name, done); }).ok());
  EXPECT_TRUE(a.connected_to(0));
  b.stop();
  Peer gone = there;
  gone.name = name_of("nobody@127.0.0.1");
  const auto refused =
      ask([&](auto done) { plumbing.connect(gone, std::chrono::seconds(5), done); });
  EXPECT_EQ(refused.problem, discovery::DialProblem::refused) << refused.text();
  EXPECT_THAT(refused.detail, HasSubstr("127.0.0.1:" + std::to_string(there.port)));
}

TEST(NodeShell, APeerThatDoesNotAnswerTimesOut) {
  Loop loop;
  boost::asio::io_context io;
  using boost::asio::ip::tcp;
  tcp::acceptor silent(io, tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0));
  auto settings = settings_of("a@127.0.0.1");
  TestNode a(loop, settings);
  ASSERT_TRUE(a.start());
  Peer peer;
  peer.name = name_of("b@127.0.0.1");
  peer.address = "127.0.0.1";
  peer.port = silent.local_endpoint().port();
  std::promise<discovery::DialOutcome> done;
  a.node().plumbing().connect(peer, std::chrono::milliseconds(200),
                              [&](discovery::DialOutcome outcome) { done.set_value(outcome); });
  EXPECT_EQ(done.get_future().get().problem, discovery::DialProblem::timed_out);
}

TEST(NodeShell, AHostThatDoesNotExistIsNamed) {
  Loop loop;
  TestNode a(loop, settings_of("a@127.0.0.1"));
  ASSERT_TRUE(a.start());
  Peer peer;
  peer.name = name_of("b@no.such.host.invalid");
  const auto outcome = loop.run(a.node().connect(peer));
  EXPECT_FALSE(outcome.connected);
  EXPECT_THAT(outcome.reason, HasSubstr("no.such.host.invalid"));
}

TEST(NodeShell, ASecondProcessOnOneDirectoryIsToldWhoHoldsIt) {
  Loop loop;
  const TempDir dir;
  auto settings = settings_of("a@127.0.0.1");
  settings.directory = dir / "a";
  TestNode first(loop, settings);
  ASSERT_TRUE(first.start());
  TestNode second(loop, settings);
  const auto refused = second.start();
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().text(), HasSubstr("process " + std::to_string(::getpid())));
  first.destroy();
  TestNode third(loop, settings);
  EXPECT_TRUE(third.start());
}

TEST(NodeShell, ALinkPortInUseNamesTheFlag) {
  Loop loop;
  TestNode a(loop, settings_of("a@127.0.0.1"));
  ASSERT_TRUE(a.start());
  auto settings = settings_of("b@127.0.0.1");
  settings.link_port = {a.port(), a.port()};
  TestNode b(loop, settings);
  const auto refused = b.start();
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().text(), HasSubstr("--link-port " + std::to_string(a.port())));
}

TEST(NodeShell, AWeakCookieIsRefusedOffLoopbackAndWarnedAboutOnIt) {
  Loop loop;
  auto settings = settings_of("a@127.0.0.1");
  settings.cookie = Cookie("monster");
  TestNode on_loopback(loop, settings);
  EXPECT_TRUE(on_loopback.start());
  EXPECT_EQ(on_loopback.book.count("weak"), 1u);
  for (const char* weak : {"", "monster", "0123456789012345678901234567890"}) {
    settings.cookie = Cookie(weak);
    settings.bind = "0.0.0.0";
    TestNode off_loopback(loop, settings);
    const auto refused = off_loopback.start();
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().text(), HasSubstr("too weak to listen on 0.0.0.0"));
  }
}

TEST(NodeShell, NodesMeetOverIpv6) {
  boost::asio::io_context io;
  boost::asio::ip::tcp::acceptor probe(io);
  boost::system::error_code error;
  probe.open(boost::asio::ip::tcp::v6(), error);
  const boost::asio::ip::tcp::endpoint here(boost::asio::ip::address_v6::loopback(), 0);
  if (!error) probe.bind(here, error);
  if (error) GTEST_SKIP() << "this host has no ::1";
  Loop loop;
  TestNode a(loop, settings_of("a@::1"));
  TestNode b(loop, settings_of("b@::1"));
  ASSERT_TRUE(a.start());
  ASSERT_TRUE(b.start());
  const auto outcome = a.connect(b);
  EXPECT_TRUE(outcome.connected) << outcome.reason;
}

TEST(NodeShell, ShortNamesAreReachedAtEveryLoopbackAddressOfTheHost) {
  Loop loop;
  TestNode a(loop, settings_of("a@localhost"));
  TestNode b(loop, settings_of("b@localhost"));
  ASSERT_TRUE(a.start());
  ASSERT_TRUE(b.start());
  Peer peer = b.node().view()->advertised;
  peer.address = "";  // Whatever localhost resolves to.
  const auto outcome = loop.run(a.node().connect(peer));
  EXPECT_TRUE(outcome.connected) << outcome.reason;
}

TEST(NodeShell, StopAtAnyMomentLeavesNothing) {
  for (int moment = 0; moment < 40; ++moment) {
    Loop loop;
    TestNode a(loop, settings_of("a@127.0.0.1"));
    TestNode b(loop, settings_of("b@127.0.0.1"));
    ASSERT_TRUE(b.start());
    auto starting = boost::asio::co_spawn(loop.io(), a.node().start(), boost::asio::use_future);
    if (moment % 2 == 0) starting.wait();
    auto connecting = boost::asio::co_spawn(
        loop.io(), a.node().connect(b.node().view()->advertised), boost::asio::use_future);
    for (int hop = 0; hop < moment; ++hop) {
      boost::asio::post(loop.io(), boost::asio::use_future).get();
    }
    auto stopping = boost::asio::co_spawn(loop.io(), a.node().stop(), boost::asio::use_future);
    auto again = boost::asio::co_spawn(loop.io(), a.node().stop(), boost::asio::use_future);
    stopping.get();
    again.get();
    (void)connecting.get();
    (void)starting.get();
    a.destroy();
    b.destroy();
    loop.finish();
  }
}

}  // namespace
}  // namespace muster::node
