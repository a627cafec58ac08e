// SPDX-License-Identifier: MIT
// The HTTP client against a real server on 127.0.0.1, with certificates made for each test.
#include "http/http_client.h"

#include <gmock/gmock.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>

#include "discovery/https_server.h"

namespace muster::discovery {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using muster::test::Authority, muster::test::HttpsServer;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;
using Request = HttpsServer::Request;
using Reply = HttpsServer::Reply;

/// What came back for one request.
struct Got {
  TaskGroup::Id task = 0;
  std::optional<HttpAnswer> answer = {};
  std::vector<std::string> lines = {};
  std::optional<HttpEnded> ended = {};
  bool is_over = false;

  [[nodiscard]] int status() const { return answer && answer->reply ? answer->reply->status : 0; }
  [[nodiscard]] std::string body() const {
    return answer && answer->reply ? answer->reply->body : "";
  }
  [[nodiscard]] std::string error() const {
    if (answer && !answer->reply) return answer->reply.error().text();
    if (ended && !ended->result) return ended->result.error().text();
    return "";
  }
};

class HttpClientTest : public ::testing::Test {
 protected:
  ~HttpClientTest() override {
    bool stopped = false;
    asio::co_spawn(io, stop_all(), [&](const std::exception_ptr&) { stopped = true; });
    EXPECT_TRUE(eventually([&] { return stopped; }));
    io.restart();
    io.run_for(10s);
    EXPECT_TRUE(io.stopped()) << "something still waits";
  }

  template <class Condition>
  bool eventually(Condition what) {
    io.restart();
    const auto end = std::chrono::steady_clock::now() + 20s;
    while (!what() && std::chrono::steady_clock::now() < end) io.run_one_for(20ms);
    return what();
  }
  static HttpRequest get(const std::string& url) { return {.url = url, .within = 20s}; }
  [[nodiscard]] HttpRequest get_trusted(const std::string& url) const {
    return {.url = url, .within = 20s, .trusted = authority.pem()};
  }
  std::shared_ptr<Got> ask(HttpRequest request) {
    auto got = std::make_shared<Got>();
    got->task = tasks.spawn(perform(std::move(request), got));
    return got;
  }
  Got fetch(HttpRequest request) {
    const auto got = ask(std::move(request));
    EXPECT_TRUE(eventually([&] { return got->is_over; }));
    return *got;
  }
  [[nodiscard]] std::size_t connections(const HttpsServer& server) const {
    std::size_t most = 0;
    for (const Request& request : server.requests()) most = std::max(most, request.connection);
    return most;
  }

  asio::io_context io{1};
  Authority authority;
  HttpClient client{io.get_executor()};
  TaskGroup tasks{io.get_executor()};

