// SPDX-License-Identifier: MIT
// The bytes of DNS answers, whole and broken, and the texts that name servers and names.
#include "dns/dns_wire.h"

#include <gmock/gmock.h>

#include <random>

#include "discovery/dns_packets.h"

namespace muster::discovery {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;
using test::dns_name, test::dns_number16, test::dns_service, test::DnsPacket, test::DnsRecord;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Kind = DnsAnswer::Kind;

const std::string ip1 = "\x0a\x00\x00\x01"s, ip2 = "\x0a\x00\x00\x02"s;
constexpr unsigned a = 1, alias = 5, aaaa = 28, srv = 33;

DnsAnswer read(const DnsPacket& packet) {
  return read_dns_answer(packet.bytes(), {packet.name, static_cast<DnsType>(packet.type)});
}

TEST(DnsWire, ReadsAddressesAndTheLeastTtl) {
  const auto answer = read({.records = {{"web.test", a, ip1, 60}, {"web.test", a, ip2, 30}}});
  EXPECT_EQ(answer.kind, Kind::found);
  EXPECT_THAT(answer.addresses, ElementsAre("10.0.0.1", "10.0.0.2"));
  EXPECT_EQ(answer.ttl, 30s);
  EXPECT_EQ(answer.skipped, 0u);
}

TEST(DnsWire, WritesIpv6InItsShortForm) {
  const auto bytes = "\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01"s;
  const auto answer = read({.type = aaaa, .records = {{"web.test", aaaa, bytes}}});
  EXPECT_THAT(answer.addresses, ElementsAre("fd00::1"));
}

TEST(DnsWire, FollowsAliasesInAnyOrderAndCase) {
  const auto answer = read({.name = "Web.Test",
                            .records = {{"c.test", a, ip1, 60},
                                        {"b.TEST", alias, dns_name("C.test"), 50},
                                        {"web.test", alias, dns_name("b.test"), 21}}});
  EXPECT_THAT(answer.addresses, ElementsAre("10.0.0.1"));
  EXPECT_EQ(answer.ttl, 21s);
}

TEST(DnsWire, LeavesOutRecordsOfOtherNamesTypesAndClasses) {
  const auto answer = read({.records = {{"other.test", a, ip1},
                                        {"web.test", aaaa, ip1},
                                        {"web.test", a, ip1, 60, 3},
                                        {"web.test", a, ip2}}});
  EXPECT_THAT(answer.addresses, ElementsAre("10.0.0.2"));
}

TEST(DnsWire, AliasesThatGoRoundEndNowhere) {
  const auto answer = read({.records = {{"web.test", alias, dns_name("b.test")},
                                        {"b.test", alias, dns_name("web.test")}}});
  EXPECT_EQ(answer.kind, Kind::no_records);
}

TEST(DnsWire, ReadsServicesTheBestPriorityFirst) {
  const auto answer = read({.type = srv,
                            .records = {{"web.test", srv, dns_service(7002, "b.test", 20)},
                                        {"web.test", srv, dns_service(7003, "c.test", 10)},
                                        {"web.test", srv, dns_service(7001, "a.test", 20)}}});
  ASSERT_EQ(answer.services.size(), 3u);
  EXPECT_EQ(answer.services[0], (DnsService{10, "c.test", 7003}));
  EXPECT_EQ(answer.services[1], (DnsService{20, "a.test", 7001}));
}

TEST(DnsWire, ReadsCompressedNames) {
  DnsPacket packet{.type = srv};
  // The owner points to the question, the target ends in a pointer to its "test".
  std::string bytes = packet.bytes();
  bytes[7] = 1;
  const std::string data = dns_number16(0) + dns_number16(0) + dns_number16(7001) + "\x01z\xc0\x10";
  bytes += "\xc0\x0c" + dns_number16(srv) + dns_number16(1) + test::dns_number32(9) +
           dns_number16(static_cast<unsigned>(data.size())) + data;
  const auto answer = read_dns_answer(bytes, {"web.test", DnsType::service});
  ASSERT_EQ(answer.services.size(), 1u);
  EXPECT_EQ(answer.services[0].target, "z.test");
}

TEST(DnsWire, ARootTargetMeansThatThereIsNoService) {
  EXPECT_EQ(read({.type = srv, .records = {{"web.test", srv, dns_service(0, "")}}}).kind,
            Kind::no_records);
}

TEST(DnsWire, OneBadRecordIsCountedAndSkipped) {
  const auto addresses = read({.records = {{"web.test", a, "\x0a\x01"}, {"web.test", a, ip2}}});
  EXPECT_THAT(addresses.addresses, ElementsAre("10.0.0.2"));
  EXPECT_EQ(addresses.skipped, 1u);
  const auto services = read({.type = srv,
                              .records = {{"web.test", srv, dns_service(1, "no host.test")},
                                          {"web.test", srv, "\x01"},
                                          {"web.test", srv, dns_service(1, "z.test") + "x"},
                                          {"web.test", srv, dns_service(7001, "z.test")}}});
  EXPECT_EQ(services.services.size(), 1u);
  EXPECT_EQ(services.skipped, 3u);
}

TEST(DnsWire, OnlyBadRecordsAreAFailureNotAnEmptyList) {
  const auto answer = read({.records = {{"web.test", a, "\x0a\x01"}}});
  EXPECT_EQ(answer.kind, Kind::failed);
  EXPECT_EQ(answer.why, "gives only records that cannot be used of web.test");
}

TEST(DnsWire, TellsRefusalsApart) {
  const auto why = [](unsigned code) { return read({.flags = 0x8180 + code}).why; };
  EXPECT_EQ(why(1), "does not understand the question for web.test (FORMERR)");
  EXPECT_EQ(why(2), "could not find an answer for web.test (SERVFAIL)");
  EXPECT_EQ(why(4), "does not answer such questions as for web.test (NOTIMP)");
  EXPECT_EQ(why(5), "refuses to answer for web.test (REFUSED)");
  EXPECT_EQ(why(9), "failed for web.test (code 9)");
  EXPECT_EQ(read({.flags = 0x8183}).kind, Kind::no_such_name);
}

TEST(DnsWire, AnEmptyAnswerCountsOnlyFromOneWhoKnows) {
  EXPECT_EQ(read({.flags = 0x8400}).kind, Kind::no_records);  // Owns the zone.
  EXPECT_EQ(read({.flags = 0x8080}).kind, Kind::no_records);  // Asks others.
  const auto referral = read({.flags = 0x8000});
  EXPECT_EQ(referral.kind, Kind::failed);
  EXPECT_EQ(referral.why, "does not know web.test and does not ask others");
  const std::vector<DnsRecord> outside{{"web.test", alias, dns_name("elsewhere.example")}};
  EXPECT_EQ(read({.flags = 0x8080, .records = outside}).kind, Kind::no_records);
  EXPECT_EQ(read({.flags = 0x8400, .records = outside}).why,
            "gives an alias of web.test and does not follow it");
}

TEST(DnsWire, MalformedAnswersAreFailures) {
  const std::string good = DnsPacket{.records = {{"web.test", a, ip1}}}.bytes();
  for (std::size_t size = 0; size < good.size(); ++size)
    EXPECT_EQ(read_dns_answer(good.substr(0, size), {"web.test", DnsType::ipv4}).why,
              "sent a malformed answer for web.test")
        << size;
  EXPECT_EQ(read({.flags = 0x0100}).why, "sent a malformed answer for web.test");
  EXPECT_EQ(read({.flags = 0x8780}).why, "sent an answer for web.test that is cut off");
  std::string loop = DnsPacket{}.bytes().substr(0, 12) + "\xc0\x0c" + dns_number16(1);
  EXPECT_EQ(read_dns_answer(loop + dns_number16(1), {"web.test", DnsType::ipv4}).kind,
            Kind::failed);
}

TEST(DnsWire, MoreRecordsThanAreReadAreAFailureNotHalfAList) {
  DnsPacket packet;
  for (unsigned i = 0; i <= most_dns_records; ++i)
    packet.records.push_back({"web.test", a, dns_number16(0x0a00) + dns_number16(i)});
  EXPECT_EQ(read(packet).why, "gives more than 1000 records of web.test");
  packet.records.pop_back();
  EXPECT_EQ(read(packet).addresses.size(), most_dns_records);
}

TEST(DnsWire, NoBytesCrashIt) {
  std::mt19937 random(4);
  const std::string good = DnsPacket{.type = srv,
                                     .records = {{"web.test", alias, dns_name("b.test")},
                                                 {"b.test", srv, dns_service(1, "z.test")}}}
                               .bytes();
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = good;
    for (int i = 0; i < 3; ++i) bytes[random() % bytes.size()] = static_cast<char>(random());
    for (const auto& service : read_dns_answer(bytes, {"web.test", DnsType::service}).services)
      EXPECT_FALSE(service.target.empty()) << round;
  }
}

