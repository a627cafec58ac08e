// SPDX-License-Identifier: MIT
// The DNS strategies under a clock made by hand, and their options.
#include "dns/dns_machine.h"

#include <gmock/gmock.h>

#include <cstdlib>

#include "discovery/strategy_world.h"
#include "discovery/virtual_clock.h"
#include "muster/discovery/strategy_registry.h"
#include "muster/discovery/topology_machine.h"

namespace muster::discovery {
namespace {

using namespace std::chrono_literals;
using muster::test::VirtualClock;
using test::context_of, test::names_of, test::RecordingSink;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Kind = LookedUp::Kind;

LookedUp addresses(std::vector<std::string> found, Duration ttl = 60s) {
  return {.kind = Kind::found, .addresses = std::move(found), .ttl = ttl};
}
LookedUp services(std::vector<LookedUp::Service> found) {
  return {.kind = Kind::found, .services = std::move(found), .ttl = 60s};
}
LookedUp no_such_name() { return {.kind = Kind::no_such_name, .reason = "no such name"}; }
LookedUp failure(std::string reason = "SERVFAIL") {
  return {.kind = Kind::failed, .reason = std::move(reason)};
}

class DnsMachineTest : public ::testing::Test {
 protected:
  void start(LookUp::Kind kind = LookUp::Kind::addresses, bool use_ports = true) {
    machine = std::make_unique<DnsMachine>(
        DnsMachine::Options{.question = {.kind = kind, .name = "web.test"},
                            .node_basename = "app",
                            .polling_interval = 5s,
                            .use_ports = use_ports},
        context_of("app@10.0.0.1"), sink);
    machine->start(clock.now());
  }
  /// Runs, answering every question at once with `with`.
  void run(Duration by, const LookedUp& with) {
    const auto answer_all = [&] {
      for (; answered < sink.asked.size(); ++answered) {
        machine->answer(clock.now(), sink.asked[answered].id, with);
        machine->check_invariants();
      }
    };
    answer_all();
    clock.run(*machine, by, answer_all);
  }
  const Pass& last() const { return sink.passes.back(); }
  std::uint64_t counter(const std::string& name) const { return machine->counters().at(name); }

