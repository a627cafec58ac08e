// SPDX-License-Identifier: MIT
// Topologies that are paused, refreshed, removed and waited for while they run, with plumbing that
// is a set of names.
#include <gmock/gmock.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "muster/discovery/poller.h"
#include "muster/discovery/test_kit.h"
#include "muster/discovery/topologies.h"

namespace muster::discovery {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

NodeName name(const std::string& text) { return NodeName::parse(text).value(); }

/// A cloud that answers as the test says, and counts how often it is asked.
struct Cloud {
  Result<PeerSet> answer = PeerSet();
  int asked = 0;

  void says(const std::vector<std::string>& names) {
    PeerSet peers;
    for (const auto& each : names) peers.insert(Peer{name(each)});
    answer = peers;
  }
  asio::awaitable<Result<PeerSet>> ask() {
    ++asked;
    co_return answer;
  }
};

class RunningTopologies : public ::testing::Test {
 protected:
  RunningTopologies() {
    add_poller(registry_, "cloud",
               [this](Fields&) -> DiscoverFunction { return [this] { return cloud_.ask(); }; });
  }
  ~RunningTopologies() override {
    finish(topologies_.stop());
    io_.restart();
    io_.run_for(10s);
    EXPECT_TRUE(io_.stopped()) << "something still waits";
  }

  template <class Condition>
  bool eventually(Condition what) {
    io_.restart();
    const auto end = std::chrono::steady_clock::now() + 20s;
    while (!what() && std::chrono::steady_clock::now() < end) io_.run_one_for(100ms);
    return what();
  }
  void finish(asio::awaitable<void> work) {
    bool done = false;
    asio::co_spawn(io_, std::move(work), [&](const std::exception_ptr&) { done = true; });
    ASSERT_TRUE(eventually([&] { return done; }));
  }
  /// "ok", or the error.
  std::string result_of(asio::awaitable<Result<void>> work) {
    std::optional<std::string> text;
    asio::co_spawn(io_, std::move(work),
                   [&](const std::exception_ptr&, const Result<void>& result) {
                     text = result ? "ok" : result.error().text();
                   });
    EXPECT_TRUE(eventually([&] { return text.has_value(); }));
    return text.value_or("nothing");
  }
  void add(const std::string& topology, Duration interval = 20ms) {
    const auto plan = plan_topology(topology, "cloud",
                                    Settings::map({{"polling_interval", interval}}), registry_);
    ASSERT_TRUE(topologies_.add(plan.value()));
  }
  bool passes(int more = 2) {
    const int before = cloud_.asked;
    return eventually([&] { return cloud_.asked >= before + more; });
  }
  const std::set<NodeName>& linked() { return plumbing_.linked; }

