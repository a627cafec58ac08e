// SPDX-License-Identifier: MIT
#include "http/http_client.h"

#include <algorithm>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/this_coro.hpp>

#include "http/http_request_text.h"
#include "http/time_passes.h"
#include "muster/discovery/settings.h"

// g++ 12 takes Asio's own operator delete of coroutine frames for a foreign one when it inlines.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"

namespace muster::discovery {
namespace {

namespace asio = boost::asio;
using namespace asio::experimental::awaitable_operators;

constexpr std::size_t most_idle = 4;
constexpr std::size_t most_trusts = 4;
constexpr Duration longest_idle = std::chrono::seconds(30);
constexpr Duration trust_age = std::chrono::minutes(10);

Instant read_mono() { return std::chrono::steady_clock::now(); }

/// One read, and what it means.
asio::awaitable<Result<void>> read_into(HttpConnection& connection, HttpResponseReader& reader) {
  const auto bytes = co_await connection.read_some();
  if (!bytes) co_return bytes.error();
  auto taken = bytes->empty() ? reader.end() : reader.feed(*bytes);
  if (!taken) co_return bad_input(connection.origin() + ": " + taken.error().text());
  co_return taken;
}

bool may_repeat(const HttpRequest& request) {
  return request.repeatable || request.method == "GET" || request.method == "HEAD";
}

}  // namespace

struct HttpClient::Exchange {
  Exchange(HttpRequest asked, HttpUrl to, Take taker)
      : request(std::move(asked)), url(std::move(to)), take(std::move(taker)) {}

  void begin_reading() {
    HttpResponseReader::TakeLine take_line = [this](std::string line) {
      take_reply();
      take(HttpLine{std::move(line)});
    };
    const HttpResponseReader::Options options{.head_only = request.method == "HEAD",
                                              .stream = request.stream,
                                              .most_bytes = request.most_bytes};
    reader = std::make_unique<HttpResponseReader>(options, std::move(take_line));
  }
  /// Once; a stream's before its first line.
  void take_reply() {
    if (std::exchange(is_answered, true)) return;
    HttpAnswer answer;
    answer.reply = reader->take_reply();
    take(answer);
  }

