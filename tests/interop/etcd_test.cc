// SPDX-License-Identifier: MIT
// `etcd` beside a real etcd: two programs find each other by it, and outlive its failures.
#include <gmock/gmock.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "etcd/etcd_json.h"
#include "http/http_client.h"
#include "interop/etcd_server.h"
#include "muster/discovery/topologies.h"

namespace muster::discovery {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using muster::test::Authority, muster::test::EtcdServer;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

NodeName name(const std::string& text) { return NodeName::parse(text).value(); }

class SetPlumbing : public Plumbing {
 public:
  void connect(const Peer& peer, Duration, Done done) override {
    dials.push_back(peer);
    linked.insert(peer.name);
    done({});
  }
  void disconnect(const NodeName& node, Done done) override {
    linked.erase(node);
    done({});
  }
  std::set<NodeName> list_nodes() override { return linked; }

  std::vector<Peer> dials;
  std::set<NodeName> linked;
};

/// One program that finds its peers by etcd.
struct Program {
  Program(asio::io_context& io, const std::string& self, std::uint16_t port,
          const std::filesystem::path& directory)
      : topologies(
            io.get_executor(), plumbing,
            {.context = {.self = name(self),
                         .boot_id = port,
                         .link_address = "127.0.0.1",
                         .link_port = port,
                         .directory = directory},
             .log =
                 Log([this](Level, std::string_view line) { log.emplace_back(line); }, Level::info),
             .on_pass = [this](const std::string&, const Pass& pass) { passes.push_back(pass); }}) {
  }
  void add(Settings config) {
    const auto plan = plan_topology("cloud", "etcd", std::move(config), StrategyRegistry());
    ASSERT_TRUE(plan) << plan.error().text();
    ASSERT_TRUE(topologies.add(*plan));
  }
  /// Of the last pass that was no failure.
  [[nodiscard]] std::vector<std::string> peers() const {
    std::vector<std::string> names;
    for (auto pass = passes.rbegin(); pass != passes.rend(); ++pass) {
      if (pass->kind == Pass::Kind::unknown) continue;
      for (const Peer& peer : pass->peers) names.push_back(peer.name.text());
      break;
    }
    return names;
  }
  [[nodiscard]] bool knows() const {
    return !passes.empty() && passes.back().kind != Pass::Kind::unknown;
  }
  [[nodiscard]] std::uint64_t counted(const std::string& what) const {
    return topologies.status()[0].counters.at(what);
  }

  SetPlumbing plumbing;
  std::vector<std::string> log;
  std::vector<Pass> passes;
  Topologies topologies;
};

class EtcdTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!EtcdServer::is_installed()) GTEST_SKIP() << EtcdServer::how_to_install;
  }
  template <class Condition>
  bool eventually(Condition what) {
    io.restart();
    const auto end = std::chrono::steady_clock::now() + 60s;
    while (!what() && std::chrono::steady_clock::now() < end) io.run_one_for(100ms);
    return what();
  }
  void stop(Program& program) { run(program.topologies.stop()); }
  void run(asio::awaitable<void> work) {
    bool is_over = false;
    asio::co_spawn(io, std::move(work), [&](const std::exception_ptr&) { is_over = true; });
    ASSERT_TRUE(eventually([&] { return is_over; }));
  }
  /// Asks etcd itself, again and again until it is up.
  std::string ask(const EtcdServer& server, const std::string& path, const std::string& body,
                  const std::string& token = "") {
    HttpClient client(io.get_executor());
    std::string answer;
    int status = 0;
    const auto end = std::chrono::steady_clock::now() + 60s;
    while (status == 0 && std::chrono::steady_clock::now() < end)
      run(client.perform(request_to(server, path, body, token), [&](const Answer& part) {
        const auto& reply = std::get<HttpAnswer>(part).reply;
        if (!reply || reply->status >= 500) return;
        status = reply->status;
        answer = reply->body;
      }));
    run(client.stop());
    EXPECT_EQ(status, 200) << path << ": " << answer;
    return answer;
  }
  static HttpRequest request_to(const EtcdServer& server, const std::string& path,
                                const std::string& body, const std::string& token) {
    HttpRequest request{.method = "POST",
                        .url = server.url() + path,
                        .body = body,
                        .within = 5s,
                        .trusted = read(server.directory() / "ca.pem"),
                        .certificate = read(server.directory() / "client.pem"),
                        .key = read(server.directory() / "client.key")};
    if (!token.empty()) request.headers.emplace_back("Authorization", token);
    return request;
  }
  static std::string read(const std::filesystem::path& file) {
    std::ifstream in(file);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  std::vector<std::string> keys(const EtcdServer& server) {
    std::vector<std::string> keys;
    const auto range = etcd::read_range(ask(server, "/v3/kv/range", etcd::range("/muster/", 100)));
    if (!range) return {range.error().text()};
    for (const auto& entry : range->all) keys.push_back(entry.key);
    return keys;
  }
  static Settings config_of(const EtcdServer& server, Duration lease = 10s) {
    return Settings::map({{"endpoints", Settings::list({server.url()})}, {"lease", lease}});
  }

  asio::io_context io{1};
};