TEST(DnsServerText, ReadsAddressesWithAndWithoutPorts) {
  for (const auto& [text, shown] :
       std::vector<std::pair<std::string, std::string>>{{"10.0.0.2", "10.0.0.2"},
                                                        {"10.0.0.2:5353", "10.0.0.2:5353"},
                                                        {"10.0.0.2:53", "10.0.0.2"},
                                                        {"::1", "::1"},
                                                        {"[::1]", "::1"},
                                                        {"[fd00:0::1]:5353", "[fd00::1]:5353"}}) {
    const auto server = parse_dns_server(text);
    ASSERT_TRUE(server) << text;
    EXPECT_EQ(server->text(), shown);
  }
}

TEST(DnsServerText, RefusesWhatIsNone) {
  for (const std::string text :
       {"", "dns.test", "10.0.0", "10.0.0.2:", "10.0.0.2:0", "10.0.0.2:99999", "10.0.0.2:5x",
        "[10.0.0.2]:53", "[::1", "[::1]53", "fe80::1%lo", " 10.0.0.2"})
    EXPECT_FALSE(parse_dns_server(text)) << text;
  EXPECT_EQ(parse_dns_server("dns.test").error().text(),
            "'dns.test' is not the address of a DNS server; one looks like 10.0.0.2, "
            "10.0.0.2:5353 or [::1]:53");
}

