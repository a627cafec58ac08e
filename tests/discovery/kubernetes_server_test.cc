// SPDX-License-Identifier: MIT
// `kubernetes` from end to end: topologies with plumbing that is a set of names, and an API server
// on 127.0.0.1 behind real TLS.
#include <gmock/gmock.h>
#include <openssl/ssl.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <fstream>
#include <mutex>

#include "discovery/https_server.h"
#include "discovery/kubernetes_world.h"
#include "http/tls_trust.h"
#include "muster/discovery/topologies.h"

namespace muster::discovery {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using namespace std::chrono_literals;
using muster::test::Authority, muster::test::HttpsServer;
using test::NamePlumbing, test::recorded, test::recorded_lines;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::SizeIs;

/// Answers lists with a body, and watches with streams that the test writes into.
class ApiServer {
 public:
  explicit ApiServer(const Authority& authority)
      : server_([this](const HttpsServer::Request& request) { return answer(request); },
                {.tls = authority.issue()}) {}

  void lists(int status, std::string body) {
    const std::lock_guard lock(mutex_);
    status_ = status;
    body_ = std::move(body);
  }
  void refuses_watches(int status) {
    const std::lock_guard lock(mutex_);
    watch_status_ = status;
  }
  HttpsServer& http() { return server_; }

 private:
  HttpsServer::Reply answer(const HttpsServer::Request& request) {
    const std::lock_guard lock(mutex_);
    if (request.target.find("watch=1") == std::string::npos)
      return {.status = status_, .body = body_};
    if (watch_status_ != 200) return {.status = watch_status_, .body = recorded("expired.json")};
    return {.chunks = {"\n"}, .stays_open = true};
  }

