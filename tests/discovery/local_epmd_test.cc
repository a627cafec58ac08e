// SPDX-License-Identifier: MIT
// local_epmd: the machine under a clock made by hand, and its topology beside Erlang's own epmd.
#include <gmock/gmock.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <list>

#include "discovery/real_epmd.h"
#include "local_epmd_machine.h"
#include "muster/discovery/port_mapper_wire.h"
#include "muster/discovery/strategy_registry.h"
#include "muster/discovery/test_kit.h"
#include "strategy_shell.h"

namespace muster::discovery {
namespace {

using namespace std::chrono_literals;
using muster::test::Epmd, muster::test::free_tcp_port;
using test::context_of, test::names_of, test::RecordingSink, test::VirtualClock;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
namespace asio = boost::asio;

class LocalEpmdTest : public ::testing::Test {
 protected:
  void answer(Result<std::vector<std::string>> names) {
    ASSERT_EQ(sink.asked.size(), 1u);
    const auto id = sink.asked.front().id;
    sink.asked.clear();
    machine.answer(clock.now(), id, NamesFound{std::move(names)});
    machine.answer(clock.now(), id, NamesFound{bad_input("twice")});  // Is ignored.
  }

  VirtualClock clock;
  RecordingSink sink;
  LocalEpmdMachine machine{5s, context_of("a@myhost"), sink};
};

TEST_F(LocalEpmdTest, AsksThisHostAndNamesItsNodesAfterItsOwnHost) {
  machine.start(clock.now());
  EXPECT_EQ(std::get<AskNames>(sink.asked.at(0).question).host, "127.0.0.1");
  answer({{"a", "b", "c"}});
  ASSERT_EQ(sink.passes.size(), 1u);
  EXPECT_THAT(names_of(sink.passes[0]), ElementsAre("b@myhost", "c@myhost"));
  EXPECT_FALSE(sink.passes[0].disconnects);
}

TEST_F(LocalEpmdTest, AsksAgainAnIntervalAfterEachAnswer) {
  machine.start(clock.now());
  clock.run(machine, 1min, [] {});
  EXPECT_EQ(sink.asked.size(), 1u);  // Not while it waits for an answer.
  answer({{"b"}});
  clock.run(machine, 4999ms, [] {});
  EXPECT_THAT(sink.asked, IsEmpty());
  clock.run(machine, 1ms, [] {});
  answer({{"b", "c"}});
  EXPECT_THAT(names_of(sink.passes.back()), ElementsAre("b@myhost", "c@myhost"));
}

TEST_F(LocalEpmdTest, AloneOnTheHostIsKnownEmpty) {
  machine.start(clock.now());
  answer({{"a"}});
  EXPECT_EQ(sink.passes.back().kind, Pass::Kind::known_empty);
  EXPECT_FALSE(sink.passes.back().disconnects);
}

TEST_F(LocalEpmdTest, NoPortMapperIsUnknownAndAskedAgain) {
  machine.start(clock.now());
  answer(bad_input("port mapper at 127.0.0.1:4369: Connection refused"));
  EXPECT_EQ(sink.passes.back().kind, Pass::Kind::unknown);
  EXPECT_EQ(sink.passes.back().reason, "port mapper at 127.0.0.1:4369: Connection refused");
  EXPECT_EQ(machine.counters().at("failures"), 1u);
  clock.run(machine, 5s, [] {});
  answer({{"b"}});
  EXPECT_THAT(names_of(sink.passes.back()), ElementsAre("b@myhost"));
}

TEST_F(LocalEpmdTest, ANameThatNoNodeCouldHaveIsSkippedAndCounted) {
  machine.start(clock.now());
  answer({{"b", "not a name", "", "d@e"}});
  EXPECT_THAT(names_of(sink.passes.back()), ElementsAre("b@myhost"));
  EXPECT_EQ(machine.counters().at("names_skipped"), 3u);
}

TEST(LocalEpmd, IsReadWithItsDefault) {
  StrategyRegistry registry;
  const auto plan = plan_topology("t", "local_epmd", Settings::map({}), registry);
  ASSERT_TRUE(plan) << plan.error().text();
  const auto wrong = plan_topology("t", "local_epmd",
                                   Settings::map({{"poll_interval", std::string("5s")}}), registry);
  ASSERT_FALSE(wrong);
  EXPECT_NE(wrong.error().text().find("polling_interval"), std::string::npos)
      << wrong.error().text();
}

/// The strategy with its shell, asking the port mapper at `port`.
class LocalEpmdShell : public ::testing::Test {
 protected:
  void start() {
    StrategyContext context = context_of("a@127.0.0.1");
    context.mapper_port = port;
    StrategyRegistry registry;
    const auto config = Settings::map({{"polling_interval", std::string("20ms")}});
    shell.start(plan_topology("t", "local_epmd", config, registry).value().make, context);
  }
  /// The first pass that is as wanted.
  Pass await_pass(const std::function<bool(const Pass&)>& wanted) {
    while (passes.empty() || !wanted(passes.back()))
      if (io.run_one_for(20s) == 0) break;
    return passes.empty() ? Pass() : passes.back();
  }
  void register_node(const std::string& name, const std::string& extra) {
    port_mapper::AliveRequest alive;
    alive.node.name = name;
    alive.node.port = 1;
    alive.node.extra = extra;
    auto& socket = registered.emplace_back(io);
    socket.connect({asio::ip::address_v4::loopback(), port});
    asio::write(socket, asio::buffer(port_mapper::encode(port_mapper::Request(alive))));
    std::string answer(6, '\0');
    asio::read(socket, asio::buffer(answer));
  }
  void TearDown() override {
    bool stopped = false;
    asio::co_spawn(io, shell.stop(StrategyShell::LastWords::no),
                   [&](const std::exception_ptr&) { stopped = true; });
    while (!stopped && io.run_one_for(20s) > 0) {
    }
  }

  asio::io_context io{1};
  std::uint16_t port = free_tcp_port();
  std::vector<Pass> passes;
  std::list<asio::ip::tcp::socket> registered;
  StrategyShell shell{io.get_executor(), Log(),
                      [this](Pass pass) { passes.push_back(std::move(pass)); }};
};

TEST_F(LocalEpmdShell, StartsBeforeEpmdDoesAndLeavesErlangsNodesOut) {
  if (!Epmd::is_installed()) GTEST_SKIP() << Epmd::how_to_install;
  start();
  const auto is_unknown = [](const Pass& pass) { return pass.kind == Pass::Kind::unknown; };
  EXPECT_EQ(await_pass(is_unknown).reason,
            "port mapper at 127.0.0.1:" + std::to_string(port) + ": Connection refused");
  const Epmd epmd(port);
  const auto is_known = [](const Pass& pass) { return pass.kind != Pass::Kind::unknown; };
  EXPECT_EQ(await_pass(is_known).kind, Pass::Kind::known_empty);
  register_node("a", "muster 1");
  register_node("erlang", "");
  register_node("b", "muster 1");
  const auto is_list = [](const Pass& pass) { return pass.kind == Pass::Kind::list; };
  EXPECT_THAT(names_of(await_pass(is_list)), ElementsAre("b@127.0.0.1"));
  registered.pop_back();  // b ends: it is no longer listed.
  const auto is_empty = [](const Pass& pass) { return pass.kind == Pass::Kind::known_empty; };
  EXPECT_FALSE(await_pass(is_empty).disconnects);
}

}  // namespace
}  // namespace muster::discovery
