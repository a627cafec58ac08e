// SPDX-License-Identifier: MIT
#include "muster/lab/network.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace muster::lab {
namespace {

using namespace std::chrono_literals;
using Lane = Network::Lane;

Payload text(std::string_view bytes) { return std::make_shared<const std::string>(bytes); }

/// Writes down what it is told.
class Recorder : public Process {
 public:
  explicit Recorder(Agenda& agenda) : agenda_(agenda) {}
  void accepted(End end, HostId) override {
    end_ = end;
    heard.emplace_back("accepted");
  }
  void established(End end) override {
    end_ = end;
    heard.emplace_back("established");
  }
  void received(End, std::string_view bytes) override {
    heard.emplace_back(bytes);
    last = agenda_.now();
  }
  void closed(End, std::string_view reason) override { heard.emplace_back(reason); }
  void datagram(HostId, std::string_view bytes) override { heard.emplace_back(bytes); }

  End end_;
  Instant last{};
  std::vector<std::string> heard;

 private:
  Agenda& agenda_;
};

class NetworkTest : public testing::Test {
 protected:
  NetworkTest() {
    a_ = network_.add_host("a");
    b_ = network_.add_host("b");
    network_.start(a_, &alice_);
    network_.start(b_, &bob_);
  }
  End connect() {
    const End end = network_.dial(a_, b_);
    agenda_.run_for(10ms);
    alice_.heard.clear();
    bob_.heard.clear();
    return end;
  }
  using Strings = std::vector<std::string>;