  asio::io_context io_{1};
  Cloud cloud_;
  StrategyRegistry registry_;
  test::NamePlumbing plumbing_;
  std::vector<std::string> log_;
  Topologies topologies_{
      io_.get_executor(),
      plumbing_,
      {.context = {.self = name("a@h")},
       .log = Log([this](Level, std::string_view line) { log_.emplace_back(line); }, Level::info)}};
};

TEST_F(RunningTopologies, APausedOneNeitherLooksNorDialsNorDisconnects) {
  cloud_.says({"b@h", "c@h"});
  add("t");
  ASSERT_TRUE(eventually([&] { return linked().size() == 2; }));
  EXPECT_EQ(result_of(topologies_.pause("t")), "ok");
  EXPECT_TRUE(topologies_.status().at(0).paused);
  const int asked = cloud_.asked;
  cloud_.says({"c@h"});
  plumbing_.linked.erase(name("c@h"));
  topologies_.links_changed();
  io_.restart();
  io_.run_for(200ms);
  EXPECT_EQ(cloud_.asked, asked);
  EXPECT_THAT(linked(), ElementsAre(name("b@h")));

  EXPECT_TRUE(topologies_.resume("t"));
  EXPECT_TRUE(eventually([&] { return linked() == std::set{name("c@h")}; }));
  EXPECT_FALSE(topologies_.status().at(0).paused);
}

TEST_F(RunningTopologies, OneThatDoesNotPruneKeepsWhoVanishedFromItsList) {
  cloud_.says({"b@h", "c@h"});
  auto plan = plan_topology("t", "cloud", Settings::map({{"polling_interval", 20ms}}), registry_);
  plan->prune = false;
  ASSERT_TRUE(topologies_.add(*plan));
  ASSERT_TRUE(eventually([&] { return linked().size() == 2; }));
  cloud_.says({"b@h"});
  ASSERT_TRUE(passes(4));
  EXPECT_EQ(linked().size(), 2u);
  plumbing_.linked.clear();
  topologies_.links_changed();
  EXPECT_TRUE(eventually([&] { return !linked().empty(); }));
  ASSERT_TRUE(passes(4));
  EXPECT_THAT(linked(), ElementsAre(name("b@h")));  // And nobody else is dialled.
}

TEST_F(RunningTopologies, WhatAPausedOneListsIsKeptFromOthersDisconnects) {
  cloud_.says({"b@h"});
  add("one");
  add("two");
  ASSERT_TRUE(passes(4));
  EXPECT_EQ(result_of(topologies_.pause("one")), "ok");
  cloud_.says({});
  ASSERT_TRUE(passes());
  EXPECT_THAT(linked(), ElementsAre(name("b@h")));
  EXPECT_EQ(result_of(topologies_.remove("one")), "ok");
}

TEST_F(RunningTopologies, RefreshLooksAtOnceWhateverThePeriod) {
  cloud_.says({"b@h"});
  add("t", 1h);
  ASSERT_TRUE(eventually([&] { return linked().size() == 1; }));
  cloud_.says({"b@h", "c@h"});
  EXPECT_EQ(result_of(topologies_.refresh("t")), "ok");
  EXPECT_TRUE(eventually([&] { return linked().size() == 2; }));
}

TEST_F(RunningTopologies, RefreshDialsAtOnceWhoCouldNotBeReached) {
  cloud_.says({"b@h"});
  plumbing_.outcome = {DialProblem::refused, "127.0.0.1:1"};
  add("t", 1h);
  ASSERT_TRUE(eventually([&] { return plumbing_.dials.size() >= 4; }));  // Seconds of backoff now.
  plumbing_.outcome = {};
  EXPECT_EQ(result_of(topologies_.refresh("t")), "ok");
  EXPECT_TRUE(eventually([&] { return linked().size() == 1; }));
}

TEST_F(RunningTopologies, WhatCannotBeDoneIsSaid) {
  add("local");
  EXPECT_EQ(result_of(topologies_.pause("locale")),
            "there is no topology 'locale', did you mean 'local'?");
  EXPECT_EQ(topologies_.resume("local").error().text(), "topology 'local' is not paused");
  EXPECT_EQ(result_of(topologies_.pause("local")), "ok");
  EXPECT_EQ(result_of(topologies_.pause("local")), "topology 'local' is paused already");
  EXPECT_EQ(result_of(topologies_.refresh("local")), "topology 'local' is paused");
}

TEST_F(RunningTopologies, TwoChangesAtOnceDoNotMix) {
  add("t");
  std::vector<std::string> results;
  const auto note = [&](const std::exception_ptr&, const Result<void>& result) {
    results.push_back(result ? "ok" : result.error().text());
  };
  asio::co_spawn(io_, topologies_.refresh("t"), note);
  asio::co_spawn(io_, topologies_.refresh("t"), note);
  asio::co_spawn(io_, topologies_.remove("t"), note);
  ASSERT_TRUE(eventually([&] { return results.size() == 3; }));
  EXPECT_THAT(results,
              ::testing::UnorderedElementsAre("ok", "topology 't' is being changed at this moment",
                                              "topology 't' is being changed at this moment"));
}

TEST_F(RunningTopologies, StopWaitsForAChangeUnderWay) {
  add("t");
  std::string result;
  asio::co_spawn(io_, topologies_.refresh("t"),
                 [&](const std::exception_ptr&, const Result<void>& ended) {
                   result = ended ? "ok" : ended.error().text();
                 });
  finish(topologies_.stop());
  EXPECT_TRUE(eventually([&] { return !result.empty(); }));
}

TEST_F(RunningTopologies, OneWaitsForPeers) {
  cloud_.says({"b@h", "c@h"});
  add("t");
  EXPECT_EQ(result_of(topologies_.wait_for({.peers = 2}, 20s)), "ok");
  EXPECT_EQ(result_of(topologies_.wait_for({.names = {name("c@h")}}, 20s)), "ok");
}

TEST_F(RunningTopologies, WaitingEndsAtItsDeadlineAndSaysWhoIsMissingAndWhy) {
  cloud_.says({"b@h"});
  plumbing_.outcome = {DialProblem::refused, "127.0.0.1:1"};
  add("t");
  ASSERT_TRUE(passes());
  const Topologies::WaitFor whom{.names = {name("b@h"), name("c@h")}};
  EXPECT_EQ(result_of(topologies_.wait_for(whom, 300ms)),
            "after 300ms: 0 of 2 peers are linked; b@h is not; c@h is not; b@h: refused "
            "(127.0.0.1:1)");
  cloud_.answer = bad_input("the cloud is down");
  ASSERT_TRUE(passes());
  EXPECT_THAT(
      result_of(topologies_.wait_for({.peers = 3}, 10ms)),
      AllOf(HasSubstr("0 of 3 peers are linked"), HasSubstr("topology t: the cloud is down")));
}

TEST_F(RunningTopologies, WaitingEndsWithStop) {
  std::string result;
  asio::co_spawn(io_, topologies_.wait_for({.peers = 1}, 1h),
                 [&](const std::exception_ptr&, const Result<void>& ended) {
                   result = ended ? "ok" : ended.error().text();
                 });
  io_.run_for(50ms);
  finish(topologies_.stop());
  EXPECT_TRUE(eventually([&] { return !result.empty(); }));
  EXPECT_EQ(result, "topologies are stopping");
}

TEST_F(RunningTopologies, WaitingCanBeCancelled) {
  using namespace asio::experimental::awaitable_operators;
  bool ended = false;
  const auto soon = [](asio::any_io_executor executor) -> asio::awaitable<void> {
    asio::steady_timer timer(executor, 50ms);
    co_await timer.async_wait(asio::use_awaitable);
  };
  const auto race = [&]() -> asio::awaitable<void> {
    const Topologies::WaitFor whom{.peers = 1};
    (void)co_await (topologies_.wait_for(whom, 1h) || soon(io_.get_executor()));
    ended = true;
  };
  asio::co_spawn(io_, race(), [](const std::exception_ptr&) {});
  EXPECT_TRUE(eventually([&] { return ended; }));
}

TEST_F(RunningTopologies, APeerThatLeftIsLeftAloneWithoutAWord) {
  cloud_.says({"b@h"});
  add("t");
  ASSERT_TRUE(eventually([&] { return !log_.empty(); }));
  log_.clear();
  const auto dials = plumbing_.dials.size();
  topologies_.left(name("b@h"));
  plumbing_.linked.clear();
  topologies_.links_changed();
  ASSERT_TRUE(passes(5));
  EXPECT_EQ(plumbing_.dials.size(), dials);
  EXPECT_THAT(log_, IsEmpty());
  EXPECT_EQ(topologies_.status().at(0).peers.at(0).state, PeerStatus::State::left);

  plumbing_.linked.insert(name("b@h"));  // It came back by itself, and is lost later.
  topologies_.links_changed();
  ASSERT_TRUE(passes());
  plumbing_.linked.clear();
  topologies_.links_changed();
  EXPECT_TRUE(eventually([&] { return plumbing_.dials.size() > dials; }));
}

}  // namespace
}  // namespace muster::discovery