TEST(DnsNames, AreCheckedByTheirParts) {
  EXPECT_EQ(dns_name_problem("_muster._tcp.web-1.test."), "");
  EXPECT_EQ(dns_name_problem(""), "must be a name");
  EXPECT_EQ(dns_name_problem("a..b"), "has nothing between two dots");
  EXPECT_EQ(dns_name_problem(std::string(64, 'a')), "has a part of more than 63 characters");
  EXPECT_EQ(dns_name_problem(std::string(254, 'a')), "is longer than 253 characters");
  EXPECT_EQ(dns_name_problem("web test"), "may hold letters, digits, '-', '_' and dots");
  EXPECT_EQ(dns_name_problem("10.0.0.1"), "must be a name, not an address");
}

TEST(DnsNames, AreSearchedAsResolvConfHasIt) {
  EXPECT_THAT(dns_search_names("web", {"a.test", "b.test"}, 1),
              ElementsAre("web.a.test", "web.b.test", "web"));
  EXPECT_THAT(dns_search_names("web.x", {"a.test"}, 1), ElementsAre("web.x", "web.x.a.test"));
  EXPECT_THAT(dns_search_names("web.x", {"a.test"}, 5), ElementsAre("web.x.a.test", "web.x"));
  EXPECT_THAT(dns_search_names("web.", {"a.test"}, 1), ElementsAre("web."));
  EXPECT_THAT(dns_search_names("web", {"."}, 1), ElementsAre("web"));
}

}  // namespace
}  // namespace muster::discovery
