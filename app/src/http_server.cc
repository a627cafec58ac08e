// SPDX-License-Identifier: MIT
#include "http_server.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <cassert>
#include <list>

#include "listener.h"

namespace muster::app {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using boost::system::error_code;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t connections_max = 256;
constexpr std::uint32_t header_max = 16 * 1024;
constexpr std::uint64_t body_max = 1024 * 1024;
constexpr auto request_deadline = 10s;
constexpr auto write_deadline = 30s;
constexpr auto idle_deadline = 60s;
constexpr auto event_pause = 15s;
constexpr std::size_t event_listeners_max = 64;
constexpr auto as_tuple = asio::as_tuple(asio::use_awaitable);

using Parser = http::request_parser<http::string_body>;
using Response = http::response<http::string_body>;

std::string host_of(std::string_view header) {
  if (header.starts_with('[')) return std::string(header.substr(1, header.find(']') - 1));
  return std::string(header.substr(0, header.find(':')));
}

/// A page of another site that a browser resolved to this machine has another name in Host.
bool is_own_host(std::string_view header) {
  const std::string host = host_of(header);
  return is_loopback(host) || host == short_host_name();
}

HttpResponse refusal(unsigned status, std::string_view why) {
  return {.status = status, .body = "{\"error\":\"" + std::string(why) + "\"}\n"};
}

bool changes_something(http::verb verb) {
  return verb == http::verb::post || verb == http::verb::put || verb == http::verb::delete_;
}

}  // namespace

class HttpServer::Impl {
 public:
  Impl(asio::any_io_executor executor, const Access& access, EventHub& hub, Handler handler,
       EventText event_text)
      : executor_(std::move(executor)),
        access_(access),
        hub_(hub),
        handler_(std::move(handler)),
        event_text_(std::move(event_text)) {}
  ~Impl() { assert(connections_.empty() && listeners_.empty()); }

  Result<std::uint16_t> listen(const Endpoint& endpoint);
  asio::awaitable<void> stop();

 private:
  struct Connection {
    Connection(tcp::socket socket, const asio::any_io_executor& executor)
        : stream(std::move(socket)), pause(executor) {}
    beast::tcp_stream stream;
    asio::steady_timer pause;  // Of a listener to events.
    bool loopback = true;
  };

  void accepted(tcp::socket socket, bool loopback);
  asio::awaitable<void> serve(Connection& connection);
  asio::awaitable<bool> serve_one(Connection& connection, beast::flat_buffer& buffer);
  asio::awaitable<bool> send(Connection& connection, const Parser& parser, HttpResponse response,
                             bool keep_alive);
  asio::awaitable<void> stream_events(Connection& connection);
  [[nodiscard]] std::optional<HttpResponse> judge(const Connection& connection,
                                                  const Parser& parser, HttpRequest& request);
  [[nodiscard]] bool has_token(const Parser& parser) const;

  asio::any_io_executor executor_;
  const Access& access_;
  EventHub& hub_;
  const Handler handler_;
  const EventText event_text_;
  std::list<Listener> listeners_;
  std::list<Connection> connections_;
  std::size_t event_listeners_ = 0;
  bool stopping_ = false;
};

Result<std::uint16_t> HttpServer::Impl::listen(const Endpoint& endpoint) {
  const bool loopback = is_loopback(endpoint.address);
  listeners_.emplace_back(
      executor_, [this, loopback](tcp::socket socket) { accepted(std::move(socket), loopback); });
  auto port = listeners_.back().open(endpoint, "--port");
  if (!port) listeners_.pop_back();
  return port;
}

void HttpServer::Impl::accepted(tcp::socket socket, bool loopback) {
  if (stopping_ || connections_.size() >= connections_max) return;  // Closed by its destructor.
  connections_.emplace_back(std::move(socket), executor_);
  const auto connection = std::prev(connections_.end());
  connection->loopback = loopback;
  asio::co_spawn(executor_, serve(*connection),
                 [this, connection](std::exception_ptr) { connections_.erase(connection); });
}

asio::awaitable<void> HttpServer::Impl::serve(Connection& connection) {
  beast::flat_buffer buffer(header_max + body_max);
  bool more = true;
  while (more && !stopping_) more = co_await serve_one(connection, buffer);
  error_code ignored;
  connection.stream.socket().shutdown(tcp::socket::shutdown_both, ignored);
}

asio::awaitable<bool> HttpServer::Impl::serve_one(Connection& connection,
                                                  beast::flat_buffer& buffer) {
  Parser parser;
  parser.header_limit(header_max);
  parser.body_limit(body_max);
  connection.stream.expires_after(idle_deadline);
  // The deadline of a request begins with its first byte.
  if (buffer.size() == 0) {
    const auto space = buffer.prepare(4096);
    const auto [idle, first] = co_await connection.stream.async_read_some(space, as_tuple);
    if (idle || stopping_) co_return false;
    buffer.commit(first);
  }
  connection.stream.expires_after(request_deadline);
  auto [error, size] =
      co_await http::async_read_header(connection.stream, buffer, parser, as_tuple);
  if (error) {
    if (error.category() != http::make_error_code(http::error::bad_method).category() ||
        error == http::error::end_of_stream)
      co_return false;
    HttpResponse bad = refusal(error == http::error::header_limit ? 431
                               : error == http::error::body_limit ? 413
                                                                  : 400,
                               "bad request");
    (void)co_await send(connection, parser, std::move(bad), false);
    co_return false;
  }
  HttpRequest request;
  if (auto refused = judge(connection, parser, request)) {
    (void)co_await send(connection, parser, std::move(*refused), false);
    co_return false;
  }
  auto [body_error, more] = co_await http::async_read(connection.stream, buffer, parser, as_tuple);
  if (body_error) {
    HttpResponse bad = refusal(body_error == http::error::body_limit ? 413 : 400, "bad body");
    (void)co_await send(connection, parser, std::move(bad), false);
    co_return false;
  }
  request.body = std::move(parser.get().body());
  connection.stream.expires_never();
  HttpResponse response = co_await handler_(std::move(request));
  if (response.events) {
    co_await stream_events(connection);
    co_return false;
  }
  co_return co_await send(connection, parser, std::move(response), parser.get().keep_alive());
}

