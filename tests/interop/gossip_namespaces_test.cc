// SPDX-License-Identifier: MIT
//
// Gossip between hosts, each a network namespace, on one bridge: multicast of both families,
// broadcast, interfaces that are missing, go away and come back.  Needs root; nothing leaves the
// namespaces, which end with their threads.
#include <gmock/gmock.h>

#include <array>
#include <cstring>

#include "interop/gossip_host.h"

namespace muster::discovery::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Names = std::set<std::string>;

/// Hosts a, b, c with eth0 at 10.77.0.1 to 3 and fd77::1 to 3, ports of one bridge.
class GossipNamespaces : public ::testing::Test {
 protected:
  void SetUp() override {
    if (bridge.error() != 0)
      GTEST_SKIP() << "needs root and network namespaces: " << std::strerror(bridge.error());
    if (std::system("PATH=$PATH:/usr/sbin:/sbin command -v ip >/dev/null") != 0)
      GTEST_SKIP() << "needs ip: apt-get install iproute2";
    if (std::system("PATH=$PATH:/usr/sbin:/sbin ip link show >/dev/null 2>&1") != 0)
      GTEST_SKIP() << "ip does not work here";
    bridge.ip("link add bridge type bridge");
    bridge.ip("link set bridge up");
    for (std::size_t i = 0; i < hosts.size(); ++i) hosts[i].ip("link set lo up");
  }
  /// Gives it eth0, as a cable does.
  void plug(std::size_t i) {
    const std::string number = std::to_string(i + 1), port = "port-" + number;
    hosts[i].ip("link add eth0 type veth peer name " + port + " netns " + bridge.space());
    bridge.ip("link set " + port + " master bridge up");
    hosts[i].ip("address add 10.77.0." + number + "/24 broadcast 10.77.0.255 dev eth0");
    hosts[i].ip("address add fd77::" + number + "/64 dev eth0 nodad");
    hosts[i].ip("link set eth0 up");
  }
  void plug_all() {
    for (std::size_t i = 0; i < hosts.size(); ++i) plug(i);
  }
  void start(std::size_t i, const std::vector<std::pair<std::string, Settings>>& config) {
    hosts[i].start(name(i), Settings::map(config));
  }
  static std::string name(std::size_t i) {
    return std::string(1, static_cast<char>('a' + i)) + "@10.77.0." + std::to_string(i + 1);
  }
  [[nodiscard]] bool all_see_each_other() const {
    return hosts[0].sees() == Names{name(1), name(2)} &&
           hosts[1].sees() == Names{name(0), name(2)} && hosts[2].sees() == Names{name(0), name(1)};
  }
  /// Host 0 hears itself by the group, and host 1 hears it.  Being listed would not tell, for
  /// silence is no proof.
  [[nodiscard]] auto heard() const {
    return std::pair(hosts[0].count("heard_itself"), hosts[1].count("heard"));
  }
  [[nodiscard]] bool is_heard_more_than(const std::pair<std::uint64_t, std::uint64_t>& from) const {
    return eventually([&] {
      const auto now = heard();
      return now.first > from.first && now.second > from.second;
    });
  }
  /// Two hosts whose heartbeats are so rare that only the kernel's word can make them join again.
  void start_two_that_are_told() {
    plug(0);
    plug(1);
    start(0, {{"multicast_if", "eth0"}, {"interval", "1h"}});
    start(1, {{"multicast_if", "eth0"}, {"interval", "1h"}});
    ASSERT_TRUE(eventually(
        [&] { return hosts[0].sees() == Names{name(1)} && hosts[1].sees() == Names{name(0)}; }));
  }
  /// `i` has noticed that it hears nobody, not even itself.
  [[nodiscard]] bool is_cut_off(std::size_t i) const {
    return eventually([&] { return hosts[i].last_pass().kind == Pass::Kind::unknown; });
  }

  GossipHost bridge{GossipHost::Network::own};
  std::array<GossipHost, 3> hosts{GossipHost(GossipHost::Network::own),
                                  GossipHost(GossipHost::Network::own),
                                  GossipHost(GossipHost::Network::own)};
};

TEST_F(GossipNamespaces, HostsOnOneBridgeFindEachOtherHoweverTheInterfaceIsNamed) {
  plug_all();
  start(0, {{"multicast_if", "eth0"}});
  start(1, {{"multicast_if", "10.77.0.2"}});
  start(2, {{"multicast_if", "fd77::3"}});
  EXPECT_TRUE(eventually([&] { return all_see_each_other(); }));
  for (const auto& host : hosts)
    EXPECT_TRUE(eventually([&] { return host.count("heard_itself") > 0; }));
}

TEST_F(GossipNamespaces, TheSystemsRouteChoosesTheInterfaceWhereNoneIsNamed) {
  plug_all();
  for (std::size_t i = 0; i < hosts.size(); ++i) {
    hosts[i].ip("route add default via 10.77.0.100");
    start(i, {{"multicast_if", "0.0.0.0"}});
  }
  EXPECT_TRUE(eventually([&] { return all_see_each_other(); }));
}

TEST_F(GossipNamespaces, ARouteThatComesLaterIsTaken) {
  plug_all();
  for (std::size_t i = 0; i < hosts.size(); ++i) start(i, {{"multicast_if", "0.0.0.0"}});
  ASSERT_TRUE(is_cut_off(0));
  EXPECT_THAT(hosts[0].last_pass().reason, HasSubstr("there is no way to 233.252.1.32"));
  for (std::size_t i = 0; i < hosts.size(); ++i) hosts[i].ip("route add default via 10.77.0.100");
  EXPECT_TRUE(eventually([&] { return all_see_each_other(); }));
}

