// SPDX-License-Identifier: MIT
// Lookups on loopback sockets, with servers that misbehave as no real one does on demand.  Real
// servers are asked in tests/interop.
#include "dns/resolver.h"

#include <gmock/gmock.h>

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <filesystem>
#include <fstream>
#include <functional>

#include "discovery/dns_packets.h"
#include "dns/dns_channel.h"
#include "task_group.h"

namespace muster::discovery {
namespace {

namespace asio = boost::asio;
using asio::ip::udp;
using namespace std::chrono_literals;
using namespace std::string_literals;
using test::dns_name, test::dns_service, test::DnsPacket;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Kind = LookedUp::Kind;

constexpr unsigned a = 1, aaaa = 28, srv = 33;
constexpr unsigned servfail = 0x8182, no_such_name = 0x8183, refused = 0x8185;

/// What came, as a packet to be completed.
DnsPacket question_in(std::string_view bytes) {
  DnsPacket packet;
  const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(bytes.at(at)); };
  packet.id = static_cast<unsigned>(byte(0) << 8 | byte(1));
  packet.name.clear();
  std::size_t at = 12;
  for (; byte(at) != 0; at += 1u + byte(at))
    packet.name += (packet.name.empty() ? "" : ".") + std::string(bytes.substr(at + 1, byte(at)));
  packet.type = static_cast<unsigned>(byte(at + 1) << 8 | byte(at + 2));
  return packet;
}

/// Answers by a function; nothing where that returns nothing.
class ScriptedServer {
 public:
  using Answer = std::function<std::string(DnsPacket question)>;

  ScriptedServer(asio::io_context& io, Answer answer)
      : socket_(io, {asio::ip::make_address("127.0.0.1"), 0}), answer_(std::move(answer)) {
    receive();
  }
  [[nodiscard]] std::string text() const {
    return "127.0.0.1:" + std::to_string(socket_.local_endpoint().port());
  }

  std::vector<std::string> asked;
  bool is_extended = false;  ///< The last question, which had an OPT record.

 private:
  void receive() {
    socket_.async_receive_from(asio::buffer(buffer_), from_,
                               [this](boost::system::error_code error, std::size_t size) {
                                 if (error == asio::error::operation_aborted) return;
                                 if (!error) reply({buffer_.data(), size});
                                 receive();
                               });
  }
  void reply(std::string_view bytes) {
    const DnsPacket question = question_in(bytes);
    asked.push_back(question.name);
    is_extended = bytes[11] != 0;
    const std::string answer = answer_(question);
    boost::system::error_code ignored;
    if (!answer.empty()) socket_.send_to(asio::buffer(answer), from_, 0, ignored);
  }

  udp::socket socket_;
  udp::endpoint from_;
  std::array<char, 2048> buffer_{};
  Answer answer_;
};

std::string code(DnsPacket packet, unsigned flags) {
  packet.flags = flags;
  return packet.bytes();
}

/// 10.0.0.1 for A, fd00::1 for AAAA, `target` with its port for SRV.
std::string normal(DnsPacket packet, const std::string& target = "z.test") {
  const std::string six = "\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01"s;
  const std::string data = packet.type == a      ? "\x0a\x00\x00\x01"s
                           : packet.type == aaaa ? six
                                                 : dns_service(7001, target);
  packet.records.push_back({packet.name, packet.type, data});
  return packet.bytes();
}

class ResolverTest : public ::testing::Test {
 protected:
  LookedUp look(std::vector<std::string> servers, LookUp::Kind kind = LookUp::Kind::addresses,
                Duration within = 10s, const std::string& name = "web.test") {
    LookUp question{.kind = kind, .name = name, .servers = std::move(servers), .within = within};
    return look(std::move(question));
  }
  LookedUp look(LookUp question, const std::string& resolv_conf = "/dev/null") {
    LookedUp found;
    bool ended = false;
    io.restart();
    asio::co_spawn(io, look_up(std::move(question), resolv_conf),
                   [&](const std::exception_ptr& exception, LookedUp answer) {
                     EXPECT_FALSE(exception);
                     found = std::move(answer);
                     ended = true;
                   });
    while (!ended) io.run_one();
    return found;
  }

