// SPDX-License-Identifier: MIT
//
// The port mapper that nodes serve, and how they take it over from each other.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <random>

#include "node/port_mapper_world.h"

namespace muster::node {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
namespace asio = boost::asio;
using tcp = asio::ip::tcp;

TEST(PortMapper, IsServedByTheFirstNodeAndUsedByTheOthers) {
  Loop loop;
  const auto port = free_port();
  TestNode a(loop, mapped("a@127.0.0.1", port));
  TestNode b(loop, mapped("b@127.0.0.1", port));
  ASSERT_TRUE(a.start());
  ASSERT_TRUE(b.start());
  EXPECT_EQ(a.book.count("serving it"), 1u);
  EXPECT_EQ(b.book.count("registered with the port mapper"), 1u);
  EXPECT_EQ(names_at(loop, port), (std::vector<std::string>{"a", "b"}));
  Peer by_name;
  by_name.name = name_of("b@127.0.0.1");
  const auto outcome = loop.run(a.node().connect(by_name));
  EXPECT_TRUE(outcome.connected) << outcome.reason;
}

TEST(PortMapper, IsTakenOverWhenTheNodeThatServesItGoesAway) {
  Loop loop;
  const auto port = free_port();
  TestNode a(loop, mapped("a@127.0.0.1", port));
  TestNode b(loop, mapped("b@127.0.0.1", port));
  TestNode c(loop, mapped("c@127.0.0.1", port));
  TestNode d(loop, mapped("d@127.0.0.1", port));
  for (TestNode* node : {&a, &b, &c, &d}) ASSERT_TRUE(node->start());
  a.stop();
  const auto taken_over = [&] {
    return b.book.count("serving it") + c.book.count("serving it") + d.book.count("serving it");
  };
  while (taken_over() == 0 || names_at(loop, port).size() < 3) std::this_thread::yield();
  EXPECT_EQ(names_at(loop, port), (std::vector<std::string>{"b", "c", "d"}));
  EXPECT_EQ(taken_over(), 1u);
}

TEST(PortMapper, ATakenNameIsAnErrorAtStart) {
  Loop loop;
  const auto port = free_port();
  TestNode first(loop, mapped("a@127.0.0.1", port));
  TestNode helper(loop, mapped("b@127.0.0.1", port));
  TestNode second(loop, mapped("b@127.0.0.1", port));
  ASSERT_TRUE(first.start());
  ASSERT_TRUE(helper.start());
  const auto refused = second.start();
  ASSERT_FALSE(refused);
  EXPECT_THAT(
      refused.error().text(),
      HasSubstr("the name b is in use by another node of this host, which listens on port " +
                std::to_string(helper.node().view()->advertised.port)));
}

TEST(PortMapper, ARegistrationOfOurOwnThatLingersIsNoOtherNode) {
  Loop loop;
  const auto port = free_port();
  TestNode server(loop, mapped("a@127.0.0.1", port));
  ASSERT_TRUE(server.start());
  auto settings = mapped("b@127.0.0.1", port);
  const auto own = free_port();
  settings.link_port = PortRange{own, own};
  port_mapper::AliveRequest before;  // As from a connection whose end the port mapper has not seen.
  before.node.name = "b";
  before.node.port = own;
  asio::io_context io;
  tcp::socket lingering(io);
  lingering.connect(tcp::endpoint(asio::ip::address_v4::loopback(), port));
  asio::write(lingering, asio::buffer(port_mapper::encode(port_mapper::Request(before))));
  std::array<char, 4> answer{};
  asio::read(lingering, asio::buffer(answer));
  TestNode node(loop, settings);
  const auto started = node.start();
  ASSERT_TRUE(started) << started.error().text();
  EXPECT_EQ(node.book.count("registered with the port mapper"), 0u);
  lingering.close();
  EXPECT_TRUE(node.book.wait_for("registered with the port mapper")) << node.book.all();
  EXPECT_EQ(node.book.count("in use"), 0u) << node.book.all();
}

TEST(PortMapper, NodesThatStartAtTheSameMomentAllGetTheirNames) {
  for (int round = 0; round < 5; ++round) {
    Loop loop;
    const auto port = free_port();
    std::vector<std::string> expected;
    std::vector<std::unique_ptr<TestNode>> nodes;
    std::vector<std::future<Result<void>>> starts;
    for (int i = 0; i < 8; ++i) {
      expected.push_back("n" + std::to_string(i));
      nodes.push_back(
          std::make_unique<TestNode>(loop, mapped(expected.back() + "@127.0.0.1", port)));
    }
    for (auto& node : nodes) {
      starts.push_back(std::async(std::launch::async, [&node] { return node->start(); }));
    }
    for (auto& start : starts) {
      const auto started = start.get();
      EXPECT_TRUE(started) << started.error().text();
    }
    std::string said;
    for (auto& node : nodes) said += node->book.all();
    EXPECT_EQ(names_at(loop, port), expected) << said;
  }
}

TEST(PortMapper, ANameIsFreeAgainWhenItsNodeStops) {
  Loop loop;
  const auto port = free_port();
  TestNode server(loop, mapped("a@127.0.0.1", port));
  ASSERT_TRUE(server.start());
  for (int i = 0; i < 3; ++i) {
    TestNode node(loop, mapped("b@127.0.0.1", port));
    const auto started = node.start();
    EXPECT_TRUE(started) << started.error().text();
  }
}

TEST(PortMapper, NamesThatAreNotOursAreNeverDialled) {
  Loop loop;
  const auto port = free_port();
  TestNode a(loop, mapped("a@127.0.0.1", port));
  ASSERT_TRUE(a.start());
  port_mapper::AliveRequest alive;
  alive.node.name = "foreign";
  alive.node.port = 1;
  asio::io_context io;
  tcp::socket erlang(io);
  erlang.connect(tcp::endpoint(asio::ip::address_v4::loopback(), port));
  asio::write(erlang, asio::buffer(port_mapper::encode(port_mapper::Request(alive))));
  std::array<char, 6> answer{};
  asio::read(erlang, asio::buffer(answer));
  Peer peer;
  peer.name = name_of("foreign@127.0.0.1");
  const auto outcome = loop.run(a.node().connect(peer));
  EXPECT_FALSE(outcome.connected);
  EXPECT_THAT(outcome.reason, HasSubstr("is not a muster node"));
  peer.name = name_of("nobody@127.0.0.1");
  EXPECT_EQ(loop.run(a.node().connect(peer)).reason,
            "nobody@127.0.0.1: no node 'nobody' registered at 127.0.0.1 (127.0.0.1:" +
                std::to_string(port) + ")");
}

TEST(PortMapper, GarbageAndOversizedRequestsEndTheConnectionOnly) {
  Loop loop;
  const auto port = free_port();
  TestNode a(loop, mapped("a@127.0.0.1", port));
  ASSERT_TRUE(a.start());
  using namespace std::string_view_literals;
  EXPECT_EQ(converse(port, "\xff\xff"sv), "");  // Longer than any request.
  EXPECT_EQ(converse(port, "\0\0"sv), "");      // Shorter than any request.
  EXPECT_EQ(converse(port, "\0\1k"sv), "NO");   // KILL is refused, as epmd does it.
  EXPECT_EQ(converse(port, "\0\2sa"sv), "");    // STOP likewise.
  EXPECT_EQ(converse(port, "GET / HTTP/1.1\r\n"sv), "");
  const unsigned seed = std::random_device{}();
  std::mt19937 random(seed);
  for (int i = 0; i < 100; ++i) {
    std::string garbage(3 + random() % 300, '\0');
    for (char& c : garbage) c = static_cast<char>(random());
    garbage[0] = 0;
    garbage[1] = static_cast<char>(std::min<std::size_t>(garbage.size() - 2, 127));
    garbage[2] = static_cast<char>(120);  // ALIVE2, of nonsense.
    asio::io_context io;
    tcp::socket socket(io);
    socket.connect(tcp::endpoint(asio::ip::address_v4::loopback(), port));
    asio::write(socket, asio::buffer(garbage));
  }
  EXPECT_THAT(names_at(loop, port), ::testing::Contains("a")) << "seed " << seed;
}

TEST(PortMapper, SomethingElseAtItsPortIsLoggedAndTheNodeRunsWithoutIt) {
  Loop loop;
  asio::io_context io;
  tcp::acceptor other(io, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
  std::thread hangs_up([&] {
    boost::system::error_code error;
    tcp::socket socket(io);
    other.accept(socket, error);
  });
  TestNode a(loop, mapped("a@127.0.0.1", other.local_endpoint().port()));
  EXPECT_TRUE(a.start());
  EXPECT_EQ(a.book.count("cannot register with the port mapper"), 1u) << a.book.all();
  hangs_up.join();
}

}  // namespace
}  // namespace muster::node
