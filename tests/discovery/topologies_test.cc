// SPDX-License-Identifier: MIT
// The shells: real timers, files and multicast on 127.0.0.1, with plumbing that is a set of names.
#include "muster/discovery/topologies.h"

#include <gmock/gmock.h>

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <fstream>
#include <future>
#include <thread>

#include "discovery/real_epmd.h"
#include "muster/discovery/poller.h"
#include "muster/discovery/port_mapper_wire.h"

namespace muster::discovery {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

NodeName name(const std::string& text) { return NodeName::parse(text).value(); }

/// A transport that links whom it is told to, unless told otherwise.
class SetPlumbing : public Plumbing {
 public:
  void connect(const Peer& peer, Duration, Done done) override {
    dials.push_back(peer);
    if (outcome.ok()) linked.insert(peer.name);
    if (on_other_thread)
      std::thread([done, result = outcome] { done(result); }).join();
    else
      done(outcome);
  }
  void disconnect(const NodeName& node, Done done) override {
    linked.erase(node);
    done({});
  }
  std::set<NodeName> list_nodes() override { return linked; }

  DialOutcome outcome;
  bool on_other_thread = false;
  std::vector<Peer> dials;
  std::set<NodeName> linked;
};

/// One program with discovery and a transport of its own.
struct Program {
  explicit Program(asio::io_context& io, const std::string& self, std::uint16_t link_port = 7000,
                   std::uint16_t mapper_port = 4369)
      : topologies(
            io.get_executor(), plumbing,
            {.context = {.self = name(self),
                         .cookie = "a cookie of more than thirty-two bytes",
                         .boot_id = std::hash<std::string>()(self),
                         .link_port = link_port,
                         .mapper_port = mapper_port,
                         .directory = ::testing::TempDir()},
             .log =
                 Log([this](Level, std::string_view line) { log.emplace_back(line); }, Level::info),
             .on_event = [this](const ConnectEvent& event) { events.push_back(event); },
             .on_pass = [this](const std::string&, const Pass& pass) { passes.push_back(pass); }}) {
  }

  void add(const std::string& topology, const std::string& strategy, Settings config,
           const StrategyRegistry& registry = {}) {
    const auto plan = plan_topology(topology, strategy, std::move(config), registry);
    ASSERT_TRUE(plan) << plan.error().text();
    ASSERT_TRUE(topologies.add(*plan));
  }

  SetPlumbing plumbing;
  std::vector<std::string> log;
  std::vector<ConnectEvent> events;
  std::vector<Pass> passes;
  Topologies topologies;
};

class TopologiesTest : public ::testing::Test {
 protected:
  /// Runs until `what` holds; false when it does not within ten seconds.
  template <class Condition>
  bool eventually(Condition what) {
    io.restart();
    const auto end = std::chrono::steady_clock::now() + 10s;
    while (!what() && std::chrono::steady_clock::now() < end) io.run_one_for(100ms);
    return what();
  }
  /// Stops them all; then nothing is left to run.
  void stop(std::initializer_list<Program*> programs) {
    for (Program* program : programs) {
      bool stopped = false;
      asio::co_spawn(io, program->topologies.stop(),
                     [&](const std::exception_ptr&) { stopped = true; });
      ASSERT_TRUE(eventually([&] { return stopped; }));
    }
    io.restart();
    io.run_for(10s);
    EXPECT_TRUE(io.stopped()) << "something still waits";
  }

