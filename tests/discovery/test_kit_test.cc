// SPDX-License-Identifier: MIT
// The kit that strategies are tested with, on strategies of a user's own.
#include "muster/discovery/test_kit.h"

#include <gmock/gmock.h>

#include "muster/discovery/poller.h"

namespace muster::discovery {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

/// What a user writes: one function and one registration.
boost::asio::awaitable<Result<PeerSet>> ask_my_cloud(std::string query) {
  if (query == "down") co_return bad_input("the cloud is down");
  PeerSet peers;
  peers.insert(Peer{NodeName::parse(query + "@10.0.0.1").value()});
  co_return peers;
}

StrategyRegistry registry_with_my_cloud() {
  StrategyRegistry registry;
  add_poller(registry, "my_cloud", [](Fields& options) -> DiscoverFunction {
    options.require("query");
    const auto query = options.string("query");
    return [query] { return ask_my_cloud(query); };
  });
  return registry;
}

TEST(TestKit, RunsAUsersStrategyUnderVirtualTime) {
  test::StrategyWorld world("my_cloud", Settings::map({{"query", "web"}}),
                            registry_with_my_cloud());
  world.run(12s);
  EXPECT_THAT(world.names(), ElementsAre("web@10.0.0.1"));
  EXPECT_THAT(world.passes(), SizeIs(3));  // At 0, 5 and 10 s.
  EXPECT_EQ(world.clock().elapsed(), 12s);
}

TEST(TestKit, ShowsWhyAPassIsUnknown) {
  test::StrategyWorld world("my_cloud", Settings::map({{"query", "down"}}),
                            registry_with_my_cloud());
  world.run(1s);
  EXPECT_EQ(world.last().kind, Pass::Kind::unknown);
  EXPECT_EQ(world.last().reason, "the cloud is down");
}

TEST(TestKit, RefusesBadOptionsWithTheirProblem) {
  try {
    test::StrategyWorld world("my_cloud", Settings::map({{"querry", "web"}}),
                              registry_with_my_cloud());
    FAIL() << "it was taken";
  } catch (const std::runtime_error& error) {
    EXPECT_THAT(error.what(), HasSubstr("did you mean 'query'?"));
  }
}

TEST(TestKit, AnswersFromTheScriptAndFailsTheRest) {
  test::StrategyWorld world("file", Settings::map({{"path", "peers.yaml"}}));
  world.run(1s);
  EXPECT_EQ(world.last().reason, "the test says nothing about FILE ./peers.yaml");
  world.file("./peers.yaml", "[b@h]");
  world.run(1s);
  EXPECT_THAT(world.names(), ElementsAre("b@h"));
  EXPECT_EQ(world.questions().front(), "FILE ./peers.yaml");

  test::StrategyWorld program("exec", Settings::map({{"command", "peers"}}));
  program.program("peers", "a@h b@h");
  program.run(0s);
  EXPECT_THAT(program.names(), ElementsAre("a@h", "b@h"));
}

}  // namespace
}  // namespace muster::discovery
