// SPDX-License-Identifier: MIT
// From a file to topologies that can start, and the exact words when it is wrong.
#include <gmock/gmock.h>

#include "discovery/strategy_world.h"
#include "muster/discovery/poller.h"
#include "muster/discovery/strategy_registry.h"

namespace muster::discovery {
namespace {

using namespace std::chrono_literals;
using test::context_of, test::RecordingSink;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class RegistryTest : public ::testing::Test {
 protected:
  std::vector<TopologyPlan> read(std::string_view text) {
    file = Settings::parse(text, "m.yaml").value();
    return read_topologies(*file.find("topologies"), "topologies", registry, problems);
  }
  /// The problems of one topology x, written in one line.
  std::vector<std::string> wrong(const std::string& topology) {
    read("topologies:\n  x: " + topology + "\n");
    return problems.lines();
  }

  StrategyRegistry registry;
  Settings file;
  Problems problems;
};

TEST_F(RegistryTest, ReadsEveryTopologyOfAFile) {
  const auto plans = read(R"(
topologies:
  local: {strategy: gossip, config: {multicast_if: 127.0.0.1, secret: s, interval: 500ms}}
  fixed: {strategy: epmd, config: {hosts: [a@127.0.0.1, b@127.0.0.1], timeout: 5000}}
  hosts: {strategy: erlang_hosts, enabled: false, config: {file: hosts, timeout: 1s}}
  manual: {strategy: none}
)");
  EXPECT_THAT(problems.lines(), IsEmpty());
  ASSERT_EQ(plans.size(), 4u);
  EXPECT_EQ(plans[0].name, "local");
  EXPECT_EQ(plans[0].strategy, "gossip");
  EXPECT_TRUE(plans[1].enabled);
  EXPECT_FALSE(plans[2].enabled);
}

TEST_F(RegistryTest, OptionsReachTheirStrategy) {
  const auto plans = read(
      "topologies: {g: {strategy: gossip, config: {port: 5000, multicast_addr: 239.1.2.3, "
      "multicast_if: 10.0.0.1, "
      "multicast_ttl: 3}}}");
  RecordingSink sink;
  plans.at(0).make(sink, context_of("a@h"))->start({});
  const auto& open = std::get<OpenGroup>(sink.asked.at(0).question);
  EXPECT_EQ(open.port, 5000);
  EXPECT_EQ(open.address, "239.1.2.3");
  EXPECT_EQ(open.interface, "10.0.0.1");
  EXPECT_EQ(open.hops, 3);
}

TEST_F(RegistryTest, AnUnknownStrategyNamesTheNearest) {
  EXPECT_THAT(
      wrong("{strategy: gosip}"),
      ElementsAre("m.yaml:2:17: topologies.x.strategy 'gosip' is unknown, did you mean 'gossip'?"));
}

TEST_F(RegistryTest, AnUnknownStrategyFarFromAllListsThem) {
  EXPECT_THAT(
      wrong("{strategy: zookeeper}"),
      ElementsAre("m.yaml:2:17: topologies.x.strategy 'zookeeper' is unknown; there are dns_poll, "
                  "dns_srv, epmd, erlang_hosts, etcd, exec, file, gossip, kubernetes, "
                  "kubernetes_dns, kubernetes_dns_srv, local_epmd, none, rancher"));
}

TEST_F(RegistryTest, AMissingStrategyIsAnError) {
  EXPECT_THAT(wrong("{config: {}}"), ElementsAre("m.yaml:2:6: topologies.x needs 'strategy'"));
}

TEST_F(RegistryTest, AnUnknownOptionNamesItsPlaceAndTheNearest) {
  EXPECT_THAT(
      wrong("{strategy: epmd, config: {host: [a@h]}}"),
      ElementsAre("m.yaml:2:32: unknown key 'host' in topologies.x.config, did you mean 'hosts'?"));
  EXPECT_THAT(read("topologies: {y: {strategy: none, confg: {}}}"), ::testing::SizeIs(1));
  EXPECT_EQ(problems.lines().back(),
            "m.yaml:1:34: unknown key 'confg' in topologies.y, did you mean 'config'?");
}

TEST_F(RegistryTest, ABadNodeNameNamesItsPlace) {
  EXPECT_THAT(wrong("{strategy: epmd, config: {hosts: [a@h, b]}}"),
              ElementsAre("m.yaml:2:45: topologies.x.config.hosts: bad node name 'b': it has no "
                          "'@'; a node name looks "
                          "like a@127.0.0.1 or a@myhost"));
}

TEST_F(RegistryTest, GossipOptionsAreCheckedAtLoad) {
  const auto expect = [&](const std::string& config, const std::string& problem) {
    problems = {};
    EXPECT_THAT(wrong("{strategy: gossip, config: {" + config + "}}"),
                ElementsAre(HasSubstr("topologies.x.config." + problem)));
  };
  expect("if_addr: 127.0.0.1",
         "if_addr must be 0.0.0.0 (::) or the group itself: Linux delivers no multicast and no "
         "broadcast to a socket that is bound to 127.0.0.1; multicast_if chooses the interface");
  expect("multicast_addr: 10.0.0.255",
         "multicast_addr must be a multicast address (224.0.0.0 to 239.255.255.255, ff00::/8) "
         "unless broadcast_only is set, not '10.0.0.255'");
  expect("multicast_addr: \"ff02::1:7%eth0\"", "multicast_addr must be an IPv4 or IPv6 address");
  expect("multicast_addr: \"ff02::1:7\", broadcast_only: true",
         "multicast_addr must be IPv4 for broadcast_only: IPv6 has no broadcasts");
  expect("multicast_if: the first one",
         "multicast_if must be the name of an interface (eth0) or one of its addresses, not 'the "
         "first one'");
  expect("port: 0", "port must be a whole number from 1 to 65535, not '0'");
  expect("secret: [new, '']", "secret holds an empty one");
  expect("format: erlang", "format must be muster or libcluster");
}

TEST_F(RegistryTest, GossipTakesEitherFormatSeveralSecretsAndGroupsOfBothFamilies) {
  for (const char* config :
       {"multicast_addr: 10.0.0.255, broadcast_only: true", "multicast_if: eth0",
        "multicast_if: \"fe80::1\"", "multicast_addr: \"ff02::1:7\", multicast_if: eth0",
        "multicast_addr: \"ff02::1:7\", if_addr: 0.0.0.0", "format: libcluster",
        "format: libcluster, secret: s", "secret: [new, old]", "secret: ''"}) {
    problems = {};
    EXPECT_THAT(wrong("{strategy: gossip, config: {" + std::string(config) + "}}"), IsEmpty())
        << config;
  }
}

TEST_F(RegistryTest, AGroupOfIpv6IsBoundToItsFamily) {
  const auto plans = read(
      "topologies: {g: {strategy: gossip, config: {multicast_addr: \"ff02::1:7\", if_addr: "
      "0.0.0.0, "
      "multicast_if: eth7}}}");
  RecordingSink sink;
  plans.at(0).make(sink, context_of("a@h"))->start({});
  const auto& open = std::get<OpenGroup>(sink.asked.at(0).question);
  EXPECT_EQ(open.address, "ff02::1:7");
  EXPECT_EQ(open.bind, "::");
  EXPECT_EQ(open.interface, "eth7");
}

TEST_F(RegistryTest, ReportsTheProblemsOfAllTopologies) {
  EXPECT_THAT(read("topologies:\n  x: {strategy: epmd, config: {hosts: [b]}}\n  y: {strategy: "
                   "gosip}\n  z: 3\n"),
              IsEmpty());
  EXPECT_EQ(problems.lines().size(), 4u);  // z is no map and has no strategy.
}

TEST_F(RegistryTest, AProgramPlansATopologyWithoutAFile) {
  const auto plan =
      plan_topology("fixed", "epmd",
                    Settings::map({{"hosts", Settings::list({"b@h"})}, {"timeout", 5s}}), registry);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->name, "fixed");
  const auto bad = plan_topology("fixed", "epmd", Settings::map({{"time_out", 5s}}), registry);
  EXPECT_EQ(bad.error().text(), "unknown key 'time_out' in fixed.config, did you mean 'timeout'?");
}

TEST_F(RegistryTest, AMachineOfTheUsersOwnRegisters) {
  class Mine : public StrategyMachine {
   public:
    Mine(std::string peer, StrategySink& sink) : peer_(std::move(peer)), sink_(sink) {}
    void start(Now) override { sink_.report(Pass::list({Peer{NodeName::parse(peer_).value()}})); }
    void wake(Now) override {}
    [[nodiscard]] Instant next_wake() const override { return never; }

   private:
    std::string peer_;
    StrategySink& sink_;
  };
  registry.add("mine", [](Fields& options) -> StrategyRegistry::Make {
    const std::string peer = options.string("peer");
    return [peer](StrategySink& sink, const StrategyContext&) {
      return std::make_unique<Mine>(peer, sink);
    };
  });
  const auto plans = read("topologies: {x: {strategy: mine, config: {peer: b@h}}}");
  RecordingSink sink;
  plans.at(0).make(sink, context_of("a@h"))->start({});
  EXPECT_THAT(test::names_of(sink.passes.at(0)), ElementsAre("b@h"));
}

}  // namespace
}  // namespace muster::discovery