  asio::io_context io{1};
};

TEST_F(ResolverTest, AsksForBothKindsOfAddresses) {
  ScriptedServer server(io, [](const DnsPacket& asked) { return normal(asked); });
  const LookedUp found = look({server.text()});
  EXPECT_EQ(found.kind, Kind::found) << found.reason;
  EXPECT_THAT(found.addresses, ElementsAre("10.0.0.1", "fd00::1"));
  EXPECT_EQ(found.ttl, 60s);
}

TEST_F(ResolverTest, OneKindWithoutRecordsLeavesTheOther) {
  ScriptedServer server(
      io, [](const DnsPacket& asked) { return asked.type == a ? normal(asked) : asked.bytes(); });
  EXPECT_THAT(look({server.text()}).addresses, ElementsAre("10.0.0.1"));
}

TEST_F(ResolverTest, OneKindThatFailsMakesTheWholeFail) {
  ScriptedServer server(io, [](const DnsPacket& asked) {
    return asked.type == a ? normal(asked) : code(asked, servfail);
  });
  const LookedUp found = look({server.text()});
  EXPECT_EQ(found.kind, Kind::failed);
  EXPECT_THAT(found.addresses, IsEmpty());
  EXPECT_EQ(found.reason,
            "DNS server " + server.text() + " could not find an answer for web.test (SERVFAIL)");
}

TEST_F(ResolverTest, TellsNoSuchNameFromNoRecords) {
  ScriptedServer none(io, [](const DnsPacket& asked) { return code(asked, no_such_name); });
  LookedUp found = look({none.text()});
  EXPECT_EQ(found.kind, Kind::no_such_name);
  EXPECT_EQ(found.reason, "DNS server " + none.text() + " says there is no such name: web.test");
  ScriptedServer empty(io, [](const DnsPacket& asked) { return asked.bytes(); });
  found = look({empty.text()});
  EXPECT_EQ(found.kind, Kind::no_records);
  EXPECT_EQ(found.reason, "DNS server " + empty.text() + " has no A and AAAA records of web.test");
}

TEST_F(ResolverTest, ASilentServerIsGivenUpWithinTheDeadline) {
  ScriptedServer silent(io, [](const DnsPacket&) { return ""; });
  int ticks = 0;
  asio::steady_timer timer(io);
  std::function<void()> tick = [&] {
    timer.expires_after(10ms);
    timer.async_wait([&](boost::system::error_code error) {
      if (!error) tick();
      ++ticks;
    });
  };
  tick();
  const LookedUp found = look({silent.text()}, LookUp::Kind::ipv4, 600ms);
  EXPECT_EQ(found.kind, Kind::failed);
  EXPECT_EQ(found.reason, "DNS server " + silent.text() + " did not answer in time");
  EXPECT_GT(ticks, 0) << "other timers stood still";
  timer.cancel();
  const int before = ticks;
  while (ticks == before) io.run_one();  // The last one, which was cancelled.
}

TEST_F(ResolverTest, AServerThatNobodyRunsIsSaidSoAtOnce) {
  std::string gone;
  {
    ScriptedServer server(io, [](const DnsPacket&) { return ""; });
    gone = server.text();
  }
  io.poll();
  EXPECT_EQ(look({gone}).reason, "DNS server " + gone + " cannot be reached");
}

TEST_F(ResolverTest, TheNextServerIsAskedWhenOneFails) {
  ScriptedServer dead(io, [](const DnsPacket&) { return ""; });
  ScriptedServer broken(io, [](const DnsPacket& asked) { return code(asked, servfail); });
  ScriptedServer refusing(io, [](const DnsPacket& asked) { return code(asked, refused); });
  ScriptedServer good(io, [](const DnsPacket& asked) { return normal(asked); });
  const LookedUp found =
      look({dead.text(), broken.text(), refusing.text(), good.text()}, LookUp::Kind::services, 2s);
  EXPECT_EQ(found.kind, Kind::found) << found.reason;
  ASSERT_EQ(found.services.size(), 1u);
  EXPECT_THAT(found.services[0].addresses, ElementsAre("10.0.0.1", "fd00::1"));
  EXPECT_EQ(dead.asked.size(), 2u) << "its targets need not wait for a dead server again";
}

TEST_F(ResolverTest, ALaterServerThatHasOneKindIsBelievedAboutTheOther) {
  ScriptedServer broken(io, [](const DnsPacket& asked) { return code(asked, servfail); });
  ScriptedServer good(
      io, [](const DnsPacket& asked) { return asked.type == a ? normal(asked) : asked.bytes(); });
  EXPECT_THAT(look({broken.text(), good.text()}).addresses, ElementsAre("10.0.0.1"));
}

TEST_F(ResolverTest, EveryServerThatFailedIsNamed) {
  ScriptedServer broken(io, [](const DnsPacket& asked) { return code(asked, servfail); });
  ScriptedServer refusing(io, [](const DnsPacket& asked) { return code(asked, refused); });
  EXPECT_EQ(look({broken.text(), refusing.text()}, LookUp::Kind::ipv4).reason,
            "DNS server " + broken.text() +
                " could not find an answer for web.test (SERVFAIL); DNS server " + refusing.text() +
                " refuses to answer for web.test (REFUSED)");
}

TEST_F(ResolverTest, NoFromALaterServerProvesNothingWhileAnEarlierOneFails) {
  ScriptedServer broken(io, [](const DnsPacket& asked) { return code(asked, servfail); });
  ScriptedServer outside(io, [](const DnsPacket& asked) { return code(asked, no_such_name); });
  const LookedUp found = look({broken.text(), outside.text()});
  EXPECT_EQ(found.kind, Kind::failed);
  EXPECT_THAT(found.reason, HasSubstr("(SERVFAIL); DNS server " + outside.text() +
                                      " says there is no such name"));
}

TEST_F(ResolverTest, AMalformedAnswerIsAFailure) {
  ScriptedServer server(io, [](const DnsPacket& asked) {
    std::string bytes = normal(asked);
    bytes.resize(bytes.size() - 2);
    return bytes;
  });
  EXPECT_EQ(look({server.text()}, LookUp::Kind::ipv4).reason,
            "DNS server " + server.text() + " sent a malformed answer for web.test");
}

TEST_F(ResolverTest, GarbageIsNotTakenForAnAnswer) {
  ScriptedServer server(io, [](const DnsPacket&) { return "no answer at all, just bytes"; });
  EXPECT_EQ(look({server.text()}, LookUp::Kind::ipv4, 300ms).kind, Kind::failed);
}

TEST_F(ResolverTest, AnAnswerThatIsCutOffIsNotTakenForTheWhole) {
  ScriptedServer server(io, [](const DnsPacket& asked) {  // Nobody answers by TCP.
    std::string bytes = normal(asked);
    bytes[2] = static_cast<char>(0x87);
    return bytes;
  });
  EXPECT_EQ(look({server.text()}, LookUp::Kind::ipv4).reason,
            "DNS server " + server.text() + " cannot be reached");
}

TEST_F(ResolverTest, AServerThatKnowsNoExtensionsIsAskedWithout) {
  ScriptedServer* server = nullptr;
  ScriptedServer old(io, [&](const DnsPacket& asked) {
    return server->is_extended ? code(asked, 0x8181) : normal(asked);
  });
  server = &old;
  EXPECT_THAT(look({old.text()}, LookUp::Kind::ipv4).addresses, ElementsAre("10.0.0.1"));
  EXPECT_EQ(old.asked.size(), 2u);
}

TEST_F(ResolverTest, ATargetWithoutAddressKeepsItsName) {
  ScriptedServer server(io, [](const DnsPacket& asked) {
    return asked.type == srv ? normal(asked) : code(asked, servfail);
  });
  const LookedUp found = look({server.text()}, LookUp::Kind::services);
  EXPECT_EQ(found.kind, Kind::found);
  ASSERT_EQ(found.services.size(), 1u);
  EXPECT_EQ(found.services[0].target, "z.test");
  EXPECT_EQ(found.services[0].port, 7001);
  EXPECT_THAT(found.services[0].addresses, IsEmpty());
}

TEST_F(ResolverTest, TargetsAreNotLookedUpWhereNobodyWantsTheirAddresses) {
  ScriptedServer server(io, [](const DnsPacket& asked) { return normal(asked); });
  look({.kind = LookUp::Kind::services,
        .name = "web.test",
        .servers = {server.text()},
        .target_addresses = false,
        .within = 10s});
  EXPECT_THAT(server.asked, ElementsAre("web.test"));
}

class SearchTest : public ResolverTest {
 protected:
  SearchTest() {
    std::ofstream(file) << "search a.test b.test\noptions ndots:2\nnameserver 127.0.0.1\n";
  }
  ~SearchTest() override { std::filesystem::remove(file); }
  LookedUp search(const ScriptedServer& server, const std::string& name) {
    return look({.kind = LookUp::Kind::ipv4,
                 .name = name,
                 .servers = {server.text()},
                 .search = true,
                 .within = 10s},
                file);
  }

