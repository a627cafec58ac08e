// SPDX-License-Identifier: MIT
//
// Lookups and the DNS strategies beside real servers: dnsmasq and Knot.
#include <gmock/gmock.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdlib>

#include "dns/resolver.h"
#include "interop/dns_servers.h"
#include "muster/discovery/test_kit.h"
#include "muster/discovery/topologies.h"

namespace muster::discovery {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using muster::test::Dnsmasq, muster::test::DnsServerProcess, muster::test::Knot;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Kind = LookedUp::Kind;

#define SKIP_WITHOUT(Server) \
  if (!Server::is_installed()) GTEST_SKIP() << Server::how_to_install

std::string numbered_hosts(int count, const std::string& name) {
  std::string hosts;
  for (int i = 1; i <= count; ++i) hosts += "10.0.0." + std::to_string(i) + " " + name + "\n";
  return hosts;
}

class DnsInterop : public ::testing::Test {
 protected:
  LookedUp look(LookUp question) {
    LookedUp found;
    bool ended = false;
    asio::co_spawn(io, look_up(std::move(question)),
                   [&](const std::exception_ptr& exception, LookedUp answer) {
                     EXPECT_FALSE(exception);
                     found = std::move(answer);
                     ended = true;
                   });
    EXPECT_TRUE(eventually([&] { return ended; }));
    return found;
  }
  LookedUp look(const std::vector<std::string>& servers, const std::string& name,
                LookUp::Kind kind = LookUp::Kind::addresses, Duration within = 10s) {
    return look(LookUp{.kind = kind, .name = name, .servers = servers, .within = within});
  }
  /// Until the answer for `name` satisfies `what`: a server takes a moment to start or to re-read.
  template <class Condition>
  LookedUp look_until(const DnsServerProcess& server, const std::string& name, LookUp::Kind kind,
                      Condition what) {
    LookedUp found;
    for (int i = 0; i < 1000; ++i) {
      found = look({server.text()}, name, kind);
      if (what(found)) return found;
      asio::steady_timer pause(io, 20ms);
      bool passed = false;
      pause.async_wait([&](boost::system::error_code) { passed = true; });
      EXPECT_TRUE(eventually([&] { return passed; }));
    }
    ADD_FAILURE() << "not the answer that was waited for: " << found.reason << "\n" << server.log();
    return found;
  }
  LookedUp look_found(const DnsServerProcess& server, const std::string& name,
                      LookUp::Kind kind = LookUp::Kind::addresses) {
    return look_until(server, name, kind,
                      [](const LookedUp& found) { return found.kind == Kind::found; });
  }

  template <class Condition>
  bool eventually(Condition what) {
    io.restart();
    const auto end = std::chrono::steady_clock::now() + 60s;
    while (!what() && std::chrono::steady_clock::now() < end) io.run_one_for(100ms);
    return what();
  }

