// SPDX-License-Identifier: MIT
// From passes to links, against plumbing made of a set of names.  C1 to C8 are the cases of
// libcluster's own tests.
#include "muster/discovery/topology_machine.h"

#include <gmock/gmock.h>

#include <deque>

#include "discovery/virtual_clock.h"

namespace muster::discovery {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

NodeName name(const std::string& base) { return NodeName::parse(base + "@h").value(); }

Pass list(const std::vector<std::string>& bases) {
  PeerSet peers;
  for (const auto& base : bases) peers.insert(Peer{name(base)});
  return Pass::list(peers);
}

/// Plumbing that answers when the test says so, and all that was asked of it.
class Plumbed : public TopologySink {
 public:
  void connect(AttemptId id, const Peer& peer, Duration) override {
    dials.push_back(peer.name.text());
    pending.push_back({id, peer.name});
  }
  void disconnect(AttemptId id, const NodeName& node) override {
    cuts.push_back(node.text());
    pending_cuts.push_back({id, node});
  }
  std::set<NodeName> list_nodes() override { return linked; }
  void happened(const ConnectEvent& event) override { events.push_back(event); }
  void note(const std::string& topology, Level level, std::string text) override {
    if (level != Level::debug) notes.push_back("[" + topology + "] " + text);
  }

  struct Pending {
    AttemptId id;
    NodeName name;
  };
  std::vector<std::string> dials, cuts, notes;
  std::vector<ConnectEvent> events;
  std::deque<Pending> pending, pending_cuts;
  std::set<NodeName> linked;
};

class TopologyMachineTest : public ::testing::Test {
 protected:
  TopologyMachineTest() { machine.add("t"); }

  void pass(Pass pass, const std::string& topology = "t") {
    machine.pass(clock.now(), topology, std::move(pass));
    machine.check_invariants();
  }
  /// Answers all dials that wait; those that are allowed to link do.
  void answer(const DialOutcome& outcome = {}) {
    for (auto waiting = std::exchange(plumbed.pending, {}); !waiting.empty(); waiting.pop_front()) {
      if (outcome.ok()) plumbed.linked.insert(waiting.front().name);
      machine.connected(clock.now(), waiting.front().id, outcome);
    }
    for (auto waiting = std::exchange(plumbed.pending_cuts, {}); !waiting.empty();
         waiting.pop_front()) {
      if (outcome.ok()) plumbed.linked.erase(waiting.front().name);
      machine.disconnected(clock.now(), waiting.front().id, outcome);
    }
    machine.check_invariants();
  }
  void run(Duration by, const DialOutcome& outcome = {}) {
    clock.run(machine, by, [&] { answer(outcome); });
  }
  void lose(const std::string& base) {
    plumbed.linked.erase(name(base));
    machine.links_changed(clock.now());
  }
  /// All of `bases` listed and linked, nothing recorded.
  void settle(const std::vector<std::string>& bases, const std::string& topology = "t") {
    pass(list(bases), topology);
    answer();
    plumbed.dials.clear();
    plumbed.notes.clear();
    plumbed.events.clear();
  }

