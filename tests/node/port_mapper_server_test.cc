// SPDX-License-Identifier: MIT
// The port mapper alone, spoken to byte by byte: epmd's rules and limits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "node/port_mapper_world.h"
#include "port_mapper/server.h"

namespace muster::node {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;
using port_mapper::Registration;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
namespace asio = boost::asio;

const std::string imp = "\xf0\x9f\x98\x88";  // A character of four bytes.

Registration node_named(const std::string& name) {
  Registration node;
  node.name = name;
  node.port = 4711;
  return node;
}

std::string repeated(std::string_view piece, int times) {
  std::string text;
  for (int i = 0; i < times; ++i) text += piece;
  return text;
}

class PortMapperServerTest : public ::testing::Test {
 protected:
  void serve(PortMapperServer::Options options = {}) {
    on_strand([&] {
      server_.emplace(strand_, Log(), std::move(options));
      const auto listening = server_->listen({asio::ip::address_v4::loopback()}, port);
      EXPECT_TRUE(listening) << listening.error().text();
    });
  }
  void TearDown() override {
    if (server_) asio::co_spawn(strand_, server_->stop(), asio::use_future).get();
  }
  template <class Work>
  void on_strand(Work work) {
    std::promise<void> done;
    asio::post(strand_, [&] {
      work();
      done.set_value();
    });
    done.get_future().get();
  }
  void add_own(const std::string& name) {
    on_strand([&] {
      Registration own;
      own.name = name;
      own.port = 1;
      server_->add_own(own);
    });
  }
  [[nodiscard]] std::vector<std::string> names() { return names_at(loop, port); }
  void await_names(const std::vector<std::string>& wanted) {
    while (names() != wanted) std::this_thread::yield();
  }
  /// Whether a registration is taken; it ends at once.
  [[nodiscard]] bool is_taken(const std::string& name, const std::string& extra = "") {
    Registration node;
    node.name = name;
    node.port = 1;
    node.extra = extra;
    return RawClient(port).register_node(node).ok;
  }

  /// Registers long names until one is refused.
  void fill_list() {
    while (true) {
      const std::string name = std::to_string(crowd.size()) + repeated(imp, 250);
      auto& client = crowd.emplace_back(port);
      const Registration node = node_named(name);
      if (!client.register_node(node).ok) break;
      ASSERT_LT(crowd.size(), PortMapperServer::registrations_max);
    }
    crowd.pop_back();
  }