  asio::io_context io{1};
};

using DnsmasqTest = DnsInterop;

TEST_F(DnsmasqTest, AnswersEveryKindOfRecord) {
  SKIP_WITHOUT(Dnsmasq);
  Dnsmasq server("10.0.0.2 web.test\n10.0.0.1 web.test\nfd00::1 web.test\n10.0.0.9 four.test\n",
                 {"--srv-host=_muster._tcp.test,web.test,7001,10",
                  "--srv-host=_muster._tcp.test,four.test,7002,20",
                  "--srv-host=_muster._tcp.test,nowhere.test,7003,30",
                  "--cname=alias.test,web.test", "--local-ttl=30"});
  const LookedUp web = look_found(server, "web.test");
  EXPECT_THAT(web.addresses, ElementsAre("10.0.0.1", "10.0.0.2", "fd00::1"));
  EXPECT_EQ(web.ttl, 30s);
  EXPECT_THAT(look({server.text()}, "alias.test").addresses,
              ElementsAre("10.0.0.1", "10.0.0.2", "fd00::1"));
  EXPECT_THAT(look({server.text()}, "web.test.", LookUp::Kind::ipv4).addresses,
              ElementsAre("10.0.0.1", "10.0.0.2"));
  EXPECT_THAT(look({server.text()}, "four.test").addresses, ElementsAre("10.0.0.9"));

  const LookedUp services = look({server.text()}, "_muster._tcp.test", LookUp::Kind::services);
  ASSERT_EQ(services.services.size(), 3u) << services.reason;
  EXPECT_EQ(services.services[0].target, "web.test");
  EXPECT_EQ(services.services[0].port, 7001);
  EXPECT_THAT(services.services[0].addresses, ElementsAre("10.0.0.1", "10.0.0.2", "fd00::1"));
  EXPECT_EQ(services.services[1].target, "four.test");
  EXPECT_THAT(services.services[2].addresses, IsEmpty());
}

TEST_F(DnsmasqTest, TellsItsRefusalsApart) {
  SKIP_WITHOUT(Dnsmasq);
  Dnsmasq server("10.0.0.1 web.test\n");
  look_found(server, "web.test");
  const LookedUp none = look({server.text()}, "no.test");
  EXPECT_EQ(none.kind, Kind::no_such_name);
  EXPECT_EQ(none.reason, "DNS server " + server.text() + " says there is no such name: no.test");
  const LookedUp empty = look({server.text()}, "web.test", LookUp::Kind::services);
  EXPECT_EQ(empty.kind, Kind::no_records);
  const LookedUp refused = look({server.text()}, "web.example");
  EXPECT_EQ(refused.kind, Kind::failed);
  EXPECT_THAT(refused.reason, HasSubstr("REFUSED"));
}

TEST_F(DnsmasqTest, TwoHundredAddressesComeByTcp) {
  SKIP_WITHOUT(Dnsmasq);
  Dnsmasq server(numbered_hosts(200, "many.test"));
  EXPECT_EQ(look_found(server, "many.test", LookUp::Kind::ipv4).addresses.size(), 200u);
}

TEST_F(DnsmasqTest, RecordsThatChangeAreSeenAtTheNextLookup) {
  SKIP_WITHOUT(Dnsmasq);
  Dnsmasq server("10.0.0.1 web.test\n");
  look_found(server, "web.test");
  server.change("10.0.0.7 web.test\n");
  look_until(server, "web.test", LookUp::Kind::addresses, [](const LookedUp& found) {
    return found.addresses == std::vector<std::string>{"10.0.0.7"};
  });
}

TEST_F(DnsmasqTest, AServerThatIsGoneOrStandsStillIsPassedOver) {
  SKIP_WITHOUT(Dnsmasq);
  Dnsmasq gone("10.0.0.1 web.test\n"), still("10.0.0.1 web.test\n"), good("10.0.0.3 web.test\n");
  look_found(gone, "web.test");
  look_found(still, "web.test");
  look_found(good, "web.test");
  gone.kill();
  still.freeze();
  EXPECT_EQ(look({gone.text()}, "web.test").reason,
            "DNS server " + gone.text() + " cannot be reached");
  EXPECT_EQ(look({still.text()}, "web.test", LookUp::Kind::addresses, 600ms).reason,
            "DNS server " + still.text() + " did not answer in time");
  EXPECT_THAT(look({gone.text(), still.text(), good.text()}, "web.test").addresses,
              ElementsAre("10.0.0.3"));
}

using KnotTest = DnsInterop;

TEST_F(KnotTest, AnswersForItsZoneAndFollowsAliasesInIt) {
  SKIP_WITHOUT(Knot);
  Knot server(
      "web A 10.0.0.1\nweb AAAA fd00::1\nalias 21 CNAME web\noutside CNAME www.example.\n"
      "_muster._tcp SRV 0 0 7001 web\n");
  look_found(server, "web.good.test");
  const LookedUp alias = look({server.text()}, "alias.good.test");
  EXPECT_THAT(alias.addresses, ElementsAre("10.0.0.1", "fd00::1"));
  EXPECT_EQ(alias.ttl, 21s);
  const LookedUp services = look({server.text()}, "_muster._tcp.good.test", LookUp::Kind::services);
  ASSERT_EQ(services.services.size(), 1u) << services.reason;
  EXPECT_EQ(services.services[0].target, "web.good.test");
  EXPECT_EQ(look({server.text()}, "no.good.test").kind, Kind::no_such_name);
  EXPECT_EQ(look({server.text()}, "ns.good.test", LookUp::Kind::services).kind, Kind::no_records);
  EXPECT_EQ(look({server.text()}, "outside.good.test").reason,
            "DNS server " + server.text() +
                " gives an alias of outside.good.test and does not follow it");
  EXPECT_THAT(look({server.text()}, "web.example").reason, HasSubstr("(REFUSED)"));
}

TEST_F(KnotTest, AZoneThatCannotBeLoadedIsAFailure) {
  SKIP_WITHOUT(Knot);
  Knot server("web A 10.0.0.1\n");
  look_found(server, "web.good.test");
  const LookedUp found = look({server.text()}, "web.broken.test");
  EXPECT_EQ(found.kind, Kind::failed);
  EXPECT_EQ(found.reason, "DNS server " + server.text() +
                              " could not find an answer for web.broken.test (SERVFAIL)");
}

TEST_F(KnotTest, LongAnswersComeByTcpUpToAThousandRecords) {
  SKIP_WITHOUT(Knot);
  std::string records;
  for (int i = 0; i < 1001; ++i) {
    const std::string address =
        "10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250) + "\n";
    if (i < 1000) records += "most A " + address;
    records += "more A " + address;
  }
  for (int i = 0; i < 100; ++i)
    records += "_many._tcp SRV 0 0 7001 n" + std::to_string(i) + "\nn" + std::to_string(i) +
               " A 10.1.0." + std::to_string(i) + "\n";
  Knot server(records);
  EXPECT_EQ(look_found(server, "most.good.test", LookUp::Kind::ipv4).addresses.size(), 1000u);
  EXPECT_EQ(look({server.text()}, "more.good.test").reason,
            "DNS server " + server.text() + " gives more than 1000 records of more.good.test");
  const LookedUp services = look({server.text()}, "_many._tcp.good.test", LookUp::Kind::services);
  ASSERT_EQ(services.services.size(), 100u) << services.reason;
  for (const auto& service : services.services) EXPECT_EQ(service.addresses.size(), 1u);
}

TEST_F(KnotTest, AZoneThatIsReadAgainIsSeenAtTheNextLookup) {
  SKIP_WITHOUT(Knot);
  Knot server("web A 10.0.0.1\n");
  look_found(server, "web.good.test");
  server.change("web A 10.0.0.8\n");
  look_until(server, "web.good.test", LookUp::Kind::ipv4, [](const LookedUp& found) {
    return found.addresses == std::vector<std::string>{"10.0.0.8"};
  });
}

/// A program with discovery and a transport of its own.
class DnsTopologies : public DnsInterop {
 protected:
  DnsTopologies()
      : topologies(
            io.get_executor(), plumbing,
            {.context = {.self = NodeName::parse("app@10.0.0.1").value()},
             .log =
                 Log([this](Level, std::string_view line) { log.emplace_back(line); }, Level::info),
             .on_pass = [this](const std::string&, const Pass& pass) { passes.push_back(pass); }}) {
  }
  ~DnsTopologies() override {
    bool stopped = false;
    asio::co_spawn(io, topologies.stop(), [&](const std::exception_ptr&) { stopped = true; });
    EXPECT_TRUE(eventually([&] { return stopped; }));
    io.restart();
    io.run_for(10s);
    EXPECT_TRUE(io.stopped()) << "something still waits";
  }
  void add(const std::string& strategy, Settings config) {
    config.set("polling_interval", 50ms);
    const auto plan = plan_topology("t", strategy, std::move(config), StrategyRegistry());
    ASSERT_TRUE(plan) << plan.error().text();
    ASSERT_TRUE(topologies.add(*plan));
  }
  std::vector<std::string> linked() const {
    std::vector<std::string> names;
    for (const NodeName& name : plumbing.linked) names.push_back(name.text());
    return names;
  }
  void expect_linked(const std::vector<std::string>& names) {
    EXPECT_TRUE(eventually([&] { return linked() == names; }))
        << ::testing::PrintToString(linked());
  }
  /// Of the same words again.
  std::ptrdiff_t times_logged(const std::string& words) const {
    return std::ranges::count_if(
        log, [&](const std::string& line) { return line.find(words) != std::string::npos; });
  }
  void expect_passes(std::size_t count, Pass::Kind kind) {
    const std::size_t before = passes.size();
    EXPECT_TRUE(eventually([&] {
      std::size_t of_kind = 0;
      for (std::size_t i = before; i < passes.size(); ++i) of_kind += passes[i].kind == kind;
      return of_kind >= count;
    }));
  }

