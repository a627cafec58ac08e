// SPDX-License-Identifier: MIT
// Gossip in libcluster's format: its packets to the byte, and the machine that speaks it.
#include <gmock/gmock.h>

#include <random>

#include "discovery/strategy_world.h"
#include "discovery/virtual_clock.h"
#include "external_term.h"
#include "gossip_machine.h"

namespace muster::discovery {
namespace {

using namespace std::chrono_literals;
using muster::test::VirtualClock;
using test::context_of, test::names_of, test::RecordingSink;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string bytes_of(std::string_view hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes.push_back(static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  return bytes;
}

// What a node of libcluster 3.5 on Erlang/OTP 25 sends without a secret.
const std::string golden =
    bytes_of("6865617274626561743a3a8374000000016400046e6f646564000e6e6f6465314031302e302e302e31");
// As Erlang's crypto seals e@10.0.0.1 under "the secret".
const std::string golden_sealed = bytes_of(
    "0102030405060708090A0B0C0D0E0F1065C864EC1A6032CF178AF23F6DE83D8AF4EC60F8422E7B3A9BCF5A178D7755"
    "401AE0436E074FAE02F9B03B037D4D89AE");

std::string node_of(LibclusterCodec& codec, std::string_view datagram) {
  const auto decoded = codec.decode(datagram);
  const auto* heartbeat = std::get_if<LibclusterHeartbeat>(&decoded);
  return heartbeat ? heartbeat->node : "";
}
BadDatagram why_not(LibclusterCodec& codec, std::string_view datagram) {
  return std::get<BadDatagram>(codec.decode(datagram));
}

TEST(LibclusterWire, WritesThe41BytesOfLibcluster) {
  LibclusterCodec plain({}, "origin");
  ASSERT_EQ(golden.size(), 41u);
  EXPECT_EQ(plain.encode("node1@10.0.0.1"), golden);
  EXPECT_EQ(node_of(plain, golden), "node1@10.0.0.1");
}

TEST(LibclusterWire, ReadsNamesOfEveryAtomTagAndMapsWithMoreKeys) {
  LibclusterCodec plain({}, "origin");
  for (const char* tags : {"6400046e6f6465640003614062", "73046e6f64657303614062",
                           "7600046e6f6465760003614062", "77046e6f64657703614062"})
    EXPECT_EQ(node_of(plain, "heartbeat::" + bytes_of("837400000001") + bytes_of(tags)), "a@b");
  // #{1.5 => [1, {}], <<"bin">> => #{}, node => a@b, self => a pid}
  EXPECT_EQ(
      node_of(plain, "heartbeat::" + bytes_of("837400000004"
                                              "463ff80000000000006c00000002610168006a"
                                              "6d0000000362696e7400000000"
                                              "77046e6f64657703614062"
                                              "770473656c665877016100000009000000000000000000")),
      "a@b");
  EXPECT_EQ(node_of(plain, golden + "and bytes after it"), "node1@10.0.0.1");
}

TEST(LibclusterWire, WhatIsNoMapWithAnAtomUnderNodeIsMalformed) {
  LibclusterCodec plain({}, "origin");
  for (const char* term : {"", "83", "836105", "837400000000",
                           "8374000000017703"
                           "6e6f647703614062",
                           "837400000001"
                           "77046e6f64656105",
                           "837400000001"
                           "77046e6f64656d00000003614062",
                           "837400000002"
                           "77046e6f64657703614062"
                           "77046e6f64657703614062",
                           "837400000002"
                           "77046e6f64657703614062",
                           "8350000000157899"})
    EXPECT_EQ(why_not(plain, "heartbeat::" + bytes_of(term)), BadDatagram::malformed) << term;
  EXPECT_EQ(why_not(plain, ""), BadDatagram::malformed);
  EXPECT_EQ(why_not(plain, golden + std::string(1400, 'x')), BadDatagram::malformed);
}

TEST(LibclusterWire, OpensWhatErlangSealedAndSealsTheSameWay) {
  LibclusterCodec codec({"the secret"}, "origin");
  EXPECT_EQ(node_of(codec, golden_sealed), "e@10.0.0.1");
  const std::string ours = codec.encode("e@10.0.0.1");
  EXPECT_EQ(ours.size(), golden_sealed.size());
  EXPECT_EQ(node_of(codec, ours), "e@10.0.0.1");
}

TEST(LibclusterWire, NoTwoHeartbeatsShareAnInitialisationVector) {
  LibclusterCodec one({"s"}, "one start"), other({"s"}, "another start");
  std::set<std::string> vectors;
  for (int i = 0; i < 100; ++i) {
    vectors.insert(one.encode("a@b").substr(0, 16));
    vectors.insert(other.encode("a@b").substr(0, 16));
  }
  EXPECT_EQ(vectors.size(), 200u);
}

TEST(LibclusterWire, TellsForeignFromMalformedAsFarAsItCan) {
  LibclusterCodec plain({}, "origin"), sealed({"one"}, "origin"), other({"two"}, "origin");
  EXPECT_EQ(why_not(sealed, golden), BadDatagram::foreign);  // Plain where a secret is wanted.
  EXPECT_EQ(why_not(sealed, other.encode("a@b")), BadDatagram::foreign);
  EXPECT_EQ(why_not(plain, sealed.encode("a@b")), BadDatagram::malformed);
  EXPECT_EQ(why_not(sealed, std::string(47, 'x')), BadDatagram::malformed);
  EXPECT_EQ(why_not(sealed, std::string(16, 'x')), BadDatagram::malformed);
  EXPECT_EQ(why_not(sealed, "mstr and so on"), BadDatagram::other_format);
  EXPECT_EQ(why_not(plain, "mstr and so on"), BadDatagram::other_format);
}

TEST(LibclusterWire, TheFirstSecretSendsAndAllReceive) {
  LibclusterCodec before({"old"}, "a"), between({"new", "old"}, "b"), after({"new"}, "c");
  EXPECT_EQ(node_of(after, between.encode("b@h")), "b@h");
  EXPECT_EQ(std::get<LibclusterHeartbeat>(between.decode(before.encode("a@h"))),
            (LibclusterHeartbeat{.node = "a@h", .under_old_secret = true}));
  EXPECT_EQ(std::get<LibclusterHeartbeat>(between.decode(after.encode("a@h"))),
            (LibclusterHeartbeat{.node = "a@h"}));
  EXPECT_EQ(why_not(before, between.encode("b@h")), BadDatagram::foreign);
}

class LibclusterGossipTest : public ::testing::TestWithParam<std::vector<std::string>> {
 protected:
  void start() {
    machine.start(clock.now());
    opened();
  }
  void opened() {
    ASSERT_FALSE(sink.asked.empty());
    const QuestionId id = sink.asked.back().id;
    sink.asked.clear();
    machine.answer(clock.now(), id, GroupOpened{});
  }
  void run(Duration by, bool deaf = false) {
    clock.run(machine, by, [&] {
      for (; echoed < sink.sent.size(); ++echoed)
        if (!deaf) machine.datagram(clock.now(), sink.sent[echoed]);
      if (!sink.asked.empty()) opened();
    });
  }
  void hear(const std::string& node) {
    machine.datagram(clock.now(), other.encode(node));
    machine.check_invariants();
  }
  [[nodiscard]] std::uint64_t count(const std::string& what) const {
    return machine.counters().at(what);
  }

  VirtualClock clock;
  RecordingSink sink;
  std::size_t echoed = 0;
  const StrategyContext context = context_of("a@127.0.0.1");
  GossipMachine machine{
      {.format = GossipMachine::Format::libcluster, .secrets = GetParam()}, context, sink};
  LibclusterCodec other{GetParam(), "another node"};
};

INSTANTIATE_TEST_SUITE_P(PlainAndSealed, LibclusterGossipTest,
                         ::testing::Values(std::vector<std::string>{},
                                           std::vector<std::string>{"a secret"}),
                         [](const auto& test) { return test.param.empty() ? "Plain" : "Sealed"; });

TEST_P(LibclusterGossipTest, C39IsAliveASecondLaterAndHasSaidWhatItsFormatLacks) {
  start();
  run(1s);
  ASSERT_EQ(sink.notes.size(), 1u);
  EXPECT_THAT(sink.notes[0], HasSubstr("authenticated"));
  EXPECT_THAT(sink.notes[0], HasSubstr("whoever has recorded one can send it again"));
  EXPECT_EQ(sink.passes.back().kind, Pass::Kind::known_empty);
  EXPECT_GE(count("heard_itself"), 3u);
  EXPECT_EQ(node_of(other, sink.sent.at(0)), "a@127.0.0.1");
}

TEST_P(LibclusterGossipTest, ListsWhomItHearsAndLeavesTheirAddressToThePortMapper) {
  start();
  hear("b@10.0.0.2");
  EXPECT_EQ(*sink.passes.back().peers.begin(), Peer{NodeName::parse("b@10.0.0.2").value()});
  EXPECT_FALSE(sink.passes.back().disconnects);
  const auto passes = sink.passes.size();
  for (int i = 0; i < 100; ++i) hear("b@10.0.0.2");
  EXPECT_EQ(sink.passes.size(), passes);  // Nothing new.
  EXPECT_EQ(count("heard"), 101u);
}

TEST_P(LibclusterGossipTest, ANewcomerIsAnsweredAtOnceButNotEveryHeartbeat) {
  start();
  run(10s);
  clock.set(clock.now().mono + 400ms);
  const auto before = sink.sent.size();
  for (int i = 0; i < 20; ++i) hear("b@h");
  EXPECT_EQ(sink.sent.size(), before + 1);
}

TEST_P(LibclusterGossipTest, APeerIsForgottenOnlyAfterAMinute) {
  start();
  hear("b@h");
  run(59s);
  EXPECT_THAT(names_of(sink.passes.back()), ElementsAre("b@h"));
  run(3s);
  EXPECT_THAT(names_of(sink.passes.back()), IsEmpty());
}

TEST_P(LibclusterGossipTest, ANodeThatDoesNotHearItselfSaysSo) {
  start();
  run(1min, /*deaf=*/true);
  ASSERT_EQ(sink.notes.size(), 2u);
  EXPECT_THAT(sink.notes[1], HasSubstr("cannot hear its own heartbeat on interface 127.0.0.1"));
}

TEST_P(LibclusterGossipTest, ANamesakeIsToldOnce) {
  start();
  // As Erlang/OTP 26 writes it; sealed, our own vectors would tell it apart as well.
  const std::string theirs =
      "heartbeat::" + bytes_of("83740000000177046e6f6465770b") + std::string("a@127.0.0.1");
  if (GetParam().empty())
    for (int i = 0; i < 10; ++i) machine.datagram(clock.now(), theirs);
  else
    for (int i = 0; i < 10; ++i) hear("a@127.0.0.1");
  EXPECT_EQ(count("replayed"), 10u);
  ASSERT_EQ(sink.notes.size(), 2u);
  EXPECT_THAT(sink.notes[1], HasSubstr("another node calls itself a@127.0.0.1"));
  EXPECT_THAT(sink.passes, IsEmpty());
}

TEST_P(LibclusterGossipTest, NamesThatNoNodeOfOursCanHaveAreCounted) {
  start();
  for (const char* name : {"nodot", "a.b@h", "@h", "a@", "a b@h"}) hear(name);
  EXPECT_EQ(count("unusable_name"), 5u);
  EXPECT_THAT(sink.passes, IsEmpty());
}

TEST_P(LibclusterGossipTest, OurOwnFormatIsToldOnceAndCounted) {
  start();
  GossipCodec ours({"a secret"});
  Heartbeat heartbeat{.name = NodeName::parse("b@h").value()};
  for (heartbeat.counter = 1; heartbeat.counter <= 10; ++heartbeat.counter)
    machine.datagram(clock.now(), ours.encode(heartbeat));
  EXPECT_EQ(count("other_format"), 10u);
  ASSERT_EQ(sink.notes.size(), 2u);
  EXPECT_THAT(sink.notes[1], HasSubstr("another format of gossip"));
}

TEST_P(LibclusterGossipTest, TheNumberOfPeersIsBounded) {
  start();
  for (int i = 0; i < 5000; ++i) hear("n" + std::to_string(i) + "@h");
  EXPECT_EQ(count("beyond_limit"), 5000u - 4096u);
}

/// Flipped, cut, grown, foreign and random datagrams, 4 of which in five seconds end libcluster.
TEST_P(LibclusterGossipTest, BadDatagramsChangeNothingAndTheStrategyGoesOn) {
  start();
  run(1s);
  hear("b@h");
  const auto passes = sink.passes.size();
  LibclusterCodec foreign({"another secret"}, "x"), plain({}, "x");
  for (std::uint64_t seed = 0; seed < 10'000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    std::string datagram = "heartbeat::" + bytes_of("83");
    switch (random() % 4) {
      case 0:
        datagram = other.encode("b@h");
        datagram.resize(random() % datagram.size());
        break;
      case 1:
        for (auto size = random() % 300; size > 0; --size) datagram += static_cast<char>(random());
        break;
      case 2:
        datagram = std::string(random() % 2000, static_cast<char>(random()));
        break;
      default:
        datagram = GetParam().empty() ? foreign.encode("c@h") : plain.encode("c@h");
    }
    machine.datagram(clock.now(), datagram);
    machine.check_invariants();
    ASSERT_EQ(sink.passes.size(), passes);
  }
  EXPECT_EQ(count("malformed") + count("foreign"), 10'000u);
  run(50ms);
  hear("c@h");
  EXPECT_THAT(names_of(sink.passes.back()), ElementsAre("b@h", "c@h"));
}

TEST(LibclusterGossip, ASecretThatIsReplacedIsToldOnce) {
  VirtualClock clock;
  RecordingSink sink;
  GossipMachine machine({.format = GossipMachine::Format::libcluster, .secrets = {"new", "old"}},
                        context_of("a@h"), sink);
  machine.start(clock.now());
  machine.answer(clock.now(), sink.asked.back().id, GroupOpened{});
  LibclusterCodec old({"old"}, "b");
  for (int i = 0; i < 5; ++i) machine.datagram(clock.now(), old.encode("b@h"));
  EXPECT_EQ(machine.counters().at("under_old_secret"), 5u);
  ASSERT_EQ(sink.notes.size(), 2u);
  EXPECT_EQ(sink.notes[1], "hears b@h under an old secret: it is still in use");
  EXPECT_THAT(names_of(sink.passes.back()), ElementsAre("b@h"));
}

TEST(LibclusterGossip, ANameThatErlangCannotHaveIsNotSent) {
  RecordingSink sink;
  GossipMachine machine({.format = GossipMachine::Format::libcluster},
                        context_of("a@" + std::string(255, 'h')), sink);
  machine.start(VirtualClock().now());
  EXPECT_THAT(sink.asked, IsEmpty());
  ASSERT_EQ(sink.passes.size(), 1u);
  EXPECT_THAT(sink.passes[0].reason, HasSubstr("more than 255 characters"));
}

}  // namespace
}  // namespace muster::discovery
