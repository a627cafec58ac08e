// SPDX-License-Identifier: MIT
// The way to a group on loopback: by name, by address, missing; and datagrams that take it.
#include "network_interface.h"

#include <gmock/gmock.h>
#include <net/if.h>

#include <boost/asio/ip/udp.hpp>

#include "interop/gossip_host.h"

namespace muster::discovery {
namespace {

namespace asio = boost::asio;
using test::eventually, test::GossipHost;
using ::testing::HasSubstr;

Result<Way> way_by(const std::string& interface, const std::string& address = "233.252.1.32") {
  return find_way({.address = address, .port = 45892, .interface = interface});
}

TEST(NetworkInterface, NameAndAddressOfLoopbackAreTheSameWay) {
  const auto by_name = way_by("lo");
  ASSERT_TRUE(by_name) << by_name.error().text();
  EXPECT_EQ(by_name->index, ::if_nametoindex("lo"));
  EXPECT_EQ(by_name->source.to_string(), "127.0.0.1");
  EXPECT_EQ(*way_by("127.0.0.1"), *by_name);
}

TEST(NetworkInterface, EveryAddressOfTheLoopbackNetworkIsOnLoopback) {
  const auto way = way_by("127.9.8.7");
  ASSERT_TRUE(way) << way.error().text();
  EXPECT_EQ(way->index, ::if_nametoindex("lo"));
  EXPECT_EQ(way->source.to_string(), "127.9.8.7");
}

TEST(NetworkInterface, WhatIsNotThereIsNamed) {
  for (const char* missing : {"nosuch0", "192.0.2.77", "2001:db8::77", "fe80::1%lo"})
    EXPECT_EQ(way_by(missing).error().text(),
              "interface " + std::string(missing) + " is not there");
}

TEST(NetworkInterface, ABadGroupIsAnErrorNotAnException) {
  EXPECT_THAT(way_by("lo", "nonsense").error().text(), HasSubstr("group nonsense"));
}

std::uint16_t free_udp_port() {
  asio::io_context io;
  const asio::ip::udp::endpoint any(asio::ip::address_v4::loopback(), 0);
  return asio::ip::udp::socket(io, any).local_endpoint().port();
}

/// Two programs on this machine, each with a thread of its own.
void expect_to_find_each_other(std::vector<std::pair<std::string, Settings>> config) {
  config.emplace_back("port", free_udp_port());
  GossipHost a(GossipHost::Network::shared), b(GossipHost::Network::shared);
  a.start("a@127.0.0.1", Settings::map(config));
  b.start("b@127.0.0.1", Settings::map(config));
  EXPECT_TRUE(eventually([&] {
    return a.sees() == std::set<std::string>{"b@127.0.0.1"} &&
           b.sees() == std::set<std::string>{"a@127.0.0.1"} && a.count("heard_itself") > 0;
  })) << a.log()
      << b.log();
  EXPECT_EQ(a.count("malformed") + b.count("malformed"), 0u);
}

TEST(GossipOnLoopback, ByTheNameOfTheInterface) {
  expect_to_find_each_other({{"multicast_if", "lo"}});
}

TEST(GossipOnLoopback, ByBroadcastToItsNetworkAndToAll) {
  for (const char* address : {"127.255.255.255", "255.255.255.255"})
    expect_to_find_each_other({{"broadcast_only", true}, {"multicast_addr", address}});
}

TEST(GossipOnLoopback, InLibclustersFormatPlainAndSealed) {
  expect_to_find_each_other({{"format", "libcluster"}});
  expect_to_find_each_other({{"format", "libcluster"}, {"secret", Settings::list({"new", "old"})}});
}

TEST(GossipOnLoopback, WhileASecretIsReplaced) {
  const Settings port = free_udp_port();
  GossipHost a(GossipHost::Network::shared), b(GossipHost::Network::shared),
      c(GossipHost::Network::shared);
  a.start("a@127.0.0.1",
          Settings::map({{"port", port}, {"secret", Settings::list({"old", "new"})}}));
  b.start("b@127.0.0.1",
          Settings::map({{"port", port}, {"secret", Settings::list({"new", "old"})}}));
  c.start("c@127.0.0.1", Settings::map({{"port", port}, {"secret", "new"}}));
  EXPECT_TRUE(eventually([&] {
    return a.sees().size() == 2 && b.sees().size() == 2 && c.sees().size() == 1 &&
           c.count("foreign") > 0;
  }));
  EXPECT_EQ(c.sees(), std::set<std::string>{"b@127.0.0.1"});  // a still sends under the old one.
  EXPECT_THAT(b.log(), HasSubstr("hears a@127.0.0.1 under an old secret: it is still in use"));
}

}  // namespace
}  // namespace muster::discovery