  VirtualClock clock;
  RecordingSink sink;
  std::unique_ptr<DnsMachine> machine;
  std::size_t answered = 0;
};

TEST_F(DnsMachineTest, C15AddressesOfBothKindsBecomeNodesWithoutThisOne) {
  start();
  run(0s, addresses({"10.0.0.1", "10.0.0.2", "fd00::2"}));
  EXPECT_EQ(last().kind, Pass::Kind::list);
  EXPECT_TRUE(last().disconnects);
  EXPECT_THAT(names_of(last()), ElementsAre("app@10.0.0.2", "app@fd00::2"));
}

TEST_F(DnsMachineTest, C16C22AnAddressThatVanishesLeavesTheList) {
  start();
  run(0s, addresses({"10.0.0.2", "10.0.0.3"}));
  run(5s, addresses({"10.0.0.3"}));
  EXPECT_THAT(names_of(last()), ElementsAre("app@10.0.0.3"));
}

TEST_F(DnsMachineTest, C17C23C27ASteadyAnswerIsTheSamePassAgain) {
  start();
  run(20s, addresses({"10.0.0.2"}));
  ASSERT_EQ(sink.passes.size(), 5u);
  for (const Pass& pass : sink.passes) EXPECT_EQ(pass.peers, sink.passes.front().peers);
}

TEST_F(DnsMachineTest, PollsOnceEachIntervalInOneChain) {
  start();
  run(50s, addresses({"10.0.0.2"}));
  EXPECT_EQ(sink.asked.size(), 11u);
  EXPECT_EQ(counter("lookups"), 11u);
}

TEST_F(DnsMachineTest, WakingOftenerAsksNoOftener) {
  start();
  for (int i = 0; i < 10; ++i) machine->wake(clock.now());  // Under way.
  run(0s, addresses({"10.0.0.2"}));
  for (int i = 0; i < 10; ++i) machine->wake(clock.now());  // Not due.
  EXPECT_EQ(sink.asked.size(), 1u);
}

TEST_F(DnsMachineTest, TheIntervalCountsFromTheAnswer) {
  start();
  clock.set(clock.now().mono + 3s);
  run(0s, addresses({"10.0.0.2"}));
  EXPECT_EQ(last().took, 3s);
  EXPECT_EQ(machine->next_wake(), clock.now().mono + 5s);
}

TEST_F(DnsMachineTest, ATtlThatEndsEarlierBringsTheNextLookupForwardByHalfAtMost) {
  start();
  run(0s, addresses({"10.0.0.2"}, 3s));
  EXPECT_EQ(machine->next_wake(), clock.now().mono + 3s);
  run(3s, addresses({"10.0.0.2"}, 1s));
  EXPECT_EQ(machine->next_wake(), clock.now().mono + 2500ms);
  run(2500ms, addresses({"10.0.0.2"}, 0s));
  EXPECT_EQ(machine->next_wake(), clock.now().mono + 5s);
  run(5s, addresses({"10.0.0.2"}, 24h));
  EXPECT_EQ(machine->next_wake(), clock.now().mono + 5s);
}

TEST_F(DnsMachineTest, AFailureIsUnknownAndRepeatedSoonerWithBackoff) {
  start();
  run(0s, addresses({"10.0.0.2"}));
  run(5s, failure("DNS server 10.0.0.53 could not find an answer for web.test (SERVFAIL)"));
  EXPECT_EQ(last().kind, Pass::Kind::unknown);
  EXPECT_EQ(last().reason, "DNS server 10.0.0.53 could not find an answer for web.test (SERVFAIL)");
  EXPECT_LE(machine->next_wake(), clock.now().mono + 500ms);
  run(60s, failure());
  EXPECT_LE(machine->next_wake(), clock.now().mono + 5s);
  EXPECT_LT(sink.asked.size(), 40u);
  EXPECT_EQ(counter("failed_lookups"), sink.asked.size() - 1);
  run(5s, addresses({"10.0.0.2"}));
  EXPECT_THAT(names_of(last()), ElementsAre("app@10.0.0.2"));
}

TEST_F(DnsMachineTest, C24C28NoSuchNameIsAnEmptyListOnlyOnceItIsSaidTwice) {
  start();
  run(0s, no_such_name());
  EXPECT_EQ(last().kind, Pass::Kind::unknown);
  EXPECT_EQ(last().reason, "no such name; that counts once it is said twice");
  run(5s, {.kind = Kind::no_records, .reason = "no records"});
  EXPECT_EQ(last().kind, Pass::Kind::known_empty);
  run(5s, no_such_name());
  EXPECT_EQ(last().kind, Pass::Kind::known_empty);
  EXPECT_EQ(counter("empty_answers"), 3u);
  EXPECT_EQ(counter("lookups"), 3u);
}

TEST_F(DnsMachineTest, AnythingElseBetweenTwoEmptyAnswersStartsTheCountAnew) {
  start();
  run(0s, no_such_name());
  run(5s, failure());
  run(5s, no_such_name());
  EXPECT_EQ(last().kind, Pass::Kind::unknown);
  run(5s, addresses({"10.0.0.2"}));
  run(5s, no_such_name());
  EXPECT_EQ(last().kind, Pass::Kind::unknown);
}

TEST_F(DnsMachineTest, OnlyThisNodeIsAKnownEmptyList) {
  start();
  run(0s, addresses({"10.0.0.1"}));
  EXPECT_EQ(last().kind, Pass::Kind::known_empty);
}

TEST_F(DnsMachineTest, C25TargetsBecomeNodesWithTheirPorts) {
  start(LookUp::Kind::services);
  run(0s, services({{"b.test", 7002, {"10.0.0.2", "fd00::2"}},
                    {"c.test", 7003, {}},
                    {"d.test", 0, {"10.0.0.4"}}}));
  EXPECT_THAT(names_of(last()), ElementsAre("app@b.test", "app@c.test", "app@d.test"));
  const std::vector<Peer> peers(last().peers.begin(), last().peers.end());
  EXPECT_EQ(peers[0].address, "10.0.0.2");
  EXPECT_EQ(peers[0].port, 7002);
  EXPECT_EQ(peers[1].address, "");  // Its port alone is of no use.
  EXPECT_EQ(peers[1].port, 0);
  EXPECT_EQ(peers[2].address, "");
}

TEST_F(DnsMachineTest, C26ATargetThatVanishesLeavesTheList) {
  start(LookUp::Kind::services);
  run(0s, services({{"b.test", 7002, {"10.0.0.2"}}, {"c.test", 7002, {"10.0.0.3"}}}));
  run(5s, services({{"c.test", 7002, {"10.0.0.3"}}}));
  EXPECT_THAT(names_of(last()), ElementsAre("app@c.test"));
}

TEST_F(DnsMachineTest, OneTargetWithSeveralPortsIsOneNodeByItsBestRecord) {
  start(LookUp::Kind::services);
  run(0s, services({{"b.test", 7002, {"10.0.0.2"}}, {"b.test", 80, {"10.0.0.2"}}}));
  ASSERT_EQ(last().peers.size(), 1u);
  EXPECT_EQ(last().peers.begin()->port, 7002);
}

TEST_F(DnsMachineTest, PortsOfAKubernetesServiceAreNotThoseOfNodes) {
  start(LookUp::Kind::services, /*use_ports=*/false);
  run(0s, services({{"b.test", 80, {"10.0.0.2"}}}));
  EXPECT_EQ(last().peers.begin()->port, 0);
}

TEST_F(DnsMachineTest, OneBadRecordIsCountedAndSkipped) {
  start(LookUp::Kind::services);
  LookedUp answer = services({{"b c.test", 1, {}}, {"d.test", 1, {}}});
  answer.skipped = 2;
  run(0s, answer);
  EXPECT_THAT(names_of(last()), ElementsAre("app@d.test"));
  EXPECT_EQ(counter("records_skipped"), 3u);
}

TEST_F(DnsMachineTest, OnlyBadRecordsAreUnknown) {
  start(LookUp::Kind::services);
  run(0s, services({{"b c.test", 1, {}}}));
  EXPECT_EQ(last().kind, Pass::Kind::unknown);
}

TEST_F(DnsMachineTest, AnAnswerToAnotherQuestionIsLeftAlone) {
  start();
  machine->answer(clock.now(), 77, addresses({"10.0.0.2"}));
  EXPECT_THAT(sink.passes, IsEmpty());
}

// The rules that passes meet in the topology machine.
class DnsTopologyTest : public DnsMachineTest, protected TopologySink {
 protected:
  DnsTopologyTest() : topology({.self = NodeName::parse("app@10.0.0.1").value()}, *this) {
    topology.add("t");
  }
  void feed(Duration by, const LookedUp& answer) {
    const std::size_t before = sink.passes.size();
    run(by, answer);
    for (std::size_t i = before; i < sink.passes.size(); ++i)
      topology.pass(clock.now(), "t", sink.passes[i]);
    while (!dials.empty()) {
      const auto [id, name] = dials.front();
      dials.erase(dials.begin());
      linked.insert(name);
      topology.connected(clock.now(), id, {});
    }
  }