  Agenda agenda_;
  Trace trace_;
  Network network_{agenda_, trace_, 1};
  Recorder alice_{agenda_}, bob_{agenda_};
  HostId a_ = 0, b_ = 0;
};

TEST_F(NetworkTest, BothEndsHearThatAConnectionIsUp) {
  network_.dial(a_, b_);
  agenda_.run_for(10ms);
  EXPECT_EQ(alice_.heard, (Strings{"established"}));
  EXPECT_EQ(bob_.heard, (Strings{"accepted", "established"}));
}

TEST_F(NetworkTest, RefusesWhereNobodyListensAndSaysNothingWhereAllIsDark) {
  network_.stop(b_);
  network_.dial(a_, b_);
  agenda_.run_for(1s);
  EXPECT_EQ(alice_.heard, (Strings{"connection refused"}));
  network_.power_off(b_);
  network_.dial(a_, b_);
  agenda_.run_for(60s);
  EXPECT_EQ(alice_.heard.size(), 1u);
}

TEST_F(NetworkTest, KeepsTheOrderWhateverTheJitterAndTheLoss) {
  network_.quality({.delay = 1ms, .jitter = 50ms, .loss = 0.2});
  const End end = network_.dial(a_, b_);
  agenda_.run_for(5s);
  bob_.heard.clear();
  Strings sent;
  for (int number = 0; number < 200; ++number) {
    sent.push_back(std::to_string(number));
    network_.send(end, Lane::urgent, text(sent.back()));
  }
  agenda_.run_for(60s);
  EXPECT_EQ(bob_.heard, sent);
}

TEST_F(NetworkTest, WhatACutStopsArrivesAfterTheHeal) {
  const End end = connect();
  network_.cut(a_, b_);
  network_.send(end, Lane::urgent, text("one"));
  agenda_.run_for(10s);
  network_.send(end, Lane::urgent, text("two"));
  agenda_.run_for(10s);
  EXPECT_TRUE(bob_.heard.empty());
  network_.heal(a_, b_);
  agenda_.run_for(2s);
  EXPECT_EQ(bob_.heard, (Strings{"one", "two"}));
}

TEST_F(NetworkTest, WhatACutStopsIsLostWhenItsEndWasClosedMeanwhile) {
  const End end = connect();
  network_.cut(a_, b_);
  network_.send(end, Lane::urgent, text("one"));
  agenda_.run_for(1s);
  network_.close(bob_.end_);
  network_.heal_all();
  agenda_.run_for(2s);
  EXPECT_TRUE(bob_.heard.empty());
  EXPECT_EQ(alice_.heard.size(), 1u);
  EXPECT_FALSE(network_.open(end));
}

TEST_F(NetworkTest, AOneWayCutStopsOneWay) {
  const End end = connect();
  network_.cut_one_way(b_, a_);
  network_.send(end, Lane::urgent, text("there"));
  network_.send(bob_.end_, Lane::urgent, text("back"));
  agenda_.run_for(1s);
  EXPECT_EQ(bob_.heard, (Strings{"there"}));
  EXPECT_TRUE(alice_.heard.empty());
}

TEST_F(NetworkTest, ACloseArrivesBehindWhatWasSent) {
  const End end = connect();
  network_.send(end, Lane::urgent, text("last words"));
  network_.close(end);
  agenda_.run_for(1s);
  EXPECT_EQ(bob_.heard, (Strings{"last words", "closed by peer"}));
}

TEST_F(NetworkTest, AProcessThatEndsIsNoticedAndAHostWithoutPowerIsNot) {
  const End end = connect();
  network_.stop(b_);
  agenda_.run_for(1s);
  EXPECT_EQ(alice_.heard, (Strings{"closed by peer"}));
  EXPECT_FALSE(network_.open(end));

  network_.start(b_, &bob_);
  const End again = connect();
  network_.power_off(b_);
  network_.send(again, Lane::urgent, text("anybody?"));
  agenda_.run_for(60s);
  EXPECT_TRUE(alice_.heard.empty());
  network_.start(b_, &bob_);
  agenda_.run_for(5s);
  EXPECT_EQ(alice_.heard, (Strings{"reset by peer"}));
  EXPECT_TRUE(bob_.heard.empty());
}

TEST_F(NetworkTest, APausedProcessMissesNothing) {
  const End end = connect();
  network_.pause(b_);
  network_.send(end, Lane::urgent, text("one"));
  agenda_.run_for(1s);
  network_.send(end, Lane::urgent, text("two"));
  agenda_.run_for(1s);
  EXPECT_TRUE(bob_.heard.empty());
  network_.resume(b_);
  agenda_.run_for(1ms);
  EXPECT_EQ(bob_.heard, (Strings{"one", "two"}));
}

TEST_F(NetworkTest, CountsWhatASlowPeerHasNotTaken) {
  const End end = connect();
  network_.pause(b_);
  for (int number = 0; number < 3; ++number)
    network_.send(end, Lane::bulk, text(std::string(100'000, 'x')));
  agenda_.run_for(1s);
  EXPECT_EQ(network_.queued(end), 300'000 - Network::socket_buffer);
  network_.resume(b_);
  agenda_.run_for(1s);
  EXPECT_EQ(network_.queued(end), 0u);
}

TEST_F(NetworkTest, UrgentFramesPassBulk) {
  network_.quality({.delay = 1ms, .jitter = 0ms, .bytes_per_second = 1'000'000});
  const End end = connect();
  network_.send(end, Lane::bulk, text(std::string(500'000, 'x')));
  network_.send(end, Lane::urgent, text("now"));
  agenda_.run_for(100ms);
  EXPECT_EQ(bob_.heard, (Strings{"now"}));
}

TEST_F(NetworkTest, DatagramsAreLostAndDoubledAsOftenAsAsked) {
  network_.quality({.loss = 0.2, .duplication = 0.1});
  for (int number = 0; number < 2000; ++number) network_.send(a_, b_, text("x"));
  agenda_.run_for(1s);
  EXPECT_NEAR(static_cast<double>(bob_.heard.size()), 2000 * 1.1 * 0.8, 120);
}

TEST_F(NetworkTest, WallClocksAreSkewedAndMonotonicOnesHaveNothingInCommon) {
  network_.skew(b_, 500ms);
  EXPECT_EQ(network_.now(b_).wall - network_.now(a_).wall, 500ms);
  EXPECT_NE(network_.now(b_).mono, network_.now(a_).mono);
  EXPECT_EQ(network_.on_agenda(b_, network_.now(b_).mono + 3s), agenda_.now() + 3s);
  EXPECT_EQ(network_.on_agenda(b_, never), never);
}

std::uint64_t hash_of_a_run(std::uint64_t seed) {
  Agenda agenda;
  Trace trace;
  Network network(agenda, trace, seed);
  Recorder alice(agenda);
  Recorder bob(agenda);
  network.start(network.add_host("a"), &alice);
  network.start(network.add_host("b"), &bob);
  network.quality({.jitter = 5ms, .loss = 0.1, .duplication = 0.1});
  const End end = network.dial(0, 1);
  for (int number = 0; number < 100; ++number) {
    network.send(0, 1, text(std::to_string(number)));
    network.send(end, Lane::urgent, text(std::to_string(number)));
  }
  agenda.run_for(30s);
  return trace.hash();
}

TEST(Network, TheSameSeedGivesTheSameRunToTheByte) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed)
    ASSERT_EQ(hash_of_a_run(seed), hash_of_a_run(seed)) << "seed " << seed;
  EXPECT_NE(hash_of_a_run(1), hash_of_a_run(2));
}

}  // namespace
}  // namespace muster::lab
