// SPDX-License-Identifier: MIT
// Gossip: its datagram to the byte, and the machine against datagrams of every kind under a clock
// made by hand.
#include <gmock/gmock.h>

#include <random>

#include "discovery/strategy_world.h"
#include "discovery/virtual_clock.h"
#include "gossip_machine.h"

namespace muster::discovery {
namespace {

using namespace std::chrono_literals;
using muster::test::VirtualClock;
using test::context_of, test::names_of, test::RecordingSink;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

Heartbeat heartbeat_of(const std::string& name, const VirtualClock& clock) {
  return {.stream = 17,
          .counter = 1,
          .boot_id = 99,
          .sent = clock.now().wall,
          .link_port = 4370,
          .name = NodeName::parse(name).value(),
          .link_address = "127.0.0.1",
          .cluster_id = "c1"};
}

TEST(SealedBox, OpensWhatItSealed) {
  SealedBox box("secret", "test");
  const SealedBox::Nonce nonce{1, 2, 3};
  const std::string sealed = box.seal(nonce, "header", "text");
  EXPECT_EQ(sealed.size(), 4 + SealedBox::tag_size);
  EXPECT_EQ(box.open(nonce, "header", sealed), "text");
  EXPECT_EQ(box.open(nonce, "Header", sealed), std::nullopt);
  EXPECT_EQ(box.open({1, 2, 4}, "header", sealed), std::nullopt);
  EXPECT_EQ(SealedBox("Secret", "test").open(nonce, "header", sealed), std::nullopt);
  EXPECT_EQ(SealedBox("secret", "other").open(nonce, "header", sealed), std::nullopt);
  EXPECT_EQ(box.open(nonce, "header", "short"), std::nullopt);
}

TEST(SealedBox, DerivesKeysByHkdfSha256) {
  // openssl kdf -keylen 16 -kdfopt digest:SHA256 -kdfopt key:secret -kdfopt salt:muster -kdfopt
  // info:test HKDF
  const std::string derived = derive_bytes("secret", "test", 16);
  EXPECT_EQ(derived.size(), 16u);
  EXPECT_EQ(derived, derive_bytes("secret", "test", 16));
  EXPECT_NE(derived, derive_bytes("secret", "test2", 16));
}

TEST(GossipWire, ReadsWhatItWrites) {
  VirtualClock clock;
  GossipCodec codec({"secret"});
  const Heartbeat heartbeat = heartbeat_of("a@127.0.0.1", clock);
  const std::string datagram = codec.encode(heartbeat);
  EXPECT_EQ(std::get<Heartbeat>(codec.decode(datagram)), heartbeat);
  EXPECT_EQ(datagram.find("127.0.0.1"), std::string::npos);  // Nothing of it can be read.
}

TEST(GossipWire, TheLongestHeartbeatFitsADatagram) {
  VirtualClock clock;
  GossipCodec codec({"secret"});
  Heartbeat heartbeat = heartbeat_of(std::string(64, 'a') + "@" + std::string(255, 'h'), clock);
  heartbeat.link_address = "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255";
  heartbeat.cluster_id = std::string(64, 'c');
  const std::string datagram = codec.encode(heartbeat);
  EXPECT_LE(datagram.size(), max_gossip_datagram);
  EXPECT_EQ(std::get<Heartbeat>(codec.decode(datagram)), heartbeat);
}

TEST(GossipWire, TellsForeignFromMalformed) {
  VirtualClock clock;
  GossipCodec codec({"secret"});
  const std::string foreign = GossipCodec({"other secret"}).encode(heartbeat_of("a@h", clock));
  EXPECT_EQ(std::get<BadDatagram>(codec.decode(foreign)), BadDatagram::foreign);
  EXPECT_EQ(std::get<BadDatagram>(codec.decode("heartbeat::...")), BadDatagram::other_format);
  EXPECT_EQ(std::get<BadDatagram>(codec.decode("")), BadDatagram::malformed);
}

class GossipMachineTest : public ::testing::Test {
 protected:
  void start() {
    machine.start(clock.now());
    opened();
  }
  void opened(Result<void> result = {}) {
    ASSERT_FALSE(sink.asked.empty());
    const QuestionId id = sink.asked.back().id;
    sink.asked.clear();
    machine.answer(clock.now(), id, GroupOpened{result});
  }
  /// Runs by the clock; what the machine sends reaches itself unless `deaf`.
  void run(Duration by, bool deaf = false) {
    clock.run(machine, by, [&] {
      for (; echoed < sink.sent.size(); ++echoed)
        if (!deaf) machine.datagram(clock.now(), sink.sent[echoed]);
      if (!sink.asked.empty()) opened();
    });
  }
  void hear(Heartbeat heartbeat) {
    machine.datagram(clock.now(), other.encode(heartbeat));
    machine.check_invariants();
  }
  [[nodiscard]] std::uint64_t count(const std::string& what) const {
    return machine.counters().at(what);
  }