std::optional<HttpResponse> HttpServer::Impl::judge(const Connection& connection,
                                                    const Parser& parser, HttpRequest& request) {
  const auto& head = parser.get();
  const http::verb verb = head.method();
  if (verb != http::verb::get && verb != http::verb::head && !changes_something(verb))
    return refusal(405, "GET, HEAD, POST, PUT and DELETE are understood");
  // Nobody needs it here, and Beast 1.81 aborts at a last chunk that comes first and in pieces.
  if (parser.chunked()) return refusal(411, "send Content-Length");
  const auto host = head[http::field::host];
  if (head.count(http::field::host) > 1 ||
      (connection.loopback && !is_own_host({host.data(), host.size()})))
    return refusal(403, "the Host header names another machine");
  // A page of another site may send requests here, but not without its name in Origin.
  const auto origin = head[http::field::origin];
  if (!origin.empty() &&
      std::string_view(origin.data(), origin.size()) != "http://" + std::string(host))
    return refusal(403, "requests of other sites are refused");
  request.method = std::string(head.method_string());
  if (verb == http::verb::head) request.method = "GET";
  request.trusted = !access_.has_password() || has_token(parser);
  if (!request.trusted && changes_something(verb))
    return refusal(401, "send the password: Authorization: Bearer ...");
  const auto target = head.target();
  if (!parse_target({target.data(), target.size()}, request)) return refusal(400, "bad target");
  return std::nullopt;
}

bool HttpServer::Impl::has_token(const Parser& parser) const {
  const auto header = parser.get()[http::field::authorization];
  const std::string_view text(header.data(), header.size());
  constexpr std::string_view scheme = "Bearer ";
  return text.starts_with(scheme) && access_.matches(text.substr(scheme.size()));
}

asio::awaitable<bool> HttpServer::Impl::send(Connection& connection, const Parser& parser,
                                             HttpResponse response, bool keep_alive) {
  Response message(static_cast<http::status>(response.status), 11);
  message.set(http::field::content_type, response.type);
  message.set(http::field::cache_control, "no-store");
  message.set("X-Content-Type-Options", "nosniff");
  message.set("Content-Security-Policy",
              "default-src 'self'; frame-ancestors 'none'; base-uri 'none'");
  message.keep_alive(keep_alive && !stopping_);
  const bool only_head = parser.is_header_done() && parser.get().method() == http::verb::head;
  const std::size_t size = response.body.size();
  if (!only_head) message.body() = std::move(response.body);
  message.content_length(size);
  connection.stream.expires_after(write_deadline);
  http::response_serializer<http::string_body> serializer(message);
  if (only_head) {
    const auto [error, sent] =
        co_await http::async_write_header(connection.stream, serializer, as_tuple);
    co_return !error && message.keep_alive();
  }
  const auto [error, sent] = co_await http::async_write(connection.stream, serializer, as_tuple);
  co_return !error && message.keep_alive();
}

asio::awaitable<void> HttpServer::Impl::stream_events(Connection& connection) {
  if (event_listeners_ >= event_listeners_max) co_return;
  ++event_listeners_;
  EventHub::Listening listening(hub_, connection.pause);
  std::string text =
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"
      "Connection: close\r\n\r\n";
  std::uint64_t seen = 0;
  while (!stopping_) {
    for (const EventHub::Event& event : hub_.events())
      if (event.number > seen)
        text += "id: " + std::to_string(event.number) + "\ndata: " + event_text_(event) + "\n\n";
    seen = hub_.last();
    connection.stream.expires_after(write_deadline);
    const auto [error, sent] =
        co_await asio::async_write(connection.stream, asio::buffer(text), as_tuple);
    if (error) break;
    connection.stream.expires_never();
    if (seen < hub_.last() || stopping_) {
      text.clear();
      continue;
    }
    connection.pause.expires_after(event_pause);
    const auto [woken] = co_await connection.pause.async_wait(as_tuple);
    text = woken ? "" : ": still here\n\n";
  }
  --event_listeners_;
}

asio::awaitable<void> HttpServer::Impl::stop() {
  stopping_ = true;
  for (Listener& listener : listeners_) co_await listener.close();
  listeners_.clear();
  for (Connection& connection : connections_) {
    connection.pause.cancel();
    connection.stream.close();
  }
  asio::steady_timer turn(executor_);
  while (!connections_.empty()) {
    turn.expires_after(1ms);
    error_code ignored;
    co_await turn.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
}

HttpServer::HttpServer(asio::any_io_executor executor, const Access& access, EventHub& hub,
                       Handler handler, EventText event_text)
    : impl_(std::make_unique<Impl>(std::move(executor), access, hub, std::move(handler),
                                   std::move(event_text))) {}
HttpServer::~HttpServer() = default;
Result<std::uint16_t> HttpServer::listen(const Endpoint& endpoint) {
  return impl_->listen(endpoint);
}
asio::awaitable<void> HttpServer::stop() { return impl_->stop(); }

}  // namespace muster::app