TEST_F(GossipNamespaces, GroupsOfIpv6) {
  plug_all();
  for (const char* group : {"ff02::1:77", "ff15::77"}) {
    const Settings address = group;
    start(0, {{"multicast_addr", address}, {"multicast_if", "eth0"}});
    start(1, {{"multicast_addr", address}, {"multicast_if", "10.77.0.2"}});
    start(2, {{"multicast_addr", address}, {"multicast_if", "fd77::3"}});
    EXPECT_TRUE(eventually([&] { return all_see_each_other(); })) << group;
    for (auto& host : hosts) host.stop();
  }
}

TEST_F(GossipNamespaces, BroadcastsToAllAndToTheSubnet) {
  plug_all();
  for (const char* address : {"255.255.255.255", "10.77.0.255"}) {
    for (std::size_t i = 0; i < hosts.size(); ++i)
      start(i, {{"broadcast_only", true}, {"multicast_addr", address}, {"multicast_if", "eth0"}});
    EXPECT_TRUE(eventually([&] { return all_see_each_other(); })) << address;
    EXPECT_TRUE(eventually([&] { return hosts[0].count("heard_itself") > 0; })) << address;
    for (auto& host : hosts) host.stop();
  }
}

TEST_F(GossipNamespaces, AHostWithLoAloneHearsItselfThereAndSaysWhatItLacksElsewhere) {
  start(0, {{"multicast_if", "lo"}});
  start(1, {{"multicast_if", "127.0.0.1"}});
  start(2, {{"multicast_if", "eth0"}});
  for (const std::size_t i : {std::size_t{0}, std::size_t{1}}) {
    EXPECT_TRUE(eventually([&] { return hosts[i].count("heard_itself") > 0; }));
    EXPECT_TRUE(eventually([&] { return hosts[i].last_pass().kind == Pass::Kind::known_empty; }));
  }
  ASSERT_TRUE(is_cut_off(2));
  EXPECT_THAT(hosts[2].last_pass().reason, HasSubstr("interface eth0 is not there"));
  EXPECT_EQ(hosts[2].count("opened"), 0u);
}

TEST_F(GossipNamespaces, AnInterfaceThatIsMissingAtTheStartIsUsedAsSoonAsItAppears) {
  plug(1);
  start(0, {{"multicast_if", "eth0"}});
  start(1, {{"multicast_if", "eth0"}});
  ASSERT_TRUE(is_cut_off(0));
  plug(0);
  EXPECT_TRUE(eventually(
      [&] { return hosts[0].sees() == Names{name(1)} && hosts[1].sees() == Names{name(0)}; }));
  // The kernel told: its own attempts would have come a second apart, then two, then four.
  EXPECT_THAT(hosts[0].log(), Not(HasSubstr("cannot hear its own heartbeat")));
}

TEST_F(GossipNamespaces, AnInterfaceThatGoesAwayAndComesBackIsJoinedAgain) {
  ASSERT_NO_FATAL_FAILURE(start_two_that_are_told());
  for (int times = 0; times < 3; ++times) {
    hosts[0].ip("link delete eth0");  // Its membership is gone with it.
    ASSERT_TRUE(is_cut_off(0));
    EXPECT_THAT(hosts[0].last_pass().reason, HasSubstr("interface eth0 is not there"));
    const auto before = heard();
    plug(0);
    EXPECT_TRUE(is_heard_more_than(before));
    EXPECT_TRUE(eventually([&] { return hosts[0].sees() == Names{name(1)}; }));
  }
}

TEST_F(GossipNamespaces, AnInterfaceThatIsSetDownAndUpOrGivenAnotherAddressIsJoinedAgain) {
  ASSERT_NO_FATAL_FAILURE(start_two_that_are_told());
  hosts[0].ip("link set eth0 down");
  ASSERT_TRUE(is_cut_off(0));
  EXPECT_THAT(hosts[0].last_pass().reason, HasSubstr("interface eth0 is down"));
  auto before = heard();
  hosts[0].ip("link set eth0 up");
  EXPECT_TRUE(is_heard_more_than(before));

  const auto opened = hosts[0].count("opened");
  before = heard();
  hosts[0].ip("address delete 10.77.0.1/24 dev eth0");
  hosts[0].ip("address add 10.77.0.9/24 dev eth0");
  EXPECT_TRUE(eventually([&] { return hosts[0].count("opened") > opened; }));
  EXPECT_TRUE(is_heard_more_than(before));
}

TEST_F(GossipNamespaces, ChangesOfOtherInterfacesAreNoneOfItsBusiness) {
  plug(0);
  start(0, {{"multicast_if", "eth0"}});
  ASSERT_TRUE(eventually([&] { return hosts[0].count("heard_itself") > 2; }));
  const auto opened = hosts[0].count("opened");
  for (int i = 0; i < 5; ++i) {
    hosts[0].ip("link add other type veth peer name far");
    hosts[0].ip("address add 10.99.0.1/24 dev other");
    hosts[0].ip("link set other up");
    hosts[0].ip("link delete other");
  }
  const auto heard = hosts[0].count("heard_itself");
  EXPECT_TRUE(eventually([&] { return hosts[0].count("heard_itself") > heard + 2; }));
  EXPECT_EQ(hosts[0].count("opened"), opened);
}

TEST_F(GossipNamespaces, AGroupOfIpv6HasNoWayOverLoAndSaysSo) {
  start(0, {{"multicast_addr", "ff02::1:77"}, {"multicast_if", "lo"}});
  ASSERT_TRUE(is_cut_off(0));
  EXPECT_THAT(hosts[0].last_pass().reason,
              HasSubstr("there is no way to ff02::1:77%lo on interface lo"));
}

}  // namespace
}  // namespace muster::discovery::test