  VirtualClock clock;
  RecordingSink sink;
  std::size_t echoed = 0;
  const StrategyContext context = context_of("a@127.0.0.1");
  GossipMachine machine{{}, context, sink};
  GossipCodec other{{context.cookie}};
};

TEST_F(GossipMachineTest, C39OpensTheGroupOnTheBindAddressAndIsAliveASecondLater) {
  machine.start(clock.now());
  ASSERT_EQ(sink.asked.size(), 1u);
  const auto& open = std::get<OpenGroup>(sink.asked[0].question);
  EXPECT_EQ(open.address, "233.252.1.32");
  EXPECT_EQ(open.port, 45892);
  EXPECT_EQ(open.interface, "127.0.0.1");
  EXPECT_EQ(open.bind, "0.0.0.0");
  opened();
  run(1s);
  EXPECT_THAT(sink.notes, IsEmpty());
  EXPECT_EQ(sink.passes.back().kind, Pass::Kind::known_empty);  // It hears itself, nobody else.
}

TEST_F(GossipMachineTest, AnnouncesAt0And100And300MillisecondsAndThenEveryInterval) {
  start();
  EXPECT_EQ(sink.sent.size(), 1u);
  run(99ms);
  EXPECT_EQ(sink.sent.size(), 1u);
  run(1ms);
  EXPECT_EQ(sink.sent.size(), 2u);
  run(200ms);
  EXPECT_EQ(sink.sent.size(), 3u);
  run(100s);
  EXPECT_GE(sink.sent.size(), 3u + 90u);
  EXPECT_LE(sink.sent.size(), 3u + 112u);
}

TEST_F(GossipMachineTest, ListsWhomItHearsWithTheirAddress) {
  start();
  hear(heartbeat_of("b@127.0.0.1", clock));
  ASSERT_FALSE(sink.passes.empty());
  EXPECT_EQ(
      *sink.passes.back().peers.begin(),
      (Peer{.name = NodeName::parse("b@127.0.0.1").value(), .address = "127.0.0.1", .port = 4370}));
  EXPECT_FALSE(sink.passes.back().disconnects);
}

TEST(GossipListener, SaysNothingAndListsWhomItHears) {
  VirtualClock clock;
  RecordingSink sink;
  StrategyContext context = context_of("a@127.0.0.1");
  context.listens_only = true;
  GossipMachine machine({}, context, sink);
  machine.start(clock.now());
  machine.answer(clock.now(), sink.asked.back().id, GroupOpened{});
  GossipCodec other({context.cookie});
  machine.datagram(clock.now(), other.encode({.stream = 1,
                                              .counter = 1,
                                              .boot_id = 2,
                                              .sent = clock.now().wall,
                                              .name = NodeName::parse("b@127.0.0.1").value()}));
  clock.run(machine, 1h, [] {});
  EXPECT_THAT(sink.sent, IsEmpty());
  EXPECT_THAT(sink.notes, IsEmpty());  // Nor does it take itself for deaf.
  EXPECT_THAT(test::names_of(sink.passes.at(1)), ElementsAre("b@127.0.0.1"));
}

TEST_F(GossipMachineTest, AnswersANewcomerAtOnceButNotEveryDatagram) {
  start();
  run(10s);
  clock.set(clock.now().mono + 400ms);
  std::size_t before = sink.sent.size();
  hear(heartbeat_of("b@h", clock));
  EXPECT_EQ(sink.sent.size(), before + 1);
  Heartbeat again = heartbeat_of("b@h", clock);
  for (again.counter = 2; again.counter < 50; ++again.counter) hear(again);
  EXPECT_EQ(sink.sent.size(), before + 1);
  before = sink.sent.size();
  Heartbeat newcomer = heartbeat_of("c@h", clock);
  for (newcomer.stream = 100; newcomer.stream < 300; ++newcomer.stream) hear(newcomer);
  run(150ms);
  EXPECT_LE(sink.sent.size(), before + 3);  // At most every 100 ms, beside the rhythm.
  EXPECT_GE(sink.sent.size(), before + 1);
}

TEST_F(GossipMachineTest, SilenceIsNotAnEmptyListAndAPeerIsForgottenOnlyAfterAMinute) {
  start();
  hear(heartbeat_of("b@h", clock));
  run(59s);
  EXPECT_THAT(names_of(sink.passes.back()), ElementsAre("b@h"));
  run(3s);
  EXPECT_THAT(names_of(sink.passes.back()), IsEmpty());
  for (const Pass& pass : sink.passes) EXPECT_FALSE(pass.disconnects);
}

TEST_F(GossipMachineTest, ManyNewcomersAreReportedTogetherWithin50Milliseconds) {
  start();
  Heartbeat newcomer = heartbeat_of("b@h", clock);
  for (newcomer.stream = 100; newcomer.stream < 300; ++newcomer.stream) {
    newcomer.name = NodeName::parse("n" + std::to_string(newcomer.stream) + "@h").value();
    hear(newcomer);
  }
  EXPECT_EQ(sink.passes.size(), 1u);  // The first of them, at once.
  run(50ms);
  EXPECT_EQ(sink.passes.size(), 2u);
  EXPECT_EQ(sink.passes.back().peers.size(), 200u);
}

TEST_F(GossipMachineTest, HeartbeatsThatTellNothingNewAreNotReported) {
  start();
  Heartbeat heartbeat = heartbeat_of("b@h", clock);
  hear(heartbeat);
  const auto passes = sink.passes.size();
  for (heartbeat.counter = 2; heartbeat.counter < 200; ++heartbeat.counter) hear(heartbeat);
  EXPECT_EQ(sink.passes.size(), passes);
  run(10s);
  EXPECT_LE(sink.passes.size(), passes + 15);  // With the beat.
}

TEST_F(GossipMachineTest, IgnoresItselfAndCountsIt) {
  start();
  run(1s);
  EXPECT_GE(count("heard_itself"), 3u);
  EXPECT_EQ(count("heard"), 0u);
  EXPECT_THAT(names_of(sink.passes.back()), IsEmpty());
}

TEST_F(GossipMachineTest, ANodeThatDoesNotHearItselfSaysSoOnceAndNamesTheInterface) {
  start();
  run(1min, /*deaf=*/true);
  ASSERT_EQ(sink.notes.size(), 1u);
  EXPECT_THAT(
      sink.notes[0],
      HasSubstr("cannot hear its own heartbeat on interface 127.0.0.1 (group 233.252.1.32:45892)"));
  EXPECT_EQ(sink.passes.back().kind, Pass::Kind::unknown);
  run(2min);  // The interface is back; opening the group anew has helped.
  ASSERT_EQ(sink.notes.size(), 2u);
  EXPECT_THAT(sink.notes[1], HasSubstr("hears its own heartbeat again"));
  EXPECT_EQ(sink.passes.back().kind, Pass::Kind::known_empty);
}

TEST_F(GossipMachineTest, AReplayOfItsOwnWordsDoesNotHideThatItIsDeaf) {
  start();
  run(10s, /*deaf=*/true);
  const std::string old = sink.sent[0];
  for (int i = 0; i < 100; ++i) machine.datagram(clock.now(), old);
  EXPECT_EQ(count("heard_itself"), 0u);
  EXPECT_EQ(count("replayed"), 100u);
}

TEST_F(GossipMachineTest, AGroupThatCannotBeOpenedIsUnknownAndTriedAgain) {
  machine.start(clock.now());
  opened(bad_input("joining failed"));
  EXPECT_EQ(sink.passes.back().kind, Pass::Kind::unknown);
  EXPECT_THAT(sink.passes.back().reason, HasSubstr("joining failed"));
  EXPECT_THAT(sink.sent, IsEmpty());
  run(1min);
  EXPECT_FALSE(sink.sent.empty());
}

TEST_F(GossipMachineTest, ReplayedDatagramsChangeNothing) {
  start();
  Heartbeat heartbeat = heartbeat_of("b@h", clock);
  heartbeat.counter = 5;
  hear(heartbeat);
  const auto passes = sink.passes.size();
  hear(heartbeat);
  heartbeat.counter = 4;
  heartbeat.link_port = 666;
  hear(heartbeat);
  EXPECT_EQ(count("replayed"), 2u);
  EXPECT_EQ(sink.passes.size(), passes);
}

TEST_F(GossipMachineTest, AnOldDatagramIsRefusedEvenAfterTheGuardHasForgotten) {
  start();
  const Heartbeat heartbeat = heartbeat_of("b@h", clock);
  hear(heartbeat);
  run(10min);
  const auto heard = count("heard");
  hear(heartbeat);
  EXPECT_EQ(count("heard"), heard);
  EXPECT_EQ(count("out_of_time"), 1u);
  EXPECT_THAT(names_of(sink.passes.back()), IsEmpty());
  EXPECT_THAT(sink.notes.back(), HasSubstr("clocks that differ"));
}

TEST_F(GossipMachineTest, ADatagramFromTheFutureIsRefused) {
  start();
  Heartbeat heartbeat = heartbeat_of("b@h", clock);
  for (const auto sent : {clock.now().wall + 1h, Timestamp::max(), Timestamp::min()}) {
    heartbeat.sent = sent;
    hear(heartbeat);
  }
  EXPECT_EQ(count("out_of_time"), 3u);
  EXPECT_THAT(sink.passes, IsEmpty());
}

TEST_F(GossipMachineTest, ARestartedPeerIsKnownByItsNewAddressAtOnce) {
  start();
  Heartbeat heartbeat = heartbeat_of("b@h", clock);
  hear(heartbeat);
  heartbeat.stream = 18;
  heartbeat.boot_id = 100;
  heartbeat.link_port = 4444;
  hear(heartbeat);
  run(50ms);
  EXPECT_EQ(sink.passes.back().peers.begin()->port, 4444);
}

TEST_F(GossipMachineTest, ANamesakeIsToldOnce) {
  start();
  Heartbeat heartbeat = heartbeat_of("a@127.0.0.1", clock);
  for (heartbeat.counter = 1; heartbeat.counter < 10; ++heartbeat.counter) hear(heartbeat);
  ASSERT_EQ(sink.notes.size(), 1u);
  EXPECT_THAT(sink.notes[0], HasSubstr("another node calls itself a@127.0.0.1"));
  EXPECT_THAT(sink.passes, IsEmpty());
}

TEST_F(GossipMachineTest, ForeignDatagramsAreToldOnceAndCounted) {
  start();
  GossipCodec foreign({"another secret"});
  Heartbeat heartbeat = heartbeat_of("b@h", clock);
  for (heartbeat.counter = 1; heartbeat.counter <= 10; ++heartbeat.counter)
    machine.datagram(clock.now(), foreign.encode(heartbeat));
  EXPECT_EQ(count("foreign"), 10u);
  ASSERT_EQ(sink.notes.size(), 1u);
  EXPECT_THAT(sink.notes[0], HasSubstr("another secret or cookie"));
  EXPECT_THAT(sink.passes, IsEmpty());
}

TEST_F(GossipMachineTest, WithoutAPortPeersAreLeftToThePortMapper) {
  start();
  Heartbeat heartbeat = heartbeat_of("b@h", clock);
  heartbeat.link_port = 0;
  hear(heartbeat);
  EXPECT_EQ(*sink.passes.back().peers.begin(), Peer{NodeName::parse("b@h").value()});
}

/// Flipped, cut, grown, repeated and foreign datagrams: only the sound and new ones may change
/// anything.
TEST_F(GossipMachineTest, BadDatagramsChangeNothing) {
  start();
  run(1s);
  GossipCodec foreign({"another secret"});
  hear(heartbeat_of("b@h", clock));
  const auto passes = sink.passes.size();
  const auto sent = sink.sent.size();
  const std::string sound = other.encode(heartbeat_of("b@h", clock));
  for (std::uint64_t seed = 0; seed < 10'000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    Heartbeat next = heartbeat_of("x@h", clock);
    next.stream = random();
    std::string datagram = other.encode(next);
    switch (random() % 5) {
      case 0:
        datagram[random() % datagram.size()] ^= static_cast<char>(1 << random() % 8);
        break;
      case 1:
        datagram.resize(random() % datagram.size());
        break;
      case 2:
        datagram += std::string(1 + random() % 2000, static_cast<char>(random()));
        break;
      case 3:
        datagram = sound;
        break;
      default:
        datagram = foreign.encode(next);
    }
    machine.datagram(clock.now(), datagram);
    machine.check_invariants();
    ASSERT_EQ(sink.passes.size(), passes);
    ASSERT_EQ(sink.sent.size(), sent);
  }
  EXPECT_EQ(count("malformed") + count("foreign") + count("replayed"), 10'000u);
  EXPECT_EQ(count("heard"), 1u);
}

TEST_F(GossipMachineTest, TheNumberOfStreamsIsBounded) {
  start();
  Heartbeat heartbeat = heartbeat_of("b@h", clock);
  for (heartbeat.stream = 1000; heartbeat.stream < 7000; ++heartbeat.stream) hear(heartbeat);
  EXPECT_EQ(count("beyond_limit"), 6000u - 4096u);
}

TEST_F(GossipMachineTest, AChangedInterfaceIsOpenedAnewOnceAfter100Milliseconds) {
  start();
  run(10s);
  const auto withdrawn = sink.withdrawn.size();
  const auto sent = sink.sent.size();
  for (int i = 0; i < 20; ++i) {  // It comes in many steps.
    machine.answer(clock.now(), 1, GroupChanged{});
    clock.set(clock.now().mono + 4ms);
  }
  // Its own words, on their way meanwhile, do not make it forget.
  machine.datagram(clock.now(), sink.sent.back());
  EXPECT_THAT(sink.asked, IsEmpty());
  clock.set(clock.now().mono + 20ms);
  machine.wake(clock.now());
  ASSERT_EQ(sink.asked.size(), 1u);
  EXPECT_EQ(sink.asked[0].id, 2u);
  EXPECT_EQ(sink.withdrawn.size(), withdrawn + 1);
  EXPECT_EQ(sink.withdrawn.back(), 1u);
  opened();
  run(300ms);
  EXPECT_GE(sink.sent.size(), sent + 3);  // As fast as at the start.
  EXPECT_EQ(count("opened"), 2u);
}

TEST_F(GossipMachineTest, AnInterfaceThatWasNotThereIsFoundAsSoonAsItAppears) {
  machine.start(clock.now());
  opened(bad_input("interface eth1 is not there"));
  for (int i = 0; i < 10; ++i) {  // Its own attempts are a minute apart by now.
    clock.set(machine.next_wake());
    machine.wake(clock.now());
    opened(bad_input("interface eth1 is not there"));
  }
  EXPECT_THAT(sink.passes.back().reason, HasSubstr("interface eth1 is not there"));
  machine.answer(clock.now(), 11, GroupChanged{});
  run(300ms);
  EXPECT_FALSE(sink.sent.empty());
  EXPECT_EQ(sink.passes.back().kind, Pass::Kind::known_empty);
}

TEST_F(GossipMachineTest, AnAnswerToAWithdrawnOpeningIsIgnored) {
  start();
  run(1min, /*deaf=*/true);  // Opened again and again.
  const auto opened_times = count("opened");
  ASSERT_GT(opened_times, 2u);
  machine.answer(clock.now(), 1, GroupOpened{bad_input("late")});
  machine.answer(clock.now(), 1, GroupChanged{});
  EXPECT_EQ(count("opened"), opened_times);
  EXPECT_THAT(sink.passes.back().reason, Not(HasSubstr("late")));
}

TEST_F(GossipMachineTest, LibclustersHeartbeatsAreToldOnceAndCounted) {
  start();
  for (int i = 0; i < 10; ++i) machine.datagram(clock.now(), "heartbeat::...");
  EXPECT_EQ(count("other_format"), 10u);
  ASSERT_EQ(sink.notes.size(), 1u);
  EXPECT_THAT(sink.notes[0], HasSubstr("another format of gossip"));
}

TEST(GossipWire, TheFirstSecretSendsAndAllReceive) {
  VirtualClock clock;
  GossipCodec before({"old"}), between({"new", "old"}), after({"new"});
  Heartbeat heartbeat = heartbeat_of("a@127.0.0.1", clock);
  EXPECT_EQ(std::get<Heartbeat>(after.decode(between.encode(heartbeat))), heartbeat);
  EXPECT_EQ(std::get<Heartbeat>(between.decode(after.encode(heartbeat))), heartbeat);
  EXPECT_EQ(std::get<BadDatagram>(before.decode(between.encode(heartbeat))), BadDatagram::foreign);
  const std::string old = before.encode(heartbeat);
  heartbeat.under_old_secret = true;
  EXPECT_EQ(std::get<Heartbeat>(between.decode(old)), heartbeat);
}

TEST(Gossip, ASecretIsReplacedWithoutANodeUnheardAndTheOldOneIsToldOnce) {
  VirtualClock clock;
  RecordingSink sink;
  GossipMachine machine({.secrets = {"new", "old"}}, context_of("a@h"), sink);
  machine.start(clock.now());
  machine.answer(clock.now(), 1, GroupOpened{});
  GossipCodec old({"old"}), renewed({"new"});
  Heartbeat heartbeat = heartbeat_of("b@h", clock);
  for (heartbeat.counter = 1; heartbeat.counter <= 5; ++heartbeat.counter)
    machine.datagram(clock.now(), old.encode(heartbeat));
  EXPECT_THAT(sink.notes, ElementsAre("hears b@h under an old secret: it is still in use"));
  EXPECT_EQ(machine.counters().at("under_old_secret"), 5u);
  heartbeat.name = NodeName::parse("c@h").value();
  heartbeat.stream = 18;
  clock.set(clock.now().mono + 50ms);
  machine.datagram(clock.now(), renewed.encode(heartbeat));
  EXPECT_THAT(names_of(sink.passes.back()), ElementsAre("b@h", "c@h"));
  EXPECT_EQ(sink.notes.size(), 1u);
}

TEST(Gossip, TwoStartsNeverShareAStream) {
  VirtualClock clock;
  RecordingSink one, two;
  StrategyContext context = context_of("a@h", 1);
  GossipMachine first({}, context, one);
  context.seed = 2;
  GossipMachine second({}, context, two);
  for (auto* machine : {&first, &second}) {
    machine->start(clock.now());
    machine->answer(clock.now(), 1, GroupOpened{});
  }
  GossipCodec codec({context.cookie});
  EXPECT_NE(std::get<Heartbeat>(codec.decode(one.sent.at(0))).stream,
            std::get<Heartbeat>(codec.decode(two.sent.at(0))).stream);
}

}  // namespace
}  // namespace muster::discovery