  test::VirtualClock clock;
  Plumbed plumbed;
  TopologyMachine machine{{.self = name("self"), .seed = 1}, plumbed};
};

const DialOutcome refused{DialProblem::refused, "127.0.0.1:4370"};

TEST_F(TopologyMachineTest, C2DoesNotConnectANodeThatIsListedAlreadyOrItself) {
  plumbed.linked = {name("b")};
  pass(list({"b", "self"}));
  run(1h);
  EXPECT_THAT(plumbed.dials, IsEmpty());
  EXPECT_THAT(plumbed.events, IsEmpty());
}

TEST_F(TopologyMachineTest, C3ConnectsANewNodeAndTellsLogAndTelemetry) {
  pass(list({"b"}));
  clock.set(clock.now().mono + 30ms);
  answer();
  EXPECT_THAT(plumbed.dials, ElementsAre("b@h"));
  EXPECT_THAT(plumbed.notes, ElementsAre("[t] connected to b@h"));
  ASSERT_EQ(plumbed.events.size(), 1u);
  EXPECT_TRUE(plumbed.events[0].ok);
  EXPECT_EQ(plumbed.events[0].node, name("b"));
  EXPECT_EQ(plumbed.events[0].topology, "t");
  EXPECT_EQ(plumbed.events[0].duration, 30ms);
}

TEST_F(TopologyMachineTest, C4ReportsAFailedConnectWithItsReason) {
  pass(list({"b"}));
  answer(refused);
  EXPECT_THAT(plumbed.notes, ElementsAre("[t] unable to connect to b@h: refused (127.0.0.1:4370)"));
  ASSERT_EQ(plumbed.events.size(), 1u);
  EXPECT_FALSE(plumbed.events[0].ok);
  EXPECT_EQ(plumbed.events[0].reason, "refused");
}

TEST_F(TopologyMachineTest, C5ReportsAConnectThatTheTransportIgnores) {
  pass(list({"b"}));
  answer({DialProblem::not_part_of_network});
  EXPECT_THAT(plumbed.notes, ElementsAre("[t] unable to connect to b@h: not part of network"));
  EXPECT_EQ(plumbed.events.at(0).reason, "not part of network");
}

TEST_F(TopologyMachineTest, C6DoesNotDisconnectANodeThatIsNotLinkedOrItself) {
  pass(list({"b", "self"}));
  answer(refused);
  pass(list({"c"}));
  run(1min, refused);
  EXPECT_THAT(plumbed.cuts, IsEmpty());
}

TEST_F(TopologyMachineTest, C7DisconnectsANodeThatIsNoLongerListed) {
  settle({"b", "c"});
  pass(list({"b"}));
  answer();
  EXPECT_THAT(plumbed.cuts, ElementsAre("c@h"));
  EXPECT_THAT(plumbed.notes, ElementsAre("[t] disconnected from c@h"));
  EXPECT_EQ(plumbed.events.at(0).what, ConnectEvent::What::disconnect);
  EXPECT_TRUE(plumbed.events.at(0).ok);
}

TEST_F(TopologyMachineTest, C8ReportsAFailedDisconnectOnceAndTriesAgain) {
  settle({"b"});
  pass(list({}));
  answer({DialProblem::other, "locked"});
  run(10s, {DialProblem::other, "locked"});
  EXPECT_GT(plumbed.cuts.size(), 2u);
  EXPECT_THAT(plumbed.notes, ElementsAre("[t] unable to disconnect from b@h: failed (locked)"));
  EXPECT_EQ(plumbed.events.at(0).reason, "failed");
}

TEST_F(TopologyMachineTest, DialsInParallel) {
  pass(list({"b", "c", "d"}));
  EXPECT_THAT(plumbed.dials, ElementsAre("b@h", "c@h", "d@h"));
}

TEST_F(TopologyMachineTest, BoundsTheNumberOfDialsAtATime) {
  std::vector<std::string> many;
  for (int i = 0; i < 200; ++i) many.push_back("n" + std::to_string(i));
  pass(list(many));
  EXPECT_EQ(plumbed.dials.size(), 64u);
  run(10s);
  answer();
  run(10s);
  EXPECT_EQ(plumbed.dials.size(), 200u);
  EXPECT_EQ(plumbed.linked.size(), 200u);
}

TEST_F(TopologyMachineTest, RedialsWithBackoffAndSaysSoOnce) {
  pass(list({"b"}));
  answer(refused);
  run(59min, refused);
  EXPECT_GT(plumbed.dials.size(), 350u);  // Every 5 to 10 s in the end ...
  EXPECT_LT(plumbed.dials.size(), 750u);
  EXPECT_EQ(plumbed.notes.size(), 1u);
  run(2min, refused);
  ASSERT_EQ(plumbed.notes.size(), 2u);  // ... and one reminder an hour.
  EXPECT_EQ(plumbed.notes[1],
            "[t] still unable to connect to b@h: refused (127.0.0.1:4370), for 1h");
}

TEST_F(TopologyMachineTest, AnotherReasonIsNews) {
  pass(list({"b"}));
  answer(refused);
  run(10s, {DialProblem::wrong_cookie, "127.0.0.1:4370"});
  EXPECT_THAT(plumbed.notes,
              ElementsAre("[t] unable to connect to b@h: refused (127.0.0.1:4370)",
                          "[t] unable to connect to b@h: wrong cookie (127.0.0.1:4370)"));
  run(10s);
  EXPECT_EQ(plumbed.notes.back(), "[t] connected to b@h");
}

TEST_F(TopologyMachineTest, RedialsALostPeerAtOnceWhateverThePeriodOfTheStrategy) {
  settle({"b"});
  run(1min);
  lose("b");
  EXPECT_THAT(plumbed.dials, ElementsAre("b@h"));
}

TEST_F(TopologyMachineTest, FindsALostPeerByItselfWithinASecond) {
  settle({"b"});
  run(1min);
  plumbed.linked.clear();
  run(1s);
  EXPECT_THAT(plumbed.dials, ElementsAre("b@h"));
}

TEST_F(TopologyMachineTest, ALinkThatBreaksAtOnceIsNotRedialledInACircle) {
  pass(list({"b"}));
  for (int i = 0; i < 1000; ++i) {
    answer();
    lose("b");
    run(10ms, refused);
  }
  EXPECT_LT(plumbed.dials.size(), 15u);  // In ten seconds.
}

TEST_F(TopologyMachineTest, ANewAddressIsDialledAtOnce) {
  Peer peer{.name = name("b"), .address = "127.0.0.1", .port = 1};
  pass(Pass::list({peer}));
  answer(refused);
  run(1h, refused);
  plumbed.dials.clear();
  peer.port = 2;
  pass(Pass::list({peer}));
  EXPECT_THAT(plumbed.dials, ElementsAre("b@h"));
}

TEST_F(TopologyMachineTest, UnknownPassesDisconnectNobodyAndAreToldOnce) {
  settle({"b", "c"});
  for (int i = 0; i < 10; ++i) pass(Pass::unknown("lookup failed"));
  EXPECT_THAT(plumbed.cuts, IsEmpty());
  pass(list({"b", "c"}));
  EXPECT_THAT(plumbed.notes, ElementsAre("[t] does not know its peers: lookup failed",
                                         "[t] knows its peers again: 2 peers"));
  EXPECT_EQ(machine.status().at(0).counters.at("unknown_passes"), 10u);
}

TEST_F(TopologyMachineTest, UnknownPassesDoNotStopRedialling) {
  settle({"b"});
  pass(Pass::unknown("lookup failed"));
  run(1min);
  lose("b");
  EXPECT_THAT(plumbed.dials, ElementsAre("b@h"));
}

TEST_F(TopologyMachineTest, AKnownEmptyPassDisconnects) {
  settle({"b", "c"});
  pass(Pass::list({}));
  answer();
  EXPECT_THAT(plumbed.cuts, ElementsAre("b@h", "c@h"));
}

TEST_F(TopologyMachineTest, APassThatDropsMoreThanHalfWaitsForASecondEqualOne) {
  settle({"b", "c", "d"});
  pass(list({"b"}));
  EXPECT_THAT(plumbed.cuts, IsEmpty());
  EXPECT_THAT(
      plumbed.notes,
      ElementsAre("[t] this pass would drop 2 of 3 peers; it waits for a second, equal answer"));
  EXPECT_TRUE(machine.status().at(0).holds_back_drop);
  pass(Pass::list({}));  // Another answer: waits anew.
  EXPECT_THAT(plumbed.cuts, IsEmpty());
  pass(Pass::unknown("lookup failed"));
  pass(Pass::list({}));
  EXPECT_THAT(plumbed.cuts, ElementsAre("b@h", "c@h", "d@h"));
}

TEST_F(TopologyMachineTest, APassThatIsHeldBackStillAdds) {
  settle({"b", "c", "d"});
  pass(list({"e"}));
  EXPECT_THAT(plumbed.dials, ElementsAre("e@h"));
  pass(list({"b", "c", "d", "e"}));  // All well again.
  EXPECT_FALSE(machine.status().at(0).holds_back_drop);
  EXPECT_THAT(plumbed.cuts, IsEmpty());
}

TEST_F(TopologyMachineTest, DroppingHalfDoesNotWait) {
  settle({"b", "c", "d", "e"});
  pass(list({"b", "c"}));
  EXPECT_THAT(plumbed.cuts, ElementsAre("d@h", "e@h"));
}

TEST_F(TopologyMachineTest, APassThatDoesNotDisconnectOnlyStopsRedialling) {
  settle({"b", "c"});
  Pass heard = list({"b"});
  heard.disconnects = false;
  pass(heard);
  EXPECT_THAT(plumbed.cuts, IsEmpty());
  lose("c");
  run(1min);
  EXPECT_THAT(plumbed.dials, IsEmpty());
}

TEST_F(TopologyMachineTest, ANodeIsDisconnectedOnlyWhenNoTopologyListsIt) {
  machine.add("u");
  settle({"b", "c"}, "t");
  settle({"b"}, "u");
  pass(list({"c"}), "t");
  EXPECT_THAT(plumbed.cuts, IsEmpty());
  pass(Pass::list({}), "u");
  EXPECT_THAT(plumbed.cuts, ElementsAre("b@h"));
}

TEST_F(TopologyMachineTest, TheAddressOfOneTopologyServesAnotherThatKnowsNone) {
  machine.add("u");
  const Peer known{.name = name("b"), .address = "127.0.0.1", .port = 1};
  pass(list({"b"}), "t");
  answer(refused);
  pass(Pass::list({known}), "u");
  EXPECT_EQ(plumbed.dials.size(), 2u);  // Once for the news ...
  answer(refused);
  for (int i = 0; i < 10; ++i) {
    pass(list({"b"}), "t");
    pass(Pass::list({known}), "u");
  }
  EXPECT_EQ(plumbed.dials.size(), 2u);  // ... and not for every pass.
}

TEST_F(TopologyMachineTest, ADialThatSucceedsTooLateIsUndone) {
  pass(list({"b"}));
  pass(Pass::list({}));
  answer();
  EXPECT_THAT(plumbed.cuts, ElementsAre("b@h"));
}

TEST_F(TopologyMachineTest, APeerThatIsListedAgainWhileItIsCutIsDialledAgain) {
  settle({"b"});
  pass(Pass::list({}));
  pass(list({"b"}));
  answer();
  run(10s);
  EXPECT_TRUE(plumbed.linked.contains(name("b")));
}

TEST_F(TopologyMachineTest, ATransportThatNeverAnswersCountsAsTimedOut) {
  pass(list({"b"}));
  clock.run(machine, 10s, [] {});
  EXPECT_GE(plumbed.dials.size(), 2u);
  EXPECT_THAT(
      plumbed.notes,
      ElementsAre("[t] unable to connect to b@h: timed out (the transport did not answer)"));
}

TEST_F(TopologyMachineTest, ARemovedTopologyKeepsItsLinksAndRedialsNobody) {
  settle({"b"});
  machine.remove("t");
  plumbed.linked.clear();
  run(1min);
  EXPECT_THAT(plumbed.dials, IsEmpty());
  EXPECT_THAT(plumbed.cuts, IsEmpty());
  EXPECT_EQ(machine.next_wake(), never);
}

TEST_F(TopologyMachineTest, ShowsWhereEachPeerStands) {
  plumbed.linked = {name("b")};
  pass(Pass::list({Peer{name("b")}, Peer{.name = name("c"), .address = "10.0.0.1", .port = 7}}));
  auto status = machine.status().at(0);
  ASSERT_EQ(status.peers.size(), 2u);
  EXPECT_EQ(status.peers[0].state, PeerStatus::State::linked);
  EXPECT_EQ(status.peers[1].state, PeerStatus::State::dialling);
  EXPECT_EQ(status.peers[1].address, "10.0.0.1:7");
  answer(refused);
  status = machine.status().at(0);
  EXPECT_EQ(status.peers[1].state, PeerStatus::State::failing);
  EXPECT_EQ(status.peers[1].reason, "refused (127.0.0.1:4370)");
  EXPECT_EQ(status.last_pass, Pass::Kind::list);
}

/// Random passes, answers and losses: the invariants hold, and when all is quiet and well, exactly
/// the listed are linked beside those that a pass without the right to disconnect has dropped.
TEST_F(TopologyMachineTest, ConvergesAfterAnyHistory) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    test::VirtualClock time;
    Plumbed world;
    TopologyMachine tested({.self = name("n0"), .seed = seed}, world);
    tested.add("t");
    tested.add("u");
    const auto random_list = [&] {
      PeerSet peers;
      for (int i = 0; i < 8; ++i)
        if (random() % 2) peers.insert(Peer{name("n" + std::to_string(i))});
      return Pass::list(peers);
    };
    const auto answer_one = [&](bool ok) {
      auto& queue = random() % 2 ? world.pending : world.pending_cuts;
      if (queue.empty()) return;
      const auto [id, node] = queue.front();
      queue.pop_front();
      if (&queue == &world.pending) {
        if (ok) world.linked.insert(node);
        tested.connected(time.now(), id, ok ? DialOutcome{} : refused);
      } else {
        if (ok) world.linked.erase(node);
        tested.disconnected(time.now(), id, ok ? DialOutcome{} : refused);
      }
    };
    for (int step = 0; step < 300; ++step) {
      const std::string topology = random() % 2 ? "t" : "u";
      const auto dice = random() % 10;
      if (dice == 0) tested.pass(time.now(), topology, random_list());
      if (dice == 1) tested.pass(time.now(), topology, Pass::unknown("?"));
      if (dice == 2 && !world.linked.empty()) world.linked.erase(world.linked.begin());
      if (dice >= 3) answer_one(random() % 3 != 0);
      time.run(tested, std::chrono::milliseconds(random() % 500), [] {});
      tested.check_invariants();
    }
    const Pass last = random_list();
    for (int i = 0; i < 2; ++i)
      for (const auto topology : {"t", "u"}) tested.pass(time.now(), topology, last);
    for (int i = 0; i < 200; ++i) {
      while (!world.pending.empty() || !world.pending_cuts.empty()) answer_one(true);
      time.run(tested, 100ms, [] {});
    }
    std::set<NodeName> wanted;
    for (const Peer& peer : last.peers)
      if (peer.name != name("n0")) wanted.insert(peer.name);
    EXPECT_EQ(world.linked, wanted);
  }
}

TEST(Backoff, DoublesUpToItsBoundWithinHalfAWait) {
  Backoff backoff({.first = 100ms, .most = 1s});
  Duration wait = 100ms;
  for (int i = 0; i < 10; ++i) {
    const Duration next = backoff.next(static_cast<std::uint64_t>(i) * 7919);
    EXPECT_GE(next, wait / 2);
    EXPECT_LE(next, wait);
    wait = std::min<Duration>(wait * 2, 1s);
  }
  backoff.reset();
  EXPECT_LE(backoff.next(~std::uint64_t{0}), 100ms);
}

}  // namespace
}  // namespace muster::discovery