  void connect(AttemptId id, const Peer& peer, Duration) override {
    dials.emplace_back(id, peer.name);
  }
  void disconnect(AttemptId, const NodeName& name) override { linked.erase(name); }
  std::set<NodeName> list_nodes() override { return linked; }
  void happened(const ConnectEvent&) override {}
  void note(const std::string&, Level, std::string text) override {
    notes.push_back(std::move(text));
  }

  TopologyMachine topology;
  std::vector<std::pair<AttemptId, NodeName>> dials;
  std::set<NodeName> linked;
  std::vector<std::string> notes;
};

TEST_F(DnsTopologyTest, C21ConnectsEveryAddressAndKeepsThemWhileLookupsFail) {
  start();
  feed(0s, addresses({"10.0.0.2", "10.0.0.3"}));
  EXPECT_EQ(linked.size(), 2u);
  feed(60s, failure());
  EXPECT_EQ(linked.size(), 2u);
  feed(10s, no_such_name());
  EXPECT_THAT(linked, IsEmpty());
}

TEST_F(DnsTopologyTest, APartialAnswerThatDropsMoreThanHalfIsHeldBack) {
  start();
  feed(0s, addresses({"10.0.0.2", "10.0.0.3", "10.0.0.4"}));
  feed(5s, addresses({"10.0.0.2"}));
  EXPECT_EQ(linked.size(), 3u);
  feed(5s, addresses({"10.0.0.2", "10.0.0.3", "10.0.0.4"}));
  EXPECT_EQ(linked.size(), 3u);
}

TEST_F(DnsTopologyTest, AFailureIsSaidOnceWhileItLasts) {
  start();
  feed(0s, addresses({"10.0.0.2"}));
  notes.clear();
  feed(60s, failure("DNS server 10.0.0.53 did not answer in time"));
  EXPECT_EQ(std::ranges::count_if(notes,
                                  [](const std::string& text) {
                                    return text.find("did not answer in time") != std::string::npos;
                                  }),
            1);
}

class DnsOptionsTest : public ::testing::Test {
 protected:
  std::vector<std::string> wrong(const std::string& strategy, const std::string& config) {
    problems = {};
    file = Settings::parse("x: {strategy: " + strategy + ", config: {" + config + "}}", "m.yaml")
               .value();
    plans = read_topologies(file, "", registry, problems);
    return problems.lines();
  }
  /// What the strategy asks at its start.
  LookUp question(const std::string& strategy, const std::string& config) {
    EXPECT_THAT(wrong(strategy, config), IsEmpty());
    RecordingSink sink;
    plans.at(0).make(sink, context_of("app@10.0.0.1"))->start({});
    return std::get<LookUp>(sink.asked.at(0).question);
  }