  const std::string file = ::testing::TempDir() + "/resolv.conf." + std::to_string(::getpid());
};

TEST_F(SearchTest, TriesTheDomainsInOrder) {
  ScriptedServer server(io, [](const DnsPacket& asked) {
    return asked.name == "web.b.test" ? normal(asked) : code(asked, no_such_name);
  });
  EXPECT_EQ(search(server, "web").kind, Kind::found);
  EXPECT_THAT(server.asked, ElementsAre("web.a.test", "web.b.test"));
}

TEST_F(SearchTest, StopsAtAFailureBecauseTheNextNameMayBeSomebodyElses) {
  ScriptedServer server(io, [](const DnsPacket& asked) {
    return asked.name == "web.b.test" ? normal(asked) : code(asked, servfail);
  });
  EXPECT_EQ(search(server, "web").kind, Kind::failed);
  EXPECT_THAT(server.asked, ElementsAre("web.a.test"));
}

TEST_F(SearchTest, SaysThatAllNamesWereTried) {
  ScriptedServer server(io, [](const DnsPacket& asked) { return code(asked, no_such_name); });
  const LookedUp found = search(server, "web");
  EXPECT_EQ(found.kind, Kind::no_such_name);
  EXPECT_EQ(found.reason, "DNS server " + server.text() +
                              " says there is no such name: web, nor with the domains of the "
                              "search list");
  EXPECT_THAT(server.asked, ElementsAre("web.a.test", "web.b.test", "web"));
}

TEST_F(SearchTest, TheServersOfTheSystemAreThoseOfItsFile) {
  std::ofstream(file) << "nameserver 10.0.0.2\nnameserver fd00::53\nsearch a.test b.test\n"
                         "options ndots:5 rotate\n";
  const auto system = read_system_dns(file);
  ASSERT_TRUE(system) << system.error().text();
  ASSERT_EQ(system->servers.size(), 2u);
  EXPECT_EQ(system->servers[0].text(), "10.0.0.2");
  EXPECT_EQ(system->servers[1].text(), "fd00::53");
  EXPECT_THAT(system->domains, ElementsAre("a.test", "b.test"));
  EXPECT_EQ(system->dots, 5);
}

TEST_F(SearchTest, WithoutAFileTheServerOfThisHostIsAsked) {
  const auto system = read_system_dns(file + ".none");
  ASSERT_TRUE(system) << system.error().text();
  ASSERT_EQ(system->servers.size(), 1u);
  EXPECT_EQ(system->servers[0].text(), "127.0.0.1");
}

TEST_F(ResolverTest, HalfAListIsNotCompletedByALaterServersNo) {
  ScriptedServer half(io, [](const DnsPacket& asked) {
    return asked.type == a ? normal(asked) : code(asked, servfail);
  });
  ScriptedServer outside(io, [](const DnsPacket& asked) { return code(asked, no_such_name); });
  const LookedUp found = look({half.text(), outside.text()});
  EXPECT_EQ(found.kind, Kind::failed);
  EXPECT_THAT(found.reason, HasSubstr(half.text() + " could not find an answer"));
}

TEST_F(ResolverTest, MoreTargetsThanAreAskedForAtATimeAreAllLookedUp) {
  ScriptedServer server(io, [](DnsPacket asked) {
    if (asked.type != srv) return normal(asked);
    for (unsigned i = 0; i < 33; ++i)
      asked.records.push_back({"web.test", srv, dns_service(1, std::to_string(i) + ".z.test")});
    return asked.bytes();
  });
  const LookedUp found = look({server.text()}, LookUp::Kind::services);
  ASSERT_EQ(found.services.size(), 33u);
  for (const auto& service : found.services) EXPECT_EQ(service.addresses.size(), 2u);
}

TEST_F(ResolverTest, IsCancelledAtAnyMomentWithoutATrace) {
  ScriptedServer silent(io, [](const DnsPacket&) { return ""; });
  for (int steps = 0; steps < 12; ++steps) {
    TaskGroup tasks(io.get_executor());
    const auto run = [](std::string server) -> asio::awaitable<void> {
      LookUp question{.name = "web.test", .servers = {std::move(server)}, .within = 1h};
      (void)co_await look_up(std::move(question));
    };
    tasks.spawn(run(silent.text()));
    for (int i = 0; i < steps; ++i) io.poll_one();
    bool stopped = false;
    asio::co_spawn(io, tasks.stop(), [&](const std::exception_ptr&) { stopped = true; });
    while (!stopped) io.run_one();
  }
}

}  // namespace
}  // namespace muster::discovery