TEST_F(EtcdTest, TwoProgramsFindEachOtherAndOneThatStopsIsGoneAtOnce) {
  EtcdServer server;
  Program a(io, "a@127.0.0.1", 7001, server.directory());
  Program b(io, "b@127.0.0.1", 7002, server.directory());
  a.add(config_of(server, 1h));
  b.add(config_of(server, 1h));
  ASSERT_TRUE(eventually([&] { return !a.plumbing.linked.empty() && !b.plumbing.linked.empty(); }));
  EXPECT_THAT(a.plumbing.dials, ElementsAre(Peer{name("b@127.0.0.1"), "127.0.0.1", 7002}));
  EXPECT_THAT(b.plumbing.dials, ElementsAre(Peer{name("a@127.0.0.1"), "127.0.0.1", 7001}));
  EXPECT_THAT(keys(server), ElementsAre("/muster/a@127.0.0.1", "/muster/b@127.0.0.1"));
  stop(b);
  EXPECT_THAT(keys(server), ElementsAre("/muster/a@127.0.0.1"));  // Its lease was an hour long.
  ASSERT_TRUE(eventually([&] { return a.peers().empty(); }));
  EXPECT_THAT(a.plumbing.linked, ElementsAre(name("b@127.0.0.1")));  // Links are not ours to cut.
  EXPECT_TRUE(a.knows());
  stop(a);
  EXPECT_THAT(keys(server), IsEmpty());
}

TEST_F(EtcdTest, OneThatIsKilledIsGoneWhenItsLeaseHasRunOut) {
  EtcdServer server;
  Program a(io, "a@127.0.0.1", 7001, server.directory());
  a.add(config_of(server));
  const std::string lease = ask(server, "/v3/lease/grant", etcd::grant(2));
  const auto granted = etcd::read_lease(lease);
  ASSERT_TRUE(granted) << lease;
  const Peer killed{name("b@127.0.0.1"), "127.0.0.1", 7002};
  ask(server, "/v3/kv/put",
      etcd::put("/muster/b@127.0.0.1", etcd::write_registration({killed, 1}), granted->id));
  ASSERT_TRUE(eventually([&] { return a.peers().size() == 1; }));
  EXPECT_TRUE(eventually([&] { return a.peers().empty() && a.knows(); }));
  stop(a);
}

TEST_F(EtcdTest, PeersStayWhileEtcdIsAwayAndOwnKeysComeBackWithIt) {
  EtcdServer server;
  Program a(io, "a@127.0.0.1", 7001, server.directory());
  Program b(io, "b@127.0.0.1", 7002, server.directory());
  a.add(config_of(server, 2s));
  b.add(config_of(server, 2s));
  ASSERT_TRUE(eventually([&] { return a.peers().size() == 1 && b.peers().size() == 1; }));
  server.kill();
  ASSERT_TRUE(eventually([&] { return !a.knows() && !b.knows(); }));
  EXPECT_THAT(a.plumbing.linked, ElementsAre(name("b@127.0.0.1")));
  EXPECT_THAT(a.passes.back().reason, HasSubstr(server.url() + ": Connection refused"));
  server.start();
  ASSERT_TRUE(eventually([&] { return a.knows() && b.knows() && a.peers().size() == 1; }));
  EXPECT_TRUE(eventually([&] { return keys(server).size() == 2; }));
  EXPECT_THAT(a.log, Contains(HasSubstr("does not know its peers")));
  stop(a);
  stop(b);
}

