// SPDX-License-Identifier: MIT
// `rancher` under a clock made by hand, with answers in the form of Rancher 1.x's metadata service.
#include <gmock/gmock.h>

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "discovery/https_server.h"
#include "muster/discovery/test_kit.h"
#include "muster/discovery/topologies.h"
#include "rancher_json.h"

namespace muster::discovery {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using test::StrategyWorld;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::string question = "GET http://rancher-metadata/latest/self/service";

HttpReply ok(std::string body) { return {.status = 200, .reason = "OK", .body = std::move(body)}; }

const char* const three_containers = R"({
  "name": "web", "stack_name": "shop", "scale": 3, "labels": {"io.rancher.scheduler": "x"},
  "containers": [
    {"name": "shop_web_1", "ips": ["10.42.0.1", "172.17.0.2"], "health_state": "healthy"},
    {"name": "shop_web_2", "ips": ["10.42.0.2"]},
    {"name": "shop_web_3", "ips": ["10.0.0.9"]}
  ]})";

StrategyWorld world_of(std::vector<std::pair<std::string, Settings>> more = {}) {
  more.emplace_back("node_basename", "self");
  return StrategyWorld("rancher", Settings::map(more));
}

TEST(Rancher, ANodeIsItsBasenameAtTheFirstAddressOfEachContainerButItsOwn) {
  auto world = world_of();
  world.http(question, ok(three_containers));
  world.run(0s);
  ASSERT_EQ(world.passes().size(), 1u);
  EXPECT_THAT(world.names(), ElementsAre("self@10.42.0.1", "self@10.42.0.2"));
  EXPECT_TRUE(world.last().disconnects);
}

TEST(Rancher, AsksAgainEveryFiveSecondsOrAsOftenAsItIsTold) {
  auto world = world_of();
  world.http(question, ok(three_containers));
  world.run(5s - 1ms);
  EXPECT_THAT(world.questions(), ElementsAre(question));
  world.run(1ms);
  EXPECT_THAT(world.questions(), ElementsAre(question, question));
  auto quick = world_of({{"polling_interval", 100ms}});
  quick.http(question, ok(three_containers));
  quick.run(1s);
  EXPECT_EQ(quick.questions().size(), 11u);
}

TEST(Rancher, AServiceWithoutContainersIsKnownToBeEmpty) {
  for (const char* body : {"{}", R"({"containers": []})", R"({"containers": null})"}) {
    auto world = world_of();
    world.http(question, ok(body));
    world.run(0s);
    EXPECT_EQ(world.last().kind, Pass::Kind::known_empty) << body;
  }
}

TEST(Rancher, AContainerWithoutAnAddressIsSkippedAndTheOthersStay) {
  const auto read = read_rancher_service(
      R"({"containers": [{"name": "starting"}, {"ips": []}, {"ips": [null]},
                         {"ips": ["10.0.0.300"]}, 7,
                         {"ips": ["10.42.0.7"]}, {"ips": ["fd00::7"]}]})");
  ASSERT_TRUE(read);
  EXPECT_THAT(read->addresses, ElementsAre("10.42.0.7", "fd00::7"));
  EXPECT_EQ(read->skipped, 5u);
}

TEST(Rancher, ContainersNoneOfWhichHasAnAddressYetAreNotAnEmptyService) {
  auto world = world_of();
  world.http(question, ok(R"({"containers": [{"name": "starting"}]})"));
  world.run(0s);
  EXPECT_EQ(world.last().kind, Pass::Kind::unknown);
}

TEST(Rancher, AFailureOrAStrangeAnswerIsUnknown) {
  auto world = world_of();
  world.http(question, ok(three_containers));
  world.run(0s);
  const std::vector<std::pair<HttpReply, std::string>> bad{
      {{.status = 404, .reason = "Not Found"}, "self/service answers 404 Not Found"},
      {{.status = 500, .reason = "Oh"}, "self/service answers 500 Oh"},
      {ok("<html>"), "the answer is not JSON"},
      {ok("[1]"), "the answer describes no service"},
      {ok(R"({"containers": 7})"), "the answer's containers are no list"},
      {ok(std::string(100, '[')), "the answer is not JSON"}};
  for (const auto& [reply, why] : bad) {
    world.http(question, reply);
    world.run(5s);
    EXPECT_EQ(world.last().kind, Pass::Kind::unknown);
    EXPECT_THAT(world.last().reason, HasSubstr(why));
  }
  world.http(question, bad_input("http://rancher-metadata: no whole answer within 5s"));
  world.run(5s);
  EXPECT_EQ(world.last().reason,
            "Rancher's metadata service: http://rancher-metadata: no whole answer within 5s");
  world.http(question, ok(three_containers));
  world.run(5s);
  EXPECT_EQ(world.names().size(), 2u);
}

