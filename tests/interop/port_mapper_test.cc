// SPDX-License-Identifier: MIT
//
// Our nodes beside Erlang's own epmd: it is killed, started again, comes too late; and what it
// refuses, ours refuses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>

#include "discovery/real_epmd.h"
#include "node/port_mapper_world.h"
#include "port_mapper/server.h"

namespace muster::node {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;
using muster::test::Epmd;
using ::testing::UnorderedElementsAre;
namespace asio = boost::asio;

class BesideEpmd : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!Epmd::is_installed()) GTEST_SKIP() << Epmd::how_to_install;
  }
  /// What `epmd -names` says, by name; nothing while no port mapper answers.
  [[nodiscard]] std::vector<std::string> epmd_names() const {
    const std::string command =
        std::string(Epmd::path) + " -port " + std::to_string(port) + " -names 2>/dev/null";
    std::FILE* output = ::popen(command.c_str(), "r");
    std::vector<std::string> names;
    std::array<char, 1100> line{};
    while (std::fgets(line.data(), line.size(), output)) {
      const std::string text = line.data();
      if (text.starts_with("name ")) names.push_back(text.substr(5, text.find(" at port") - 5));
    }
    ::pclose(output);
    return names;
  }
  /// Until real epmd's client lists these and no other.
  void await_names(std::vector<std::string> wanted) {
    std::vector<std::string> names;
    while (names != wanted) {
      names = epmd_names();
      std::ranges::sort(names);
    }
  }
  [[nodiscard]] std::unique_ptr<TestNode> start(const std::string& base) {
    auto node = std::make_unique<TestNode>(loop, mapped(base + "@127.0.0.1", port));
    const auto started = node->start();
    EXPECT_TRUE(started) << started.error().text();
    return node;
  }
  void await_epmd() {
    while (!loop.run(port_mapper::names("127.0.0.1", port, 1s))) std::this_thread::yield();
  }

  Loop loop;
  std::uint16_t port = free_port();
};

TEST_F(BesideEpmd, NodesTakeOverWhenItIsKilledAndAllAreListed) {
  std::optional<Epmd> epmd(port);
  await_epmd();
  const auto a = start("a");
  const auto b = start("b");
  const auto c = start("c");
  await_names({"a", "b", "c"});
  epmd.reset();
  await_names({"a", "b", "c"});
  EXPECT_EQ(a->book.count("serving it") + b->book.count("serving it") + c->book.count("serving it"),
            1u);
}

TEST_F(BesideEpmd, NodesAreListedAgainWhoeverIsFasterWhenItIsStartedAgain) {
  std::optional<Epmd> epmd(port);
  await_epmd();
  const auto a = start("a");
  const auto b = start("b");
  for (int round = 0; round < 5; ++round) {
    epmd.reset();
    epmd.emplace(port);
    await_names({"a", "b"});
  }
}

TEST_F(BesideEpmd, OneThatComesTooLateEndsAndLeavesOursAlone) {
  const auto a = start("a");
  const auto b = start("b");
  const std::string command =
      std::string(Epmd::path) + " -port " + std::to_string(port) + " -address 127.0.0.1";
  const int status = std::system(command.c_str());  // It would not end if it served.
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  EXPECT_EQ(a->book.count("went away") + b->book.count("went away"), 0u);
  await_names({"a", "b"});
}

TEST_F(BesideEpmd, ItServesNodesThatServedThemselvesBefore) {
  auto a = start("a");
  a.reset();
  const Epmd epmd(port);
  await_epmd();
  a = start("a");
  EXPECT_EQ(a->book.count("serving it"), 0u);
  await_names({"a"});
}

/// One conversation with a port mapper.
using Conversation = std::function<std::string(std::uint16_t port)>;

std::string register_once(std::uint16_t port, port_mapper::Registration node) {
  RawClient client(port);
  port_mapper::AliveRequest alive;
  alive.node = std::move(node);
  client.say(alive);
  return client.hear(2);  // The creation differs.
}

std::vector<Conversation> conversations() {
  std::vector<Conversation> all;
  for (const auto& request : {"\0\1n"s,
                              "\0\1k"s,
                              "\0\2sx"s,
                              "\0\1s"s,
                              "\0\1z"s,
                              "\0\2z\0"s,
                              "\0\3za\0"s,
                              "\0\4za\0b"s,
                              "\0\2z\xff"s,
                              "\0\1?"s,
                              "\0\0"s,
                              "\0\2nn"s,
                              "\0\1nn"s,
                              "\xff\xff"s,
                              "\x0b\xf2\1"s,
                              "GET / HTTP/1.1\r\n\r\n"s,
                              "\0\x0dx\0\1M\0\0\5\0\5\0\0\0\0"s,
                              "\0\4x\0\1M"s,
                              "\0\x0dx\0\1M\0\0\5\0\5\0\1a\0"s,
                              "\0\x0ex\0\1M\0\0\5\0\5\0\1a\0\1"s})
    all.emplace_back([=](std::uint16_t port) { return converse(port, request); });
  for (const auto& name :
       {"a"s, std::string(255, 'a'), std::string(256, 'a'), std::string(1021, 'a'), "\xff"s,
        "a\0b"s, "\xc0\x80"s, "\xed\xa0\x80"s, "\xf4\x90\x80\x80"s, "\xe2\x82\xac"s, "a b"s})
    for (const std::uint16_t version : {std::uint16_t{5}, std::uint16_t{6}})
      for (const std::size_t extra : {0, 1020, 1021})
        all.emplace_back([=](std::uint16_t port) {
          port_mapper::Registration node;
          node.name = name;
          node.highest = version;
          node.extra = std::string(extra, '\xfe');
          return register_once(port, node);
        });
  return all;
}

TEST_F(BesideEpmd, OursAnswersAsItDoes) {
  const Epmd epmd(port);
  await_epmd();
  RawClient registered_there(port);
  const std::uint16_t our_port = free_port();
  const Strand strand(loop.io().get_executor());
  std::optional<PortMapperServer> ours;
  std::promise<void> listens;
  asio::post(strand, [&] {
    ours.emplace(strand, Log());
    EXPECT_TRUE(ours->listen({asio::ip::address_v4::loopback()}, our_port));
    listens.set_value();
  });
  listens.get_future().get();
  RawClient registered_here(our_port);
  port_mapper::Registration node;  // So that KILL is refused, port 0 though it has.
  node.name = "kept";
  ASSERT_TRUE(registered_there.register_node(node).ok);
  ASSERT_TRUE(registered_here.register_node(node).ok);
  int number = 0;
  for (const auto& talk : conversations()) {
    auto theirs = talk(port);
    auto answer = talk(our_port);
    if (answer.size() > 4 && answer.substr(4).starts_with("name ")) {
      theirs.erase(0, 4);  // The port itself.
      answer.erase(0, 4);
    }
    EXPECT_EQ(answer, theirs) << "conversation " << number;
    ++number;
    // Their ends are seen before the next one begins.
    while (names_at(loop, our_port).size() > 1 || names_at(loop, port).size() > 1)
      std::this_thread::yield();
  }
  asio::co_spawn(strand, ours->stop(), asio::use_future).get();
}

}  // namespace
}  // namespace muster::node
