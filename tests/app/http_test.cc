// SPDX-License-Identifier: MIT
// The HTTP port of a real node: what it answers, and whom it refuses.
#include <gmock/gmock.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <boost/json.hpp>
#include <fstream>

#include "access.h"
#include "test_node.h"

namespace muster::app {
namespace {

namespace asio = boost::asio;
namespace json = boost::json;
using asio::ip::tcp;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

/// Sends these very bytes; returns all that comes back until the end.
std::string talk(std::uint16_t port, const std::string& bytes) {
  asio::io_context loop;
  tcp::socket socket(loop);
  socket.connect({asio::ip::address_v4::loopback(), port});
  boost::system::error_code error;
  asio::write(socket, asio::buffer(bytes), error);
  std::string answer;
  asio::read(socket, asio::dynamic_buffer(answer), error);
  return answer;
}

std::string ask(std::uint16_t port, const std::string& method, const std::string& target,
                const std::string& body = {}, const std::string& headers = {}) {
  return talk(port, method + " " + target + " HTTP/1.1\r\nHost: 127.0.0.1\r\n" + headers +
                        "Connection: close\r\nContent-Length: " + std::to_string(body.size()) +
                        "\r\n\r\n" + body);
}

json::value json_of(const std::string& answer) {
  return json::parse(answer.substr(answer.find("\r\n\r\n") + 4));
}

class Http : public ::testing::Test {
 protected:
  std::string get(const std::string& target) { return ask(node_.http_port(), "GET", target); }
  TestNode node_;
};

TEST_F(Http, SaysThatItIsAliveAndReady) {
  EXPECT_THAT(get("/healthz"), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(get("/readyz"), StartsWith("HTTP/1.1 200 "));
}

TEST_F(Http, ShowsNodesTablesAndTopologies) {
  const auto nodes = json_of(get("/v1/nodes"));
  EXPECT_EQ(nodes.at("self").as_string(), "t@127.0.0.1");
  ASSERT_EQ(nodes.at("nodes").as_array().size(), 1u);
  EXPECT_TRUE(nodes.at("nodes").at(0).at("oldest").as_bool());
  const auto tables = json_of(get("/v1/tables"));
  ASSERT_EQ(tables.at("tables").as_array().size(), 2u);
  EXPECT_EQ(tables.at("tables").at(0).at("name").as_string(), "session");
  EXPECT_EQ(tables.at("tables").at(0).at("storage").as_string(), "ram_copies");
  EXPECT_TRUE(json_of(get("/v1/topologies")).at("topologies").is_array());
  EXPECT_TRUE(json_of(get("/v1/unsplit")).at("running").as_bool());
  EXPECT_TRUE(json_of(get("/v1/status")).at("ready").as_bool());
}

TEST_F(Http, PutsGetsListsAndDeletesKeys) {
  const auto port = node_.http_port();
  EXPECT_THAT(ask(port, "PUT", "/v1/tables/session/keys/user/4%2F2?ttl=1h", "ada"),
              StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(get("/v1/tables/session/keys/user/4%2F2"), testing::EndsWith("\r\n\r\nada"));
  const std::string hashed = get("/v1/tables/session/keys?pattern=user/_");
  EXPECT_THAT(hashed, AllOf(HasSubstr("\"#"), Not(HasSubstr("4/2"))));
  const auto shown = json_of(get("/v1/tables/session/keys?pattern=user/_&show_keys=true"));
  EXPECT_EQ(json::serialize(shown.at("keys").at(0).at("key")), R"(["user","4/2"])");
  EXPECT_THAT(ask(port, "DELETE", "/v1/tables/session/keys/user/4%2F2"),
              HasSubstr("\"deleted\":1"));
  EXPECT_THAT(get("/v1/tables/session/keys/user/4%2F2"), StartsWith("HTTP/1.1 404 "));
}

TEST_F(Http, NamesTheNearestTable) {
  EXPECT_THAT(get("/v1/tables/sesion/keys"),
              AllOf(StartsWith("HTTP/1.1 404 "), HasSubstr("did you mean 'session'?")));
}

TEST_F(Http, ServesMetricsAndThePageWithoutValues) {
  ask(node_.http_port(), "PUT", "/v1/tables/session/keys/canary-key", "canary-value");
  const std::string metrics = get("/metrics");
  EXPECT_THAT(metrics, HasSubstr("muster_table_entries{table=\"session\"} 1"));
  for (const std::string target :
       {"/metrics", "/", "/page.js", "/page.css", "/v1/tables", "/v1/status", "/v1/nodes"}) {
    const std::string answer = get(target);
    EXPECT_THAT(answer, AllOf(StartsWith("HTTP/1.1 200 "), Not(HasSubstr("canary")))) << target;
  }
  EXPECT_THAT(get("/"), HasSubstr("Content-Security-Policy: default-src 'self'"));
}

TEST_F(Http, AnswersHeadWithoutABody) {
  const std::string answer = ask(node_.http_port(), "HEAD", "/v1/nodes");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(answer, testing::EndsWith("\r\n\r\n"));
}

TEST_F(Http, RefusesNamesOfOtherMachinesInHostAndPagesOfOtherSites) {
  const auto port = node_.http_port();
  EXPECT_THAT(talk(port, "GET /v1/nodes HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
              StartsWith("HTTP/1.1 403 "));
  EXPECT_THAT(talk(port, "GET /v1/nodes HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 403 "));
  EXPECT_THAT(ask(port, "POST", "/v1/fault", "", "Origin: http://evil.example\r\n"),
              StartsWith("HTTP/1.1 403 "));
  EXPECT_THAT(talk(port, "GET /healthz HTTP/1.1\r\nHost: [::1]:4000\r\nConnection: close\r\n\r\n"),
              StartsWith("HTTP/1.1 200 "));
}

TEST_F(Http, RefusesWhatSmugglesRequests) {
  const std::string head = "POST /v1/connect HTTP/1.1\r\nHost: 127.0.0.1\r\n";
  const auto port = node_.http_port();
  EXPECT_THAT(talk(port, head + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
              StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(talk(port, head + "Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde"),
              StartsWith("HTTP/1.1 400 "));
}

TEST_F(Http, RefusesChunkedBodies) {
  const std::string head =
      "POST /v1/connect HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const std::string body : {"", "0\r\n", "0\r\n\r", "5\r\nhello\r\n0\r\n\r\n"})
    EXPECT_THAT(talk(node_.http_port(), head + body), StartsWith("HTTP/1.1 411 "));
  EXPECT_THAT(get("/healthz"), StartsWith("HTTP/1.1 200 "));
}

TEST_F(Http, CutsOffWhatIsTooLargeOrNoHttp) {
  const auto port = node_.http_port();
  EXPECT_THAT(talk(port, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + std::string(17 * 1024, 'x') +
                             "\r\n\r\n"),
              StartsWith("HTTP/1.1 431 "));
  EXPECT_THAT(talk(port,
                   "PUT /v1/tables/session/keys/a HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                   "Content-Length: 99999999\r\n\r\n"),
              StartsWith("HTTP/1.1 413 "));
  EXPECT_THAT(ask(port, "PUT", "/v1/tables/session/keys/a", std::string(512 * 1024 + 1, 'v')),
              StartsWith("HTTP/1.1 413 "));
  EXPECT_THAT(ask(port, "PUT", "/v1/tables/session/keys/a", std::string(512 * 1024, 'v')),
              StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(talk(port, "BREW / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"),
              StartsWith("HTTP/1.1 405 "));
  EXPECT_THAT(talk(port, std::string(1000, '\xfe') + "\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(get("/healthz"), StartsWith("HTTP/1.1 200 "));
}

TEST_F(Http, RefusesFaultsUnlessAllowedAndSaysWhichFlag) {
  EXPECT_THAT(ask(node_.http_port(), "POST", "/v1/fault",
                  R"({"action":"cut","a":"t@127.0.0.1","b":"u@127.0.0.1"})"),
              AllOf(StartsWith("HTTP/1.1 409 "), HasSubstr("--allow-fault-injection")));
}

TEST_F(Http, StreamsEvents) {
  asio::io_context loop;
  tcp::socket socket(loop);
  socket.connect({asio::ip::address_v4::loopback(), node_.http_port()});
  asio::write(socket,
              asio::buffer(std::string("GET /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")));
  std::string text;
  asio::read_until(socket, asio::dynamic_buffer(text), "\"kind\":\"ready\"");
  EXPECT_THAT(text, AllOf(StartsWith("HTTP/1.1 200 "), HasSubstr("text/event-stream"),
                          HasSubstr("id: 1\ndata: {")));
}

TEST(HttpPassword, IsNeededForKeysAndForWhatChangesSomething) {
  std::filesystem::path file;
  TestNode node([&file](Config& config) {
    file = config.cookie_file.parent_path() / "password";
    std::ofstream(file) << "sesame\n";
    std::filesystem::permissions(file, std::filesystem::perms::owner_read);
    config.password_file = file;
  });
  const auto port = node.http_port();
  const std::string right = "Authorization: Bearer sesame\r\n";
  const std::string wrong = "Authorization: Bearer sesam\r\n";
  EXPECT_THAT(ask(port, "GET", "/v1/nodes"), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(ask(port, "GET", "/v1/tables/session/keys/a"), StartsWith("HTTP/1.1 401 "));
  EXPECT_THAT(ask(port, "POST", "/v1/leave", "", wrong), StartsWith("HTTP/1.1 401 "));
  EXPECT_THAT(ask(port, "PUT", "/v1/tables/session/keys/a", "1", right),
              StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(ask(port, "GET", "/v1/tables/session/keys/a", "", right),
              testing::EndsWith("\r\n\r\n1"));
}

TEST(HttpPassword, IsNeededToListenOffLoopback) {
  const Access none;
  EXPECT_FALSE(none.may_listen("0.0.0.0"));
  EXPECT_THAT(none.may_listen("192.0.2.1").error().text(), HasSubstr("--password-file"));
  EXPECT_TRUE(none.may_listen("127.0.0.5"));
  EXPECT_TRUE(none.may_listen("::1"));
}

}  // namespace
}  // namespace muster::app