 private:
  asio::awaitable<void> perform(HttpRequest request, std::shared_ptr<Got> got) {
    HttpClient::Take take = [got](const Answer& part) {
      if (const auto* answer = std::get_if<HttpAnswer>(&part)) got->answer = *answer;
      if (const auto* line = std::get_if<HttpLine>(&part)) got->lines.push_back(line->line);
      if (const auto* ended = std::get_if<HttpEnded>(&part)) got->ended = *ended;
    };
    co_await client.perform(std::move(request), std::move(take));
    got->is_over = true;
  }
  asio::awaitable<void> stop_all() {
    co_await tasks.stop();
    co_await client.stop();
  }
};

HttpsServer::Script says(Reply reply) {
  return [reply](const Request&) { return reply; };
}

TEST_F(HttpClientTest, SendsMethodTargetHeadersAndBodyAsTheyAre) {
  HttpsServer server(says({.status = 201, .body = "made"}));
  const Got got = fetch({.method = "POST",
                         .url = server.url() + "/v1/a%2Fb?x=1&y=%20z",
                         .headers = {{"Authorization", "Bearer abc"}, {"Accept", "a/b"}},
                         .body = "{\"a\":1}",
                         .within = 20s});
  EXPECT_EQ(got.status(), 201) << got.error();
  EXPECT_EQ(got.body(), "made");
  ASSERT_EQ(server.requests().size(), 1u);
  const Request request = server.requests()[0];
  EXPECT_EQ(request.method, "POST");
  EXPECT_EQ(request.target, "/v1/a%2Fb?x=1&y=%20z");
  EXPECT_EQ(request.headers.at("authorization"), "Bearer abc");
  EXPECT_EQ(request.headers.at("accept"), "a/b");
  EXPECT_EQ(request.headers.at("host"), "127.0.0.1:" + std::to_string(server.port()));
  EXPECT_EQ(request.body, "{\"a\":1}");
}

TEST_F(HttpClientTest, AStatusIsAnAnswerAndRetryAfterIsRead) {
  HttpsServer server(says({.status = 429, .headers = {{"Retry-After", "7"}}, .body = "slow down"}));
  const Got got = fetch(get(server.url() + "/"));
  EXPECT_EQ(got.status(), 429);
  EXPECT_EQ(got.body(), "slow down");
  EXPECT_EQ(got.answer->reply->retry_after, Duration(7s));
}

TEST_F(HttpClientTest, ReadsAChunkedAnswer) {
  HttpsServer server(says({.chunks = {"one ", "two ", "three"}}));
  EXPECT_EQ(fetch(get(server.url() + "/")).body(), "one two three");
}

TEST(HttpResponseReader, AnEmptyChunkedAnswerMayComeByteByByte) {
  const std::string text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
  HttpResponseReader reader({.most_bytes = 10}, [](const std::string&) {});
  for (const char byte : text) {
    EXPECT_FALSE(reader.is_done());
    ASSERT_TRUE(reader.feed({&byte, 1}));
  }
  EXPECT_TRUE(reader.is_done());
  EXPECT_TRUE(reader.keeps_alive());
}

TEST_F(HttpClientTest, ReadsAnAnswerThatEndsWithTheConnection) {
  HttpsServer server(says({.raw = "HTTP/1.0 200 OK\r\n\r\nall of it"}));
  EXPECT_EQ(fetch(get(server.url() + "/")).body(), "all of it");
}

TEST_F(HttpClientTest, LooksUpAHostsName) {
  HttpsServer server(says({.body = "here"}));
  EXPECT_EQ(fetch(get("http://localhost:" + std::to_string(server.port()) + "/")).body(), "here");
}

TEST_F(HttpClientTest, AHostThatIsNotThereIsNamed) {
  const Got got = fetch(get("http://no-such-host.invalid/"));
  EXPECT_THAT(got.error(), StartsWith("http://no-such-host.invalid: "));
}

TEST_F(HttpClientTest, ARefusedConnectionIsNamedWithItsOriginOnly) {
  std::uint16_t port = 0;
  {
    asio::ip::tcp::acceptor closed(io, {asio::ip::make_address("127.0.0.1"), 0});
    port = closed.local_endpoint().port();
  }
  const Got got = fetch(get("https://127.0.0.1:" + std::to_string(port) + "/api?token=secret"));
  EXPECT_EQ(got.error(), "https://127.0.0.1:" + std::to_string(port) + ": Connection refused");
}

TEST_F(HttpClientTest, AUrlThatIsNoneSaysWhatIsWrongWithoutItsSecrets) {
  EXPECT_EQ(fetch(get("127.0.0.1:80/x")).error(),
            "'127.0.0.1:80/x' is no URL like https://host:port/path");
  EXPECT_EQ(fetch(get("ftp://a/x")).error(), "'ftp://a/x' must begin with http:// or https://");
  EXPECT_THAT(fetch(get("https://me:secret@a/")).error(), Not(HasSubstr("secret")));
  EXPECT_THAT(fetch(get("https://a b/?secret")).error(), Not(HasSubstr("secret")));
}

TEST_F(HttpClientTest, AHeaderCannotSmuggleALine) {
  HttpRequest request = get("http://127.0.0.1:1/");
  request.headers = {{"Authorization", "Bearer secret\r\nX: y"}};
  EXPECT_EQ(fetch(request).error(),
            "http://127.0.0.1:1: the header Authorization has a line break or control byte");
}

TEST_F(HttpClientTest, TrustsACertificateOfTheAuthorityForItsAddress) {
  HttpsServer server(says({.body = "safe"}), {.tls = authority.issue()});
  const Got got = fetch(get_trusted(server.url() + "/"));
  EXPECT_EQ(got.body(), "safe") << got.error();
}

TEST_F(HttpClientTest, SpeaksIpv6AndVerifiesItsAddress) {
  HttpsServer server(says({.body = "six"}),
                     {.tls = authority.issue({.also = "IP:::1"}), .address = "::1"});
  EXPECT_EQ(fetch(get_trusted(server.url() + "/")).body(), "six");
  EXPECT_THAT(server.url(), StartsWith("https://[::1]:"));
}

TEST_F(HttpClientTest, TrustsACertificateForItsName) {
  HttpsServer server(says({.body = "safe"}), {.tls = authority.issue({.also = "DNS:localhost"})});
  const Got got = fetch(get_trusted("https://localhost:" + std::to_string(server.port()) + "/"));
  EXPECT_EQ(got.body(), "safe") << got.error();
}

TEST_F(HttpClientTest, RefusesACertificateOfAnotherAuthority) {
  HttpsServer server(says({}), {.tls = Authority("another").issue()});
  const Got got = fetch(get_trusted(server.url() + "/"));
  EXPECT_EQ(got.error(), server.url() + ": its certificate is not signed by the given authority");
  EXPECT_THAT(server.requests(), IsEmpty());
}

TEST_F(HttpClientTest, WithoutAGivenAuthorityTheSystemsDecide) {
  HttpsServer server(says({}), {.tls = authority.issue()});
  EXPECT_EQ(
      fetch(get(server.url() + "/")).error(),
      server.url() + ": its certificate is not signed by an authority that this system trusts");
}

TEST_F(HttpClientTest, RefusesAnExpiredCertificate) {
  HttpsServer server(says({}), {.tls = authority.issue({.valid_from = -2h, .valid_until = -1h})});
  EXPECT_EQ(fetch(get_trusted(server.url() + "/")).error(),
            server.url() + ": its certificate has expired");
}

TEST_F(HttpClientTest, RefusesACertificateThatIsNotValidYet) {
  HttpsServer server(says({}), {.tls = authority.issue({.valid_from = 1h, .valid_until = 2h})});
  EXPECT_EQ(fetch(get_trusted(server.url() + "/")).error(),
            server.url() + ": its certificate is not valid yet");
}

TEST_F(HttpClientTest, RefusesACertificateForAnotherNameOrAddress) {
  HttpsServer server(says({}), {.tls = authority.issue({.name = "127.0.0.1", .also = "DNS:a.b"})});
  EXPECT_EQ(fetch(get_trusted(server.url() + "/")).error(),
            server.url() + ": its certificate is for another name than 127.0.0.1");
  const std::string by_name = "https://localhost:" + std::to_string(server.port());
  EXPECT_EQ(fetch(get_trusted(by_name + "/")).error(),
            by_name + ": its certificate is for another name than localhost");
}

TEST_F(HttpClientTest, ShowsItsCertificateToAServerThatWantsOne) {
  HttpsServer server(says({.body = "known"}),
                     {.tls = authority.issue(), .wants_client_of = authority.pem()});
  HttpRequest request = get_trusted(server.url() + "/");
  const auto ours = authority.issue({.name = "client", .also = ""});
  request.certificate = ours.pem;
  request.key = ours.key;
  EXPECT_EQ(fetch(request).body(), "known");
  EXPECT_EQ(fetch(get_trusted(server.url() + "/")).error(),
            server.url() + ": it wants a certificate from us");
  const auto foreign = Authority("foreign").issue({.name = "client", .also = ""});
  request.certificate = foreign.pem;
  request.key = foreign.key;
  EXPECT_EQ(fetch(request).error(), server.url() + ": it does not accept our certificate");
}

TEST_F(HttpClientTest, PemThatIsNoneIsAnErrorThatDoesNotRepeatIt) {
  HttpRequest request = get("https://127.0.0.1:1/");
  request.trusted = "no certificate";
  EXPECT_THAT(fetch(request).error(),
              StartsWith("https://127.0.0.1:1: the authority's certificate cannot be used: "));
  request.trusted = authority.pem();
  const auto ours = authority.issue();
  request.certificate = ours.pem;
  request.key = "secret key";
  EXPECT_THAT(fetch(request).error(),
              AllOf(StartsWith("https://127.0.0.1:1: the key of our certificate cannot be used: "),
                    Not(HasSubstr("secret"))));
  request.key = authority.issue().key;
  EXPECT_THAT(fetch(request).error(), HasSubstr("key"));
}

TEST_F(HttpClientTest, AServerThatDoesNotSpeakTlsIsToldApart) {
  const asio::ip::tcp::endpoint any(asio::ip::make_address("127.0.0.1"), 0);
  asio::ip::tcp::acceptor acceptor(io, any);
  asio::ip::tcp::socket accepted(io);
  acceptor.async_accept(accepted, [&](const boost::system::error_code&) {
    asio::write(accepted, asio::buffer(std::string("220 mail.example.com ready\r\n")));
  });
  const std::string url = "https://127.0.0.1:" + std::to_string(acceptor.local_endpoint().port());
  EXPECT_EQ(fetch(get_trusted(url + "/")).error(), url + ": it does not speak TLS");
}

TEST_F(HttpClientTest, AnAnswerThatIsTooLargeIsAnError) {
  HttpsServer whole(says({.body = std::string(101, 'x')}));
  HttpRequest request = get(whole.url() + "/");
  request.most_bytes = 100;
  EXPECT_EQ(fetch(request).error(), whole.url() + ": the answer is larger than 100 bytes");
  HttpsServer chunked(says({.chunks = {std::string(60, 'x'), std::string(41, 'x')}}));
  request.url = chunked.url() + "/";
  EXPECT_EQ(fetch(request).error(), chunked.url() + ": the answer is larger than 100 bytes");
  request.most_bytes = 101;
  EXPECT_EQ(fetch(request).body().size(), 101u);
}

TEST_F(HttpClientTest, AHeadThatIsTooLargeIsAnError) {
  HttpsServer server(says({.headers = {{"X", std::string(17'000, 'x')}}}));
  EXPECT_EQ(fetch(get(server.url() + "/")).error(),
            server.url() + ": the head of the answer is larger than 16384 bytes");
}

TEST_F(HttpClientTest, ASlowServerIsGivenUpAtTheDeadline) {
  HttpsServer server(says({.delay = 1h}), {.tls = authority.issue()});
  HttpRequest request = get_trusted(server.url() + "/");
  request.within = 300ms;
  EXPECT_THAT(fetch(request).error(), StartsWith(server.url() + ": no "));
  EXPECT_THAT(fetch(request).error(), HasSubstr(" within 300ms"));
}

TEST_F(HttpClientTest, AServerThatNeverEndsItsHandshakeIsGivenUpAtTheDeadline) {
  asio::ip::tcp::acceptor silent(io, {asio::ip::make_address("127.0.0.1"), 0});
  const std::string url = "https://127.0.0.1:" + std::to_string(silent.local_endpoint().port());
  HttpRequest request = get_trusted(url + "/");
  request.within = 50ms;
  EXPECT_EQ(fetch(request).error(), url + ": no connection within 50ms");
}

TEST_F(HttpClientTest, ABodyThatBreaksOffIsAnError) {
  const std::string half = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf";
  HttpsServer plain(says({.raw = half}));
  EXPECT_EQ(fetch(get(plain.url() + "/")).error(),
            plain.url() + ": the connection ended in the middle of the answer");
  HttpsServer tls(says({.raw = half}), {.tls = authority.issue()});
  EXPECT_EQ(fetch(get_trusted(tls.url() + "/")).error(),
            tls.url() + ": the connection was cut off");
}

TEST_F(HttpClientTest, GarbageInsteadOfHttpIsAnError) {
  HttpsServer server(says({.raw = "SSH-2.0-OpenSSH_9.2\r\n\r\n"}));
  EXPECT_THAT(fetch(get(server.url() + "/")).error(),
              StartsWith(server.url() + ": the answer is not HTTP ("));
  HttpsServer nothing(says({.raw = "\r\n"}));
  EXPECT_THAT(fetch(get(nothing.url() + "/")).error(), StartsWith(nothing.url() + ": the "));
}

TEST_F(HttpClientTest, SkipsWhatComesBeforeTheRealAnswer) {
  HttpsServer server(says({.raw = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
                                  "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"}));
  EXPECT_EQ(fetch(get(server.url() + "/")).body(), "ok");
}

TEST_F(HttpClientTest, TheAnswerToAHeadHasNoBody) {
  HttpsServer server(says({.raw = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"}));
  HttpRequest request = get(server.url() + "/");
  request.method = "HEAD";
  EXPECT_EQ(fetch(request).status(), 200);
}

TEST_F(HttpClientTest, UsesAConnectionAgainForTheSameOriginAndTrust) {
  HttpsServer server(says({.body = "x"}), {.tls = authority.issue()});
  for (int round = 0; round < 5; ++round)
    EXPECT_EQ(fetch(get_trusted(server.url() + "/")).status(), 200);
  EXPECT_EQ(connections(server), 1u);
  HttpRequest other_trust = get_trusted(server.url() + "/");
  other_trust.trusted += Authority("one more").pem();
  EXPECT_EQ(fetch(other_trust).status(), 200);
  EXPECT_EQ(connections(server), 2u);
}

TEST_F(HttpClientTest, AServersWishToCloseIsRespected) {
  HttpsServer server(says({.headers = {{"Connection", "close"}}, .body = "x", .closes = true}));
  EXPECT_EQ(fetch(get(server.url() + "/")).status(), 200);
  EXPECT_EQ(fetch(get(server.url() + "/")).status(), 200);
  EXPECT_EQ(connections(server), 2u);
}

TEST_F(HttpClientTest, AConnectionThatTheServerClosedMeanwhileIsReplaced) {
  for (const bool has_tls : {false, true}) {
    HttpsServer server(says({.body = "x", .closes = true}),
                       {.tls = has_tls ? std::optional(authority.issue()) : std::nullopt});
    for (int round = 0; round < 5; ++round)
      EXPECT_EQ(fetch(get_trusted(server.url() + "/")).status(), 200);
    EXPECT_EQ(server.requests().size(), 5u);
  }
}

TEST_F(HttpClientTest, ARequestOnAStaleConnectionIsRepeatedOnlyIfItMayBe) {
  std::map<std::size_t, int> seen;  // Touched by the server's thread alone.
  HttpsServer server([&seen](const Request& request) {
    const bool breaks = ++seen[request.connection] == 2;
    return Reply{.body = breaks ? "" : "x", .breaks = breaks};
  });
  HttpRequest post = get(server.url() + "/");
  post.method = "POST";
  EXPECT_EQ(fetch(post).status(), 200);
  EXPECT_THAT(fetch(post).error(), HasSubstr("the connection ended without an answer"));
  EXPECT_EQ(fetch(post).status(), 200);
  post.repeatable = true;
  EXPECT_EQ(fetch(post).status(), 200);
  EXPECT_EQ(server.requests().size(), 5u);
}

TEST_F(HttpClientTest, AStreamComesLineByLineHoweverItIsCut) {
  HttpsServer server(
      says({.chunks = {"{\"a\":", "1}\n{\"b\":2}\r\n\n", "{\"c\""}, .stays_open = true}),
      {.tls = authority.issue()});
  HttpRequest request = get_trusted(server.url() + "/watch");
  request.stream = true;
  const auto got = ask(request);
  ASSERT_TRUE(eventually([&] { return got->lines.size() == 2; }));
  EXPECT_EQ(got->status(), 200);
  EXPECT_EQ(got->body(), "");
  server.push(":3}\n");
  ASSERT_TRUE(eventually([&] { return got->lines.size() == 3; }));
  EXPECT_THAT(got->lines, ElementsAre("{\"a\":1}", "{\"b\":2}", "{\"c\":3}"));
  EXPECT_FALSE(got->ended);
  server.push("last");
  server.end_streams();
  ASSERT_TRUE(eventually([&] { return got->is_over; }));
  EXPECT_EQ(got->lines.back(), "last");
  EXPECT_TRUE(got->ended && got->ended->result) << got->error();
}

TEST_F(HttpClientTest, AStreamIsAnsweredBeforeItsFirstLine) {
  HttpsServer server(says({.stays_open = true}));
  HttpRequest request = get(server.url() + "/watch");
  request.stream = true;
  const auto got = ask(request);
  ASSERT_TRUE(eventually([&] { return got->answer.has_value(); }));
  EXPECT_THAT(got->lines, IsEmpty());
  server.break_streams();
  ASSERT_TRUE(eventually([&] { return got->is_over; }));
  EXPECT_EQ(got->error(), server.url() + ": the connection ended in the middle of the answer");
}

TEST_F(HttpClientTest, AStreamThatIsRefusedIsAnsweredWhole) {
  HttpsServer server(says({.status = 403, .body = "you may not\nwatch"}));
  HttpRequest request = get(server.url() + "/watch");
  request.stream = true;
  const Got got = fetch(request);
  EXPECT_EQ(got.status(), 403);
  EXPECT_EQ(got.body(), "you may not\nwatch");
  EXPECT_FALSE(got.ended);
  EXPECT_THAT(got.lines, IsEmpty());
}

TEST_F(HttpClientTest, AStreamThatFallsQuietIsEnded) {
  HttpsServer server(says({.chunks = {"one\n"}, .stays_open = true}));
  HttpRequest request = get(server.url() + "/watch");
  request.stream = true;
  request.quiet = 100ms;
  const Got got = fetch(request);
  EXPECT_THAT(got.lines, ElementsAre("one"));
  EXPECT_EQ(got.error(), server.url() + ": nothing came for 100ms");
}

TEST_F(HttpClientTest, AStreamOutlivesTheDeadlineOfItsAnswer) {
  HttpsServer server(says({.stays_open = true}));
  HttpRequest request = get(server.url() + "/watch");
  request.stream = true;
  request.within = 1s;
  const auto got = ask(request);
  ASSERT_TRUE(eventually([&] { return server.open_streams() == 1; }));
  const auto start = std::chrono::steady_clock::now();
  ASSERT_TRUE(eventually([&] { return std::chrono::steady_clock::now() > start + 1100ms; }));
  server.push("late\n");
  EXPECT_TRUE(eventually([&] { return got->lines.size() == 1; }));
}

TEST_F(HttpClientTest, ALineThatIsTooLongEndsTheStream) {
  HttpsServer server(says({.chunks = {"0123456789\n", "0123456", "789x"}, .stays_open = true}));
  HttpRequest request = get(server.url() + "/watch");
  request.stream = true;
  request.most_bytes = 10;
  const Got got = fetch(request);
  EXPECT_THAT(got.lines, ElementsAre("0123456789"));
  EXPECT_EQ(got.error(), server.url() + ": a line is larger than 10 bytes");
}

TEST_F(HttpClientTest, IsCancelledAtAnyMoment) {
  HttpsServer slow(says({.delay = 1h}), {.tls = authority.issue()});
  HttpsServer stream(says({.chunks = {"one\n"}, .stays_open = true}), {.tls = authority.issue()});
  for (int steps = 0; steps < 60; ++steps) {
    for (const HttpsServer* server : {&slow, &stream}) {
      HttpRequest request = get_trusted(server->url() + "/");
      request.stream = server == &stream;
      const auto got = ask(request);
      io.restart();
      for (int step = 0; step < steps; ++step) io.run_one_for(500us);
      tasks.cancel(got->task);
      ASSERT_TRUE(eventually([&] { return tasks.size() == 0; }));
      EXPECT_EQ(got->error(), "") << "nobody waits for it any more";
    }
  }
}

TEST_F(HttpClientTest, SeveralAtOnceDoNotMixTheirAnswers) {
  HttpsServer server([](const Request& request) { return Reply{.body = request.target}; },
                     {.tls = authority.issue()});
  std::vector<std::shared_ptr<Got>> all;
  for (int i = 0; i < 12; ++i)
    all.push_back(ask(get_trusted(server.url() + "/" + std::to_string(i))));
  ASSERT_TRUE(eventually([&] { return tasks.size() == 0; }));
  for (std::size_t i = 0; i < all.size(); ++i) EXPECT_EQ(all[i]->body(), "/" + std::to_string(i));
  for (int i = 0; i < 12; ++i) ask(get_trusted(server.url() + "/again"));
  ASSERT_TRUE(eventually([&] { return tasks.size() == 0; }));
}

}  // namespace
}  // namespace muster::discovery