  std::mutex mutex_;
  int status_ = 200;
  int watch_status_ = 200;
  std::string body_ = recorded("endpoints.json");
  HttpsServer server_;
};

class KubernetesServerTest : public ::testing::Test {
 protected:
  KubernetesServerTest() {
    directory = fs::path(::testing::TempDir()) /
                ("kubernetes_" + std::to_string(::getpid()) + "_" +
                 ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::create_directories(directory);
    write("token", "first-token\n");
    write("ca.crt", authority.pem());
    write("namespace", "web");
  }
  ~KubernetesServerTest() override {
    if (topologies) {
      bool stopped = false;
      asio::co_spawn(io, topologies->stop(), [&](const std::exception_ptr&) { stopped = true; });
      EXPECT_TRUE(eventually([&] { return stopped; }));
      io.restart();
      io.run_for(20s);
      EXPECT_TRUE(io.stopped()) << "something still waits";
    }
    fs::remove_all(directory);
  }

  void write(const std::string& name, const std::string& content) const {
    std::ofstream(directory / name) << content;
  }
  void start(const std::string& url) {
    options.set("kubernetes_master", url);
    options.set("kubernetes_service_account_path", directory.string());
    topologies = std::make_unique<Topologies>(
        io.get_executor(), plumbing,
        Topologies::Options{
            .context = {.self = NodeName::parse("web@10.48.99.99").value()},
            .log =
                Log([this](Level, std::string_view line) { log.emplace_back(line); }, Level::info),
            .on_pass = [this](const std::string&, const Pass& pass) { passes.push_back(pass); }});
    const auto plan = plan_topology("k", "kubernetes", options, StrategyRegistry());
    ASSERT_TRUE(plan) << plan.error().text();
    ASSERT_TRUE(topologies->add(*plan));
  }
  template <class Condition>
  bool eventually(Condition what) {
    io.restart();
    const auto end = std::chrono::steady_clock::now() + 20s;
    while (!what() && std::chrono::steady_clock::now() < end) io.run_one_for(20ms);
    return what();
  }
  bool links(const std::set<std::string>& addresses) {
    return eventually([&] {
      std::set<std::string> linked;
      for (const NodeName& name : plumbing.linked) linked.emplace(name.host());
      return linked == addresses;
    });
  }
  bool is_watching(ApiServer& api) {
    return eventually([&] { return api.http().open_streams() == 1; });
  }

  const Authority authority;
  asio::io_context io{1};
  fs::path directory;
  NamePlumbing plumbing;
  std::vector<std::string> log;
  std::vector<Pass> passes;
  Settings options = Settings::map({{"kubernetes_node_basename", "web"},
                                    {"kubernetes_selector", "app=test_selector"},
                                    {"polling_interval", 50ms}});
  std::unique_ptr<Topologies> topologies;
  const std::vector<std::string> events = recorded_lines("watch_endpoints.jsonl");
};

TEST_F(KubernetesServerTest, ListsAndThenFollowsEveryEvent) {
  ApiServer api(authority);
  start(api.http().url());
  ASSERT_TRUE(links({"10.48.33.136", "10.48.34.21"}));
  ASSERT_TRUE(is_watching(api));
  EXPECT_EQ(plumbing.dials.at(0).address, "10.48.33.136");
  api.http().push(events[0] + "\n" + events[1].substr(0, 100));
  ASSERT_TRUE(links({"10.48.33.136", "10.48.34.21", "10.48.35.7"}));
  api.http().push(events[1].substr(100) + "\n");
  ASSERT_TRUE(links({"10.48.33.136", "10.48.34.21", "10.48.35.7", "10.48.36.3"}));
  api.http().push(events[2] + "\n" + events[3] + "\n");
  ASSERT_TRUE(links({"10.48.33.136", "10.48.34.21", "10.48.35.7"})) << "it was disconnected";
  const auto targets = api.http().targets();
  ASSERT_THAT(targets, SizeIs(2));
  EXPECT_EQ(targets[0],
            "GET /api/v1/namespaces/web/endpoints?labelSelector=app%3Dtest_selector&limit=500");
  EXPECT_THAT(targets[1],
              MatchesRegex("GET /api/v1/namespaces/web/endpoints\\?labelSelector=app%3Dtest_"
                           "selector&watch=1&allowWatchBookmarks=true&resourceVersion=184467&"
                           "timeoutSeconds=[23][0-9][0-9]"));
  EXPECT_EQ(api.http().requests()[1].headers.at("authorization"), "Bearer first-token");
}

TEST_F(KubernetesServerTest, GoesOnFromABookmarkWithARenewedToken) {
  ApiServer api(authority);
  start(api.http().url());
  ASSERT_TRUE(is_watching(api));
  api.http().push(events[2] + "\n");
  ASSERT_TRUE(eventually([&] { return topologies->status()[0].counters.at("bookmarks") == 1; }));
  write("token", "second-token\n");
  api.http().break_streams();
  ASSERT_TRUE(eventually([&] { return api.http().requests().size() == 3; }));
  const auto watch = api.http().requests().back();
  EXPECT_THAT(watch.target, HasSubstr("&watch=1&"));
  EXPECT_THAT(watch.target, HasSubstr("&resourceVersion=184480&"));
  EXPECT_EQ(watch.headers.at("authorization"), "Bearer second-token");
  EXPECT_TRUE(links({"10.48.33.136", "10.48.34.21"}));
}

TEST_F(KubernetesServerTest, GoneAsAnEventIsListedAnew) {
  ApiServer api(authority);
  start(api.http().url());
  ASSERT_TRUE(is_watching(api));
  api.lists(200, recorded("endpoints_page_2.json"));
  api.http().push(events[5] + "\n");
  ASSERT_TRUE(links({"10.48.34.21"}));
  EXPECT_TRUE(is_watching(api)) << "the old stream was closed";
}

TEST_F(KubernetesServerTest, GoneAsAStatusIsListedAnew) {
  ApiServer api(authority);
  api.refuses_watches(410);
  start(api.http().url());
  ASSERT_TRUE(eventually([&] { return topologies->status()[0].counters.at("gone") >= 2; }));
  api.refuses_watches(200);
  EXPECT_TRUE(is_watching(api));
  EXPECT_TRUE(links({"10.48.33.136", "10.48.34.21"}));
  EXPECT_THAT(log, ElementsAre("[muster:k] connected to web@10.48.33.136",
                               "[muster:k] connected to web@10.48.34.21"));
}

TEST_F(KubernetesServerTest, ForbiddenKeepsThePeersAndIsSaidOnce) {
  options.set("watch", false);
  ApiServer api(authority);
  start(api.http().url());
  ASSERT_TRUE(eventually([&] { return log.size() == 2; }));
  log.clear();
  api.lists(403, recorded("forbidden.json"));
  ASSERT_TRUE(eventually([&] { return topologies->status()[0].counters.at("failures") >= 2; }));
  EXPECT_TRUE(links({"10.48.33.136", "10.48.34.21"}));
  EXPECT_THAT(log, ElementsAre(HasSubstr("bound to the service account web:default")));
  api.lists(200, recorded("endpoints_page_2.json"));
  EXPECT_TRUE(links({"10.48.34.21"}));
}

TEST_F(KubernetesServerTest, AServerOfAnotherAuthorityIsToldNothing) {
  write("ca.crt", Authority("another").pem());
  ApiServer api(authority);
  start(api.http().url());
  ASSERT_TRUE(eventually([&] { return passes.size() >= 2; }));
  EXPECT_THAT(passes[0].reason, HasSubstr("authority"));
  EXPECT_THAT(api.http().requests(), IsEmpty());
  write("ca.crt", authority.pem());
  EXPECT_TRUE(links({"10.48.33.136", "10.48.34.21"})) << "a renewed authority is taken up";
}

TEST_F(KubernetesServerTest, WithoutAuthorityNothingIsAsked) {
  fs::remove(directory / "ca.crt");
  ApiServer api(authority);
  start(api.http().url());
  ASSERT_TRUE(eventually([&] { return passes.size() >= 2; }));
  EXPECT_THAT(passes[0].reason, HasSubstr("ca.crt"));
  EXPECT_THAT(api.http().requests(), IsEmpty());
}

TEST_F(KubernetesServerTest, AServerThatGoesAwayKeepsThePeers) {
  options.set("watch", false);
  auto api = std::make_unique<ApiServer>(authority);
  start(api->http().url());
  ASSERT_TRUE(links({"10.48.33.136", "10.48.34.21"}));
  api.reset();
  ASSERT_TRUE(eventually([&] { return topologies->status()[0].counters.at("failures") >= 2; }));
  EXPECT_EQ(topologies->status()[0].last_pass, Pass::Kind::unknown);
  EXPECT_TRUE(links({"10.48.33.136", "10.48.34.21"}));
}

TEST_F(KubernetesServerTest, AnAnswerThatDropsMoreThanHalfNeedsASecondOne) {
  ApiServer api(authority);
  start(api.http().url());
  ASSERT_TRUE(is_watching(api));
  api.http().push(events[0] + "\n");
  ASSERT_TRUE(links({"10.48.33.136", "10.48.34.21", "10.48.35.7"}));
  api.lists(200, recorded("endpoints_page_2.json"));
  const std::size_t lists = topologies->status()[0].counters.at("lists");
  api.http().push(events[5] + "\n");
  ASSERT_TRUE(links({"10.48.34.21"}));
  EXPECT_EQ(topologies->status()[0].counters.at("lists"), lists + 2);
}

TEST(TlsTrust, ExpectsACompleteNameWithoutItsFinalDot) {
  const std::unique_ptr<SSL_CTX, decltype(&::SSL_CTX_free)> context(
      ::SSL_CTX_new(::TLS_client_method()), ::SSL_CTX_free);
  const std::unique_ptr<SSL, decltype(&::SSL_free)> connection(::SSL_new(context.get()),
                                                               ::SSL_free);
  ASSERT_TRUE(TlsTrust::expect(connection.get(), "cluster.localhost.", false));
  EXPECT_STREQ(::SSL_get_servername(connection.get(), TLSEXT_NAMETYPE_host_name),
               "cluster.localhost");
  EXPECT_STREQ(::X509_VERIFY_PARAM_get0_host(::SSL_get0_param(connection.get()), 0),
               "cluster.localhost");
}

}  // namespace
}  // namespace muster::discovery