  const HttpRequest request;
  const HttpUrl url;
  const Take take;
  std::string text;                 // The request as sent.
  std::shared_ptr<TlsTrust> trust;  // Null for http.
  std::unique_ptr<HttpResponseReader> reader;
  std::unique_ptr<HttpConnection> connection;
  bool is_answered = false;
};

HttpClient::HttpClient(const asio::any_io_executor& executor)
    : timer_(executor), tasks_(executor) {}

asio::awaitable<void> HttpClient::stop() {
  idle_.clear();
  co_await tasks_.stop();
}

asio::awaitable<void> HttpClient::perform(HttpRequest request, Take take) {
  HttpAnswer refused;
  auto url = HttpUrl::parse(request.url);
  if (!url) {
    refused.reply = url.error();
    take(refused);
    co_return;
  }
  Exchange exchange(std::move(request), std::move(*url), std::move(take));
  const auto fetched = co_await fetch_within(exchange);
  const auto cancellation = co_await asio::this_coro::cancellation_state;
  if (cancellation.cancelled() != asio::cancellation_type::none) co_return;
  if (!fetched) {
    refused.reply = fetched.error();
    exchange.take(refused);
    co_return;
  }
  exchange.take_reply();
  if (exchange.reader->is_streaming()) {
    HttpEnded ended;
    ended.result = co_await read_stream(exchange);
    if (cancellation.cancelled() != asio::cancellation_type::none) co_return;
    exchange.take(ended);
  }
  put_back(exchange);
}

asio::awaitable<Result<void>> HttpClient::fetch_within(Exchange& exchange) {
  auto ended = co_await (fetch(exchange) || time_passes(exchange.request.within));
  if (ended.index() == 0) co_return std::get<0>(std::move(ended));
  co_return bad_input(exchange.url.origin +
                      (exchange.connection ? ": no whole answer" : ": no connection") + " within " +
                      duration_text(exchange.request.within));
}

asio::awaitable<Result<void>> HttpClient::fetch(Exchange& exchange) {
  auto text = write_request(exchange.request, exchange.url);
  if (!text) co_return text.error();
  exchange.text = std::move(*text);
  if (exchange.url.is_https) {
    auto trust = trust_for(exchange.request);
    if (!trust) co_return bad_input(exchange.url.origin + ": " + trust.error().text());
    exchange.trust = std::move(*trust);
  }
  exchange.connection = take_idle(exchange);
  const bool is_reused = exchange.connection != nullptr;
  auto fetched = co_await fetch_once(exchange);
  if (fetched || !is_reused || exchange.reader->has_begun() || !may_repeat(exchange.request))
    co_return fetched;
  exchange.connection.reset();
  co_return co_await fetch_once(exchange);
}

asio::awaitable<Result<void>> HttpClient::fetch_once(Exchange& exchange) {
  exchange.begin_reading();
  if (!exchange.connection) {
    auto opened =
        co_await HttpConnection::open(exchange.url, exchange.trust, exchange.request.within);
    if (!opened) {
      forget_if_old(exchange.trust);
      co_return opened.error();
    }
    exchange.connection = std::move(*opened);
  }
  // Where it cannot be written there may still be an answer, or an alert of TLS, that says why.
  const auto written = co_await exchange.connection->write(exchange.text);
  while (!exchange.reader->is_streaming() && !exchange.reader->is_done()) {
    auto read = co_await read_into(*exchange.connection, *exchange.reader);
    if (!read) co_return read;
  }
  co_return Result<void>();
}

asio::awaitable<Result<void>> HttpClient::read_stream(Exchange& exchange) {
  while (!exchange.reader->is_done()) {
    auto ended = co_await (read_into(*exchange.connection, *exchange.reader) ||
                           time_passes(exchange.request.quiet));
    if (ended.index() == 1)
      co_return bad_input(exchange.url.origin + ": nothing came for " +
                          duration_text(exchange.request.quiet));
    if (!std::get<0>(ended)) co_return std::get<0>(std::move(ended));
  }
  co_return Result<void>();
}

Result<std::shared_ptr<TlsTrust>> HttpClient::trust_for(const HttpRequest& request) {
  TlsTrust::Pem pem{
      .trusted = request.trusted, .certificate = request.certificate, .key = request.key};
  for (const auto& trust : trusts_)
    if (trust->pem() == pem) return trust;
  auto made = TlsTrust::make(std::move(pem));
  if (made) trusts_.push_back(*made);
  if (trusts_.size() > most_trusts) trusts_.pop_front();
  return made;
}

/// The system's authorities may have been renewed; reading them takes too long to do it each time.
void HttpClient::forget_if_old(const std::shared_ptr<TlsTrust>& trust) {
  if (trust && trust->since() + trust_age < read_mono()) std::erase(trusts_, trust);
}

std::unique_ptr<HttpConnection> HttpClient::take_idle(const Exchange& exchange) {
  const auto fits = [&](const Idle& idle) {
    return idle.connection->origin() == exchange.url.origin &&
           idle.connection->trust() == exchange.trust;
  };
  for (auto idle = std::ranges::find_if(idle_, fits); idle != idle_.end();
       idle = std::ranges::find_if(idle_, fits)) {
    auto connection = std::move(idle->connection);
    idle_.erase(idle);
    if (connection->is_quiet()) return connection;
  }
  return nullptr;
}

void HttpClient::put_back(Exchange& exchange) {
  if (!exchange.reader->keeps_alive() || !exchange.connection->is_quiet()) return;
  idle_.push_back({std::move(exchange.connection), read_mono()});
  if (idle_.size() > most_idle) idle_.pop_front();
  if (tasks_.size() == 0) tasks_.spawn(close_idle_ones());
}

asio::awaitable<void> HttpClient::close_idle_ones() {
  while (!idle_.empty()) {
    timer_.expires_at(idle_.front().since + longest_idle);
    co_await timer_.async_wait(await_tuple);
    while (!idle_.empty() && idle_.front().since + longest_idle <= read_mono()) idle_.pop_front();
  }
}

}  // namespace muster::discovery