TEST(Rancher, AsksForJsonWithADeadlineAtTheUrlThatItIsTold) {
  test::RecordingSink sink;
  const auto plan = plan_topology("t", "rancher",
                                  Settings::map({{"node_basename", "web"},
                                                 {"metadata_url", "http://10.0.0.1/2015-12-19/"},
                                                 {"deadline", 2s}}),
                                  StrategyRegistry());
  ASSERT_TRUE(plan) << plan.error().text();
  const auto machine = plan->make(sink, test::context_of("web@10.0.0.9"));
  machine->start(test::VirtualClock().now());
  const auto& request = std::get<HttpRequest>(sink.asked.at(0).question);
  EXPECT_EQ(request.method, "GET");
  EXPECT_EQ(request.url, "http://10.0.0.1/2015-12-19/self/service");
  EXPECT_EQ(request.within, Duration(2s));
  EXPECT_THAT(request.headers, ElementsAre(std::pair("Accept", "application/json")));
  EXPECT_EQ(machine->next_wake(), never);
}

TEST(Rancher, KeepsItsPeersWhileARealServerFailsOrDoesNotAnswer) {
  enum class Mood { answers, fails, is_silent };
  std::atomic<Mood> mood = Mood::answers;
  muster::test::HttpsServer server([&](const muster::test::HttpsServer::Request&) {
    muster::test::HttpsServer::Reply reply{.body = three_containers};
    if (mood == Mood::fails) reply.status = 500;
    if (mood == Mood::is_silent) reply.delay = 1h;
    return reply;
  });
  asio::io_context io{1};
  test::NamePlumbing plumbing;
  std::vector<Pass> passes;
  Topologies topologies(
      io.get_executor(), plumbing,
      {.context = test::context_of("self@10.0.0.9"),
       .on_pass = [&](const auto&, const Pass& pass) { passes.push_back(pass); }});
  const auto plan = plan_topology("t", "rancher",
                                  Settings::map({{"node_basename", "self"},
                                                 {"metadata_url", server.url() + "/latest"},
                                                 {"polling_interval", 10ms},
                                                 {"deadline", 500ms}}),
                                  StrategyRegistry());
  ASSERT_TRUE(topologies.add(*plan));
  const auto eventually = [&](auto what) {
    io.restart();
    const auto end = std::chrono::steady_clock::now() + 20s;
    while (!what() && std::chrono::steady_clock::now() < end) io.run_one_for(20ms);
    return what();
  };
  ASSERT_TRUE(eventually([&] { return plumbing.linked.size() == 2; }));
  EXPECT_EQ(server.targets().front(), "GET /latest/self/service");
  EXPECT_EQ(server.requests().front().headers.at("accept"), "application/json");
  for (const Mood bad : {Mood::fails, Mood::is_silent, Mood::answers}) {
    mood = bad;
    const auto wanted = bad == Mood::answers ? Pass::Kind::list : Pass::Kind::unknown;
    const std::string why = bad == Mood::fails ? "500" : bad == Mood::is_silent ? "within" : "";
    ASSERT_TRUE(eventually([&] {
      return passes.back().kind == wanted && passes.back().reason.find(why) != std::string::npos;
    })) << passes.back().reason;
    EXPECT_EQ(plumbing.linked.size(), 2u);
  }
  bool is_over = false;
  asio::co_spawn(io, topologies.stop(), [&](const std::exception_ptr&) { is_over = true; });
  ASSERT_TRUE(eventually([&] { return is_over; }));
}

TEST(Rancher, OptionsThatMakeNoSenseAreErrors) {
  const auto wrong = [](const std::vector<std::pair<std::string, Settings>>& options) {
    const auto plan = plan_topology("t", "rancher", Settings::map(options), StrategyRegistry());
    return plan ? "" : plan.error().text();
  };
  EXPECT_THAT(wrong({}), HasSubstr("needs 'node_basename'"));
  EXPECT_THAT(wrong({{"node_basename", "a b"}}), HasSubstr("node_basename must be what stands"));
  EXPECT_THAT(wrong({{"node_basename", ""}}), HasSubstr("node_basename must be what stands"));
  EXPECT_THAT(wrong({{"node_basename", "a"}, {"metadata_url", "rancher"}}),
              HasSubstr("metadata_url cannot be used: 'rancher' is no URL"));
  EXPECT_THAT(wrong({{"node_basename", "a"}, {"poll_interval", 5}}),
              HasSubstr("did you mean 'polling_interval'?"));
}

}  // namespace
}  // namespace muster::discovery