TEST_F(EtcdTest, AKeyThatSomebodyDeletesIsPutAgain) {
  EtcdServer server;
  Program a(io, "a@127.0.0.1", 7001, server.directory());
  a.add(config_of(server, 1h));
  ASSERT_TRUE(eventually([&] { return keys(server).size() == 1 && a.knows(); }));
  ask(server, "/v3/kv/deleterange",
      R"({"key":")" + etcd::encode_base64("/muster/a@127.0.0.1") + "\"}");
  EXPECT_TRUE(eventually([&] { return keys(server).size() == 1; }));
  stop(a);
  EXPECT_THAT(keys(server), IsEmpty());
}

TEST_F(EtcdTest, AnEndpointThatIsAwayIsPassedOver) {
  EtcdServer server;
  Program a(io, "a@127.0.0.1", 7001, server.directory());
  a.add(Settings::map({{"endpoints", Settings::list({"http://127.0.0.1:1", server.url()})}}));
  EXPECT_TRUE(eventually([&] { return a.knows() && keys(server).size() == 1; }));
  stop(a);
}

TEST_F(EtcdTest, ByTlsWithACertificateAndAUserWhoseTokenRunsOut) {
  const Authority authority;
  EtcdServer server(&authority);
  // With a CommonName etcd refuses it once users are asked for: it might be taken for one.
  const auto client = authority.issue({.name = "", .also = "DNS:client"});
  server.write("client.pem", client.pem);
  server.write("client.key", client.key);
  server.write("password", "a password\n");
  // A user root must be there before users are asked for.
  for (const std::string user : {"root", "muster"})
    ask(server, "/v3/auth/user/add", etcd::authenticate(user, "a password"));
  ask(server, "/v3/auth/user/grant", R"({"user":"root","role":"root"})");
  ask(server, "/v3/auth/role/add", R"({"name":"muster"})");
  ask(server, "/v3/auth/role/grant",
      R"({"name":"muster","perm":{"permType":"READWRITE","key":")" +
          etcd::encode_base64("/muster/") + R"(","range_end":")" + etcd::encode_base64("/muster0") +
          "\"}}");
  ask(server, "/v3/auth/user/grant", R"({"user":"muster","role":"muster"})");
  ask(server, "/v3/auth/enable", "{}");

  Settings config = config_of(server, 2s);
  config.set("tls", Settings::map({{"ca_file", "ca.pem"},
                                   {"certificate_file", "client.pem"},
                                   {"key_file", "client.key"}}));
  Program stranger(io, "c@127.0.0.1", 7003, server.directory());
  stranger.add(config);
  config.set("user", Settings::map({{"name", "muster"}, {"password_file", "password"}}));
  Program a(io, "a@127.0.0.1", 7001, server.directory());
  Program b(io, "b@127.0.0.1", 7002, server.directory());
  a.add(config);
  b.add(config);
  EXPECT_TRUE(eventually([&] { return a.peers().size() == 1 && b.peers().size() == 1; }))
      << ::testing::PrintToString(a.log);
  ASSERT_TRUE(eventually([&] { return !stranger.passes.empty(); }));
  EXPECT_EQ(stranger.passes.back().kind, Pass::Kind::unknown);
  EXPECT_THAT(stranger.passes.back().reason, HasSubstr(server.url() + " answers 40"));

  const std::size_t passes = a.passes.size();
  server.kill();  // It forgets its tokens, and the leases go on.
  server.start();
  // Whether it was missed depends on how soon it was back; it was read anew in any case.
  EXPECT_TRUE(eventually([&] { return a.passes.size() > passes && a.knows(); }));
  EXPECT_TRUE(eventually([&] { return a.peers().size() == 1 && b.peers().size() == 1; }));
  for (Program* program : {&a, &b, &stranger}) stop(*program);
}

}  // namespace
}  // namespace muster::discovery