  std::list<RawClient> crowd;
  Loop loop{1};
  Strand strand_{loop.io().get_executor()};
  std::uint16_t port = free_port();
  std::optional<PortMapperServer> server_;
};

TEST_F(PortMapperServerTest, ANameIsUpTo255CharactersHoweverManyBytes) {
  serve();
  EXPECT_TRUE(is_taken(repeated(imp, 255)));
  EXPECT_FALSE(is_taken(repeated(imp, 256)));
  EXPECT_TRUE(is_taken(repeated("a", 255)));
  EXPECT_FALSE(is_taken(repeated("a", 256)));
}

TEST_F(PortMapperServerTest, ANameThatIsTooLongIsRefusedWithAnAnswer) {
  serve();
  RawClient client(port);
  Registration old = node_named(repeated("a", 600));
  old.highest = 5;
  port_mapper::AliveRequest alive;
  alive.node = old;
  client.say(alive);
  EXPECT_EQ(client.hear_all().substr(0, 2), "y\1"s);
}

TEST_F(PortMapperServerTest, ANameThatIsNoUtf8IsRefused) {
  serve();
  for (const auto& name : {"\xff"s, "a\x80"s, "\xc0\x80"s, "\xe2\x82"s, "\xed\xa0\x80"s,
                           "\xf4\x90\x80\x80"s, "\xf0\x80\x80\x80"s, "\xf8\x88\x80\x80\x80"s})
    EXPECT_FALSE(is_taken(name));
  for (const auto& name : {"\xc3\xa9"s, "\xe2\x82\xac"s, "\xed\x9f\xbf"s, "\xf4\x8f\xbf\xbf"s})
    EXPECT_TRUE(is_taken(name));
}

TEST_F(PortMapperServerTest, AZeroByteInANameEndsTheConnection) {
  serve();
  for (const auto& name : {"a\0b"s, "ab\0"s, "\0"s}) {
    RawClient client(port);
    port_mapper::AliveRequest alive;
    alive.node = node_named(name);
    client.say(alive);
    EXPECT_EQ(client.hear_all(), "");
  }
  EXPECT_THAT(names(), IsEmpty());
}

TEST_F(PortMapperServerTest, AnExtraFieldHasUpTo1020BytesOfAnyKind) {
  serve();
  EXPECT_TRUE(is_taken("a", std::string(1020, '\xff')));
  EXPECT_FALSE(is_taken("b", std::string(1021, '\xff')));
  RawClient client(port);
  Registration node = node_named("c");
  node.extra = "ABC\0\0"s;
  ASSERT_TRUE(client.register_node(node).ok);
  EXPECT_EQ(*loop.run(port_mapper::port_of("127.0.0.1", port, "c", 5s)).value(), node);
}

TEST_F(PortMapperServerTest, ATakenNameIsRefusedAndAFreedOneGetsAnotherCreation) {
  serve();
  RawClient first(port);
  const auto taken = first.register_node(node_named("a"));
  ASSERT_TRUE(taken.ok);
  EXPECT_GT(taken.creation, 3u);
  EXPECT_FALSE(RawClient(port).register_node(node_named("a")).ok);
  first.close();
  await_names({});
  const auto again = RawClient(port).register_node(node_named("a"));
  EXPECT_TRUE(again.ok);
  EXPECT_NE(again.creation, taken.creation);
}

TEST_F(PortMapperServerTest, AQuestionForAPortMayEndWithAZeroByteAsOldErlangsDo) {
  serve();
  RawClient registered(port);
  ASSERT_TRUE(registered.register_node(node_named("foo")).ok);
  EXPECT_EQ(converse(port, "\0\5zfoo\0"s).substr(0, 4), "w\0\x12\x67"s);
  EXPECT_EQ(converse(port, "\0\4zfoo"s).substr(0, 4), "w\0\x12\x67"s);
  EXPECT_EQ(converse(port, "\0\4zbar"s), "w\1"s);
  EXPECT_EQ(converse(port, "\0\6zfo\0o\0"s), "");
  EXPECT_EQ(converse(port, "\0\2z\xff"s), "");
}

TEST_F(PortMapperServerTest, BytesBeyondARequestEndTheConnection) {
  serve();
  EXPECT_EQ(converse(port, "\0\1nn"s), "");
  EXPECT_EQ(converse(port, "\0\1n"s), port_mapper::encode(port_mapper::NamesAnswer{port, {}}));
}

TEST_F(PortMapperServerTest, ARegistrationThatSaysMoreIsForgotten) {
  serve();
  RawClient client(port);
  ASSERT_TRUE(client.register_node(node_named("a")).ok);
  EXPECT_THAT(names(), ElementsAre("a"));
  client.say("?");
  EXPECT_EQ(client.hear_all(), "");
  await_names({});
}

TEST_F(PortMapperServerTest, AConnectionThatIsResetLeavesNoName) {
  serve();
  for (int round = 0; round < 50; ++round) {
    RawClient client(port);
    port_mapper::AliveRequest alive;
    alive.node = node_named("a");
    client.say(alive);
    if (round % 2) (void)client.hear(6);
    client.reset();
  }
  await_names({});
}

TEST_F(PortMapperServerTest, ARequestThatDoesNotComeEndsAtTheDeadline) {
  serve({.deadline = 50ms});
  for (const auto& part : {""s, "\0"s, "\0\3"s, "\0\x64only a few bytes"s})
    EXPECT_EQ(converse(port, part), "");
}

TEST_F(PortMapperServerTest, ARequestMayComeInPieces) {
  serve();
  RawClient client(port);
  std::string request = port_mapper::encode(port_mapper::Request(port_mapper::PortRequest{"foo"}));
  for (const char byte : request) client.say(std::string_view(&byte, 1));
  EXPECT_EQ(client.hear_all(), "w\1"s);
}

TEST_F(PortMapperServerTest, NobodyIsRegisteredBeyondAListThatOurClientReads) {
  serve();
  fill_list();
  EXPECT_EQ(names().size(), crowd.size());
  crowd.pop_front();
  while (names().size() != crowd.size()) std::this_thread::yield();
  EXPECT_TRUE(is_taken(repeated("a", 255)));
}

TEST_F(PortMapperServerTest, TheOldestOfTooManySilentConnectionsGivesWay) {
  serve({.deadline = 1h});
  RawClient registered(port);
  ASSERT_TRUE(registered.register_node(node_named("a")).ok);
  std::list<RawClient> silent;
  for (std::size_t i = 0; i < PortMapperServer::unregistered_max; ++i) silent.emplace_back(port);
  EXPECT_THAT(names(), ElementsAre("a"));
  EXPECT_EQ(silent.front().hear_all(), "");
  registered.close();
  await_names({});
}

TEST_F(PortMapperServerTest, KillIsRefusedWhileANodeIsRegistered) {
  std::promise<void> killed;
  serve({.on_kill = [&] { killed.set_value(); }});
  RawClient registered(port);
  ASSERT_TRUE(registered.register_node(node_named("a")).ok);
  EXPECT_EQ(converse(port, "\0\1k"s), "NO");
  registered.close();
  await_names({});
  EXPECT_EQ(converse(port, "\0\1k"s), "OK");
  killed.get_future().get();
}

TEST_F(PortMapperServerTest, OfANodeIsNeverKilledOrTold) {
  serve();
  add_own("own");
  EXPECT_EQ(converse(port, "\0\1k"s), "NO");
  EXPECT_EQ(converse(port, "\0\4sown"s), "");
  EXPECT_THAT(names(), ElementsAre("own"));
}

TEST_F(PortMapperServerTest, WithTheRelaxedCheckThisHostMayStopNames) {
  serve({.relaxed_command_check = true});
  add_own("own");
  RawClient registered(port);
  ASSERT_TRUE(registered.register_node(node_named("a")).ok);
  EXPECT_EQ(converse(port, "\0\2sx"s), "NOEXIST");
  EXPECT_EQ(converse(port, "\0\4sown"s), "NOEXIST");
  EXPECT_EQ(converse(port, "\0\2sa"s), "STOPPED");
  EXPECT_EQ(registered.hear_all(), "");
  RawClient next(port);
  EXPECT_TRUE(next.register_node(node_named("a")).ok);
  EXPECT_THAT(names(), ElementsAre("a", "own"));
}

TEST_F(PortMapperServerTest, DumpTellsWhatIsRegistered) {
  serve();
  RawClient registered(port);
  ASSERT_TRUE(registered.register_node(node_named("a")).ok);
  const std::string text = converse(port, "\0\1d"s);
  EXPECT_THAT(text, ::testing::HasSubstr("active name     <a> at port 4711, fd = "));
  EXPECT_TRUE(text.ends_with("\n\0"s));
}

}  // namespace
}  // namespace muster::node