  StrategyRegistry registry;
  Settings file;
  Problems problems;
  std::vector<TopologyPlan> plans;
};

TEST_F(DnsOptionsTest, C20DnsPollAsksForBothKindsOfAddresses) {
  const LookUp asked =
      question("dns_poll", "query: web.test, node_basename: app, polling_interval: 100");
  EXPECT_EQ(asked.kind, LookUp::Kind::addresses);
  EXPECT_EQ(asked.name, "web.test");
  EXPECT_THAT(asked.servers, IsEmpty());
  EXPECT_FALSE(asked.search);
}

TEST_F(DnsOptionsTest, DnsSrvAsksForServicesAndTheirAddresses) {
  const LookUp asked = question("dns_srv",
                                "query: _muster._tcp.test, node_basename: app, search: true, "
                                "resolver: [10.0.0.2, '[::1]:5353']");
  EXPECT_EQ(asked.kind, LookUp::Kind::services);
  EXPECT_TRUE(asked.target_addresses);
  EXPECT_TRUE(asked.search);
  EXPECT_THAT(asked.servers, ElementsAre("10.0.0.2", "[::1]:5353"));
}

TEST_F(DnsOptionsTest, KubernetesDnsSearchesForARecords) {
  const LookUp asked =
      question("kubernetes_dns", "service: web, application_name: app, resolver: 10.0.0.2:5353");
  EXPECT_EQ(asked.kind, LookUp::Kind::ipv4);
  EXPECT_EQ(asked.name, "web");
  EXPECT_TRUE(asked.search);
  EXPECT_THAT(asked.servers, ElementsAre("10.0.0.2:5353"));
}

TEST_F(DnsOptionsTest, KubernetesDnsSrvNamesTheServiceInFull) {
  const std::string config = "service: web, namespace: prod, application_name: app";
  ::unsetenv("CLUSTER_DOMAIN");
  EXPECT_EQ(question("kubernetes_dns_srv", config).name, "web.prod.svc.cluster.local.");
  ::setenv("CLUSTER_DOMAIN", "k8s.test", 1);
  const LookUp asked = question("kubernetes_dns_srv", config);
  EXPECT_EQ(asked.name, "web.prod.svc.k8s.test");
  EXPECT_FALSE(asked.search);
  EXPECT_FALSE(asked.target_addresses);
  ::setenv("CLUSTER_DOMAIN", "no domain", 1);
  EXPECT_THAT(wrong("kubernetes_dns_srv", config),
              ElementsAre("m.yaml:1:53: x.config.service cannot be looked up: CLUSTER_DOMAIN may "
                          "hold letters, digits, '-', '_' and dots, not 'no domain'"));
  ::unsetenv("CLUSTER_DOMAIN");
}

TEST_F(DnsOptionsTest, C18MissingOptionsAreErrorsAtLoad) {
  EXPECT_THAT(wrong("dns_poll", ""), ElementsAre("m.yaml:1:33: x.config needs 'query'",
                                                 "m.yaml:1:33: x.config needs 'node_basename'"));
  EXPECT_THAT(wrong("kubernetes_dns_srv", "service: web"),
              ElementsAre("m.yaml:1:43: x.config needs 'namespace'",
                          "m.yaml:1:43: x.config needs 'application_name'"));
}

TEST_F(DnsOptionsTest, C19InvalidOptionsAreErrorsAtLoad) {
  EXPECT_THAT(
      wrong("dns_poll", "query: [web], node_basename: ''"),
      ElementsAre("m.yaml:1:41: x.config.query must be a text, not a list",
                  "m.yaml:1:63: x.config.node_basename needs 1 to 64 letters, digits, '_' and "
                  "'-', not ''"));
  EXPECT_THAT(
      wrong("dns_poll", "query: web..test, node_basename: app"),
      ElementsAre("m.yaml:1:41: x.config.query has nothing between two dots, not 'web..test'"));
  EXPECT_THAT(wrong("dns_poll", "query: w, node_basename: app, resolver: [10.0.0.2, dns.test]"),
              ElementsAre("m.yaml:1:85: x.config.resolver: 'dns.test' is not the address of a DNS "
                          "server; one looks like 10.0.0.2, 10.0.0.2:5353 or [::1]:53"));
  EXPECT_THAT(wrong("dns_poll", "query: w, node_basename: app, poll_interval: 5s"),
              ElementsAre("m.yaml:1:64: unknown key 'poll_interval' in x.config, did you mean "
                          "'polling_interval'?"));
}

}  // namespace
}  // namespace muster::discovery