  asio::io_context io{1};
};

std::uint16_t free_udp_port() {
  asio::io_context io;
  asio::ip::udp::socket socket(io, {asio::ip::make_address("127.0.0.1"), 0});
  return socket.local_endpoint().port();
}

TEST_F(TopologiesTest, C1StartsEachTopologyWithItsNamePlumbingAndConfig) {
  Program a(io, "a@h");
  a.add("one", "epmd", Settings::map({{"hosts", Settings::list({"b@h"})}}));
  a.add("two", "epmd", Settings::map({{"hosts", Settings::list({"b@h", "c@h"})}}));
  ASSERT_TRUE(eventually([&] { return a.plumbing.linked.size() == 2; }));
  const auto status = a.topologies.status();
  ASSERT_EQ(status.size(), 2u);
  EXPECT_EQ(status[0].name, "one");
  EXPECT_EQ(status[0].strategy, "epmd");
  EXPECT_EQ(status[1].peers.size(), 2u);
  stop({&a});
}

TEST_F(TopologiesTest, C3And13ConnectsEachHostAndLogsWithTheTopologysName) {
  Program a(io, "a@h");
  a.add("fixed", "epmd", Settings::map({{"hosts", Settings::list({"a@h", "b@h", "c@h"})}}));
  ASSERT_TRUE(eventually([&] { return a.log.size() == 2; }));
  EXPECT_THAT(a.log,
              ElementsAre("[muster:fixed] connected to b@h", "[muster:fixed] connected to c@h"));
  EXPECT_EQ(a.events.size(), 2u);
  stop({&a});
}

TEST_F(TopologiesTest, C4LogsWhyItIsUnableToConnect) {
  Program a(io, "a@h");
  a.plumbing.outcome = {DialProblem::refused, "127.0.0.1:4370"};
  a.add("fixed", "epmd", Settings::map({{"hosts", Settings::list({"b@h"})}}));
  ASSERT_TRUE(eventually([&] { return a.plumbing.dials.size() == 3; }));
  EXPECT_THAT(a.log,
              ElementsAre("[muster:fixed] unable to connect to b@h: refused (127.0.0.1:4370)"));
  stop({&a});
}

TEST_F(TopologiesTest, C14ReconnectsAfterTheTimeoutAndAgainAfterTwoNeverAtOnce) {
  class Forgetful : public SetPlumbing {  // As in libcluster's test: connects, and lists nobody.
   public:
    std::set<NodeName> list_nodes() override { return {}; }
  } plumbing;
  const auto start = std::chrono::steady_clock::now();
  Topologies topologies(io.get_executor(), plumbing, {.context = {.self = name("a@h")}});
  const auto plan = plan_topology(
      "t", "epmd", Settings::map({{"hosts", Settings::list({"b@h"})}, {"timeout", 500ms}}),
      StrategyRegistry());
  ASSERT_TRUE(topologies.add(*plan));
  EXPECT_EQ(plumbing.dials.size(), 1u);
  ASSERT_TRUE(eventually([&] { return plumbing.dials.size() == 2; }));
  EXPECT_GE(std::chrono::steady_clock::now() - start, 500ms);
  ASSERT_TRUE(eventually([&] { return plumbing.dials.size() == 3; }));
  EXPECT_GE(std::chrono::steady_clock::now() - start, 1000ms);
  bool stopped = false;
  asio::co_spawn(io, topologies.stop(), [&](const std::exception_ptr&) { stopped = true; });
  ASSERT_TRUE(eventually([&] { return stopped; }));
}

TEST_F(TopologiesTest, GossipFindsAnotherNodeByRealMulticastOnLoopback) {
  const std::uint16_t port = free_udp_port();
  const Settings config = Settings::map({{"port", port}, {"multicast_if", "127.0.0.1"}});
  Program a(io, "a@127.0.0.1", 7001), b(io, "b@127.0.0.1", 7002);
  a.add("local", "gossip", config);
  b.add("local", "gossip", config);
  ASSERT_TRUE(eventually([&] { return !a.plumbing.linked.empty() && !b.plumbing.linked.empty(); }));
  EXPECT_EQ(a.plumbing.dials[0],
            (Peer{.name = name("b@127.0.0.1"), .address = "127.0.0.1", .port = 7002}));
  EXPECT_EQ(b.plumbing.dials[0],
            (Peer{.name = name("a@127.0.0.1"), .address = "127.0.0.1", .port = 7001}));
  EXPECT_TRUE(eventually([&] { return a.topologies.status()[0].counters.at("heard_itself") > 0; }));
  stop({&a, &b});
}

TEST_F(TopologiesTest, GossipUnderAnotherSecretFindsNobody) {
  const std::uint16_t port = free_udp_port();
  const auto config = [&](const char* secret) {
    return Settings::map({{"port", port}, {"secret", secret}});
  };
  Program a(io, "a@127.0.0.1"), b(io, "b@127.0.0.1");
  a.add("local", "gossip", config("one"));
  b.add("local", "gossip", config("two"));
  ASSERT_TRUE(eventually([&] {
    return a.topologies.status()[0].counters.at("foreign") > 1 &&
           b.topologies.status()[0].counters.at("foreign") > 1;
  }));
  EXPECT_THAT(a.plumbing.dials, IsEmpty());
  EXPECT_THAT(a.log, Contains(HasSubstr("hears nodes under another secret or cookie")));
  stop({&a, &b});
}

TEST_F(TopologiesTest, GossipOnAnInterfaceThatIsNotHereSaysSoAndGoesOn) {
  Program a(io, "a@127.0.0.1");
  a.add("local", "gossip",
        Settings::map({{"port", free_udp_port()}, {"multicast_if", "192.0.2.77"}}));
  ASSERT_TRUE(eventually([&] { return !a.passes.empty(); }));
  EXPECT_EQ(a.passes[0].kind, Pass::Kind::unknown);
  EXPECT_THAT(a.passes[0].reason, HasSubstr("interface 192.0.2.77 is not there"));
  EXPECT_THAT(a.log,
              Contains(HasSubstr("does not know its peers: cannot open interface 192.0.2.77")));
  stop({&a});
}

TEST_F(TopologiesTest, GarbageOnTheGossipPortStopsNothing) {
  const std::uint16_t port = free_udp_port();
  Program a(io, "a@127.0.0.1"), b(io, "b@127.0.0.1");
  a.add("local", "gossip", Settings::map({{"port", port}}));
  asio::ip::udp::socket thrower(io, asio::ip::udp::v4());
  const asio::ip::udp::endpoint to(asio::ip::make_address("127.0.0.1"), port);
  for (std::size_t size = 0; size < 300; ++size)
    thrower.send_to(asio::buffer(std::string(size * 10, 'x')), to);
  b.add("local", "gossip", Settings::map({{"port", port}}));
  EXPECT_TRUE(eventually([&] { return !a.plumbing.linked.empty(); }));
  stop({&a, &b});
}

TEST_F(TopologiesTest, AUsersDiscoverIsPolledWithItsDeadline) {
  int calls = 0;
  StrategyRegistry registry;
  add_poller(registry, "mine", [&](Fields& options) -> DiscoverFunction {
    const std::string peer = options.string("peer");
    return [&calls, peer]() -> asio::awaitable<Result<PeerSet>> {
      switch (++calls) {
        case 1: {
          PeerSet peers;
          peers.insert(Peer{name(peer)});
          co_return peers;
        }
        case 2:
          throw std::runtime_error("my own bug");
        case 3: {
          asio::steady_timer timer(co_await asio::this_coro::executor, 1h);
          co_await timer.async_wait(asio::use_awaitable);
          co_return PeerSet{};
        }
        default:
          co_return bad_input("service is away");
      }
    };
  });
  Program a(io, "a@h");
  a.add("cloud", "mine",
        Settings::map({{"peer", "b@h"}, {"polling_interval", 20ms}, {"deadline", 50ms}}), registry);
  ASSERT_TRUE(eventually([&] { return a.passes.size() == 4; }));
  EXPECT_EQ(a.passes[0].kind, Pass::Kind::list);
  EXPECT_EQ(a.passes[1].reason, "discover() threw: my own bug");
  EXPECT_THAT(a.passes[2].reason, HasSubstr("timed out"));
  EXPECT_EQ(a.passes[3].reason, "service is away");
  EXPECT_THAT(a.plumbing.linked, ElementsAre(name("b@h")));
  stop({&a});
}

TEST_F(TopologiesTest, AUsersBlockingDiscoverRunsOnAThreadOfItsOwn) {
  StrategyRegistry registry;
  std::atomic<int> calls = 0;
  const auto loop = std::this_thread::get_id();
  add_blocking_poller(registry, "blocking", [&](Fields&) -> BlockingDiscoverFunction {
    return [&]() -> Result<PeerSet> {
      EXPECT_NE(std::this_thread::get_id(), loop);
      if (++calls > 1) throw std::runtime_error("my own bug");
      return PeerSet{Peer{name("b@h")}};
    };
  });
  Program a(io, "a@h");
  a.add("slow", "blocking", Settings::map({{"polling_interval", 10ms}}), registry);
  ASSERT_TRUE(eventually([&] { return a.passes.size() >= 2; }));
  EXPECT_EQ(a.passes[0].kind, Pass::Kind::list);
  EXPECT_EQ(a.passes[1].reason, "discover() threw: my own bug");
  stop({&a});
}

TEST_F(TopologiesTest, StopWaitsForABlockingDiscoverThatIsLate) {
  StrategyRegistry registry;
  std::promise<void> called, may_end;
  std::atomic<bool> ended = false;
  add_blocking_poller(registry, "blocking", [&](Fields&) -> BlockingDiscoverFunction {
    return [&]() -> Result<PeerSet> {
      called.set_value();
      may_end.get_future().wait();
      ended = true;
      return PeerSet{};
    };
  });
  Program a(io, "a@h");
  a.add("slow", "blocking", Settings::map({{"polling_interval", 1h}, {"deadline", 10ms}}),
        registry);
  const auto was_called = called.get_future();
  ASSERT_TRUE(eventually([&] { return was_called.wait_for(0s) == std::future_status::ready; }));
  asio::steady_timer later(io, 50ms);
  later.async_wait([&](const boost::system::error_code&) { may_end.set_value(); });
  stop({&a});
  EXPECT_TRUE(ended);
}

TEST_F(TopologiesTest, StopsWhileAUsersDiscoverWaits) {
  StrategyRegistry registry;
  bool called = false;
  add_poller(registry, "slow", [&](Fields&) -> DiscoverFunction {
    return [&called]() -> asio::awaitable<Result<PeerSet>> {
      called = true;
      asio::steady_timer timer(co_await asio::this_coro::executor, 1h);
      co_await timer.async_wait(asio::use_awaitable);
      co_return PeerSet{};
    };
  });
  Program a(io, "a@h");
  a.add("slow", "slow", Settings::map({{"deadline", 1h}}), registry);
  ASSERT_TRUE(eventually([&] { return called; }));
  stop({&a});
}

TEST_F(TopologiesTest, AHostsFileThatIsMissingSaysWhere) {
  Program a(io, "a@h");
  a.add("hosts", "erlang_hosts", Settings::map({{"file", "no_such_hosts_file"}}));
  ASSERT_TRUE(eventually([&] { return !a.passes.empty(); }));
  EXPECT_THAT(a.passes[0].reason, HasSubstr("no_such_hosts_file: No such file or directory"));
  stop({&a});
}

TEST_F(TopologiesTest, AHostsFileFindsOurNodesAtARealPortMapperAndNotErlangs) {
  using muster::test::Epmd, muster::test::free_tcp_port;
  if (!Epmd::is_installed()) GTEST_SKIP() << Epmd::how_to_install;
  const std::uint16_t port = free_tcp_port();
  const Epmd epmd(port);
  const auto register_node = [&](const port_mapper::Registration& node) {
    asio::ip::tcp::socket socket(io);
    boost::system::error_code error;
    const auto end = std::chrono::steady_clock::now() + 10s;
    do {
      socket.connect({asio::ip::make_address("127.0.0.1"), port}, error);
    } while (error && std::chrono::steady_clock::now() < end);
    asio::write(socket,
                asio::buffer(encode(port_mapper::Request(port_mapper::AliveRequest{node}))));
    std::array<char, 6> answer;
    asio::read(socket, asio::buffer(answer));
    return socket;
  };
  const auto a = register_node({.name = "a", .port = 4370, .extra = "muster"});
  const auto b = register_node({.name = "b", .port = 4371, .extra = "muster"});
  const auto erlang = register_node({.name = "erlang", .port = 4372});
  const auto file = std::filesystem::path(::testing::TempDir()) / ("hosts_" + std::to_string(port));
  std::ofstream(file) << "% here\n'127.0.0.1'.\n";
  Program self(io, "a@127.0.0.1", 7000, port);
  self.add("hosts", "erlang_hosts", Settings::map({{"file", file.string()}}));
  EXPECT_TRUE(eventually([&] { return !self.log.empty(); }));
  EXPECT_THAT(self.log, ElementsAre("[muster:hosts] connected to b@127.0.0.1"));
  stop({&self});
  std::filesystem::remove(file);
}

TEST_F(TopologiesTest, TopologiesComeAndGo) {
  Program a(io, "a@h");
  a.add("one", "epmd", Settings::map({{"hosts", Settings::list({"b@h"})}}));
  const auto plan = plan_topology("one", "none", {}, StrategyRegistry());
  EXPECT_EQ(a.topologies.add(*plan).error().text(), "there is a topology 'one' already");
  ASSERT_TRUE(eventually([&] { return !a.log.empty(); }));
  std::optional<bool> removed;
  const auto done = [&](const std::exception_ptr&, const Result<void>& result) {
    removed = result.has_value();
  };
  asio::co_spawn(io, a.topologies.remove("one"), done);
  ASSERT_TRUE(eventually([&] { return removed.has_value(); }));
  EXPECT_TRUE(*removed);
  EXPECT_THAT(a.topologies.status(), IsEmpty());
  EXPECT_THAT(a.plumbing.linked, ElementsAre(name("b@h")));  // Links stay.
  EXPECT_TRUE(a.topologies.add(*plan));
  stop({&a});
  EXPECT_EQ(a.topologies.add(*plan).error().text(), "topologies are stopping");
}

TEST_F(TopologiesTest, ALostLinkIsRedialledWhenTheTransportTellsOfIt) {
  Program a(io, "a@h");
  a.add("one", "epmd", Settings::map({{"hosts", Settings::list({"b@h"})}}));
  ASSERT_TRUE(eventually([&] { return !a.log.empty(); }));
  a.plumbing.linked.clear();
  a.topologies.links_changed();
  a.topologies.links_changed();
  EXPECT_TRUE(eventually([&] { return a.plumbing.linked.size() == 1; }));
  stop({&a});
}

TEST_F(TopologiesTest, CompletionsMayComeOnAnyThread) {
  Program a(io, "a@h");
  a.plumbing.on_other_thread = true;
  a.add("one", "epmd", Settings::map({{"hosts", Settings::list({"b@h", "c@h"})}}));
  EXPECT_TRUE(eventually([&] { return a.log.size() == 2; }));
  stop({&a});
}

TEST_F(TopologiesTest, CompletionsAfterStopAreIgnored) {
  class Slow : public SetPlumbing {
   public:
    void connect(const Peer&, Duration, Done done) override { waiting = std::move(done); }
    Done waiting;
  } plumbing;
  {
    Topologies topologies(io.get_executor(), plumbing, {.context = {.self = name("a@h")}});
    const auto plan = plan_topology(
        "t", "epmd", Settings::map({{"hosts", Settings::list({"b@h"})}}), StrategyRegistry());
    ASSERT_TRUE(topologies.add(*plan));
    ASSERT_TRUE(plumbing.waiting);
    bool stopped = false;
    asio::co_spawn(io, topologies.stop(), [&](const std::exception_ptr&) { stopped = true; });
    ASSERT_TRUE(eventually([&] { return stopped; }));
  }
  plumbing.waiting({});
  io.restart();
  io.run_for(1s);
}

}  // namespace
}  // namespace muster::discovery