  test::NamePlumbing plumbing;
  std::vector<std::string> log;
  std::vector<Pass> passes;
  Topologies topologies;
};

TEST_F(DnsTopologies, DnsPollFollowsTheRecordsAndOutlivesItsServer) {
  SKIP_WITHOUT(Dnsmasq);
  Dnsmasq server("10.0.0.1 web.test\n10.0.0.2 web.test\nfd00::3 web.test\n");
  add("dns_poll",
      Settings::map(
          {{"query", "web.test"}, {"node_basename", "app"}, {"resolver", server.text()}}));
  expect_linked({"app@10.0.0.2", "app@fd00::3"});
  server.change("10.0.0.2 web.test\n10.0.0.4 web.test\n");
  expect_linked({"app@10.0.0.2", "app@10.0.0.4"});
  server.kill();
  log.clear();
  expect_passes(4, Pass::Kind::unknown);
  expect_linked({"app@10.0.0.2", "app@10.0.0.4"});
  EXPECT_EQ(times_logged("DNS server " + server.text() + " cannot be reached"), 1);
  server.start();
  expect_passes(1, Pass::Kind::list);
  server.change("");
  expect_linked({});
}

TEST_F(DnsTopologies, AServerThatStandsStillStallsNobody) {
  SKIP_WITHOUT(Dnsmasq);
  Dnsmasq server("10.0.0.2 web.test\n");
  add("dns_poll",
      Settings::map(
          {{"query", "web.test"}, {"node_basename", "app"}, {"resolver", server.text()}}));
  expect_linked({"app@10.0.0.2"});
  server.freeze();
  int ticks = 0;
  for (; ticks < 20; ++ticks) {  // Other timers run all the while.
    asio::steady_timer timer(io, 10ms);
    bool passed = false;
    timer.async_wait([&](boost::system::error_code) { passed = true; });
    ASSERT_TRUE(eventually([&] { return passed; }));
  }
  expect_passes(1, Pass::Kind::unknown);
  EXPECT_EQ(passes.back().reason, "DNS server " + server.text() + " did not answer in time");
  expect_linked({"app@10.0.0.2"});
  server.thaw();
  expect_passes(1, Pass::Kind::list);
}

TEST_F(DnsTopologies, DnsSrvConnectsTargetsAtTheirPorts) {
  SKIP_WITHOUT(Knot);
  Knot server(
      "a A 10.0.0.2\nb AAAA fd00::2\n_muster._tcp SRV 0 0 7001 a\n_muster._tcp SRV 0 0 7002 b\n"
      "_muster._tcp SRV 0 0 7003 nowhere\n");
  add("dns_srv", Settings::map({{"query", "_muster._tcp.good.test"},
                                {"node_basename", "app"},
                                {"resolver", Settings::list({server.text()})}}));
  expect_linked({"app@a.good.test", "app@b.good.test", "app@nowhere.good.test"});
  const auto dialled = [&](const std::string& name) {
    for (const Peer& peer : plumbing.dials)
      if (peer.name.text() == name) return peer.address + " " + std::to_string(peer.port);
    return std::string();
  };
  EXPECT_EQ(dialled("app@a.good.test"), "10.0.0.2 7001");
  EXPECT_EQ(dialled("app@b.good.test"), "fd00::2 7002");
  EXPECT_EQ(dialled("app@nowhere.good.test"), " 0");  // By its port mapper, if its host is known.
  server.change(
      "a A 10.0.0.2\nb A 10.0.0.3\n_muster._tcp SRV 0 0 7001 a\n_muster._tcp SRV 0 0 7002 b\n");
  expect_linked({"app@a.good.test", "app@b.good.test"});
}

TEST_F(DnsTopologies, KubernetesDnsFindsABareServiceByTheSearchList) {
  SKIP_WITHOUT(Dnsmasq);
  Dnsmasq server("10.0.0.2 web.prod.svc.test\nfd00::3 web.prod.svc.test\n");
  ::setenv("LOCALDOMAIN", "prod.svc.test", 1);  // Instead of the system's search list.
  add("kubernetes_dns",
      Settings::map(
          {{"service", "web"}, {"application_name", "app"}, {"resolver", server.text()}}));
  expect_linked({"app@10.0.0.2"});
  ::unsetenv("LOCALDOMAIN");
}

TEST_F(DnsTopologies, KubernetesDnsSrvConnectsThePodsOfAStatefulSet) {
  SKIP_WITHOUT(Dnsmasq);
  const std::string service = "web.prod.svc.cluster.test";
  Dnsmasq server("10.0.0.2 web-0." + service + "\n",
                 {"--srv-host=" + service + ",web-0." + service + ",80",
                  "--srv-host=" + service + ",web-1." + service + ",80"});
  ::setenv("CLUSTER_DOMAIN", "cluster.test.", 1);
  add("kubernetes_dns_srv", Settings::map({{"service", "web"},
                                           {"namespace", "prod"},
                                           {"application_name", "app"},
                                           {"resolver", server.text()}}));
  ::unsetenv("CLUSTER_DOMAIN");
  expect_linked({"app@web-0." + service, "app@web-1." + service});
  EXPECT_EQ(plumbing.dials.front().port, 0);
}

TEST_F(DnsTopologies, SteadyRecordsCauseNeitherConnectsNorDisconnects) {
  SKIP_WITHOUT(Dnsmasq);
  Dnsmasq server(numbered_hosts(20, "web.test"));  // In another order each time.
  add("dns_poll",
      Settings::map(
          {{"query", "web.test"}, {"node_basename", "app"}, {"resolver", server.text()}}));
  ASSERT_TRUE(eventually([&] { return plumbing.linked.size() == 19; }));
  const std::size_t dials = plumbing.dials.size();
  expect_passes(10, Pass::Kind::list);
  EXPECT_EQ(plumbing.dials.size(), dials);
  EXPECT_EQ(plumbing.linked.size(), 19u);
}

}  // namespace
}  // namespace muster::discovery
