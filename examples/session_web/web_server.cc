// SPDX-License-Identifier: MIT
#include "web_server.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <set>

namespace session_web {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;
using tcp = asio::ip::tcp;

constexpr auto await_tuple = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t most_connections = 256;
constexpr std::uint32_t most_header_bytes = 8 * 1024;
constexpr std::uint64_t most_body_bytes = 4 * 1024;
constexpr auto request_deadline = std::chrono::seconds(10);
constexpr auto idle_deadline = std::chrono::seconds(60);

Request request_of(const http::request<http::string_body>& message) {
  Request request;
  request.method = std::string(message.method_string());
  const auto target = message.target();
  request.path = std::string(target.substr(0, target.find('?')));
  request.cookies = std::string(message[http::field::cookie]);
  request.body = message.body();
  return request;
}

http::response<http::string_body> message_of(Response response, bool keep_alive) {
  http::response<http::string_body> message;
  message.result(response.status);
  message.set(http::field::content_type, response.content_type);
  message.set(http::field::cache_control, "no-store");
  message.set("Content-Security-Policy",
              "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'");
  for (const auto& [name, value] : response.headers) message.set(name, value);
  message.body() = std::move(response.body);
  message.keep_alive(keep_alive);
  message.prepare_payload();
  return message;
}

}  // namespace

class WebServer::Impl {
 public:
  Impl(asio::any_io_executor executor, Handler handler)
      : executor_(std::move(executor)),
        handler_(std::move(handler)),
        acceptor_(executor_),
        all_done_(executor_) {}

  muster::Result<void> listen(const std::string& address, std::uint16_t port) {
    boost::system::error_code error;
    const tcp::endpoint endpoint(asio::ip::make_address(address, error), port);
    if (!error) acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
    if (error) {
      return muster::Error{error, "cannot listen on " + address + ":" + std::to_string(port) +
                                      " (choose another port with --port)"};
    }
    spawn(accept());
    return {};
  }

  asio::awaitable<void> stop() {
    stopping_ = true;
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    for (beast::tcp_stream* stream : streams_) stream->socket().close(ignored);
    while (running_ > 0) {
      all_done_.expires_at(asio::steady_timer::time_point::max());
      (void)co_await all_done_.async_wait(await_tuple);
    }
  }

 private:
  void spawn(asio::awaitable<void> task) {
    ++running_;
    asio::co_spawn(executor_, std::move(task), [this](std::exception_ptr failure) {
      if (--running_ == 0) all_done_.cancel();
      if (failure) std::rethrow_exception(failure);
    });
  }

  asio::awaitable<void> accept() {
    while (!stopping_) {
      auto [error, socket] = co_await acceptor_.async_accept(await_tuple);
      if (error == asio::error::no_descriptors) co_await wait_a_little();
      if (error || streams_.size() >= most_connections) continue;  // Closes the socket.
      spawn(serve(beast::tcp_stream(std::move(socket))));
    }
  }

  asio::awaitable<void> wait_a_little() {
    asio::steady_timer pause(executor_, std::chrono::milliseconds(100));
    (void)co_await pause.async_wait(await_tuple);
  }

  asio::awaitable<void> serve(beast::tcp_stream stream) {
    streams_.insert(&stream);
    beast::flat_buffer buffer(most_header_bytes + most_body_bytes);
    bool keep_alive = true;
    while (keep_alive && !stopping_) {
      keep_alive = co_await serve_one(stream, buffer);
    }
    boost::system::error_code ignored;
    stream.socket().shutdown(tcp::socket::shutdown_send, ignored);
    streams_.erase(&stream);
  }

  asio::awaitable<bool> serve_one(beast::tcp_stream& stream, beast::flat_buffer& buffer) {
    http::request_parser<http::string_body> parser;
    parser.header_limit(most_header_bytes);
    parser.body_limit(most_body_bytes);
    stream.expires_after(buffer.size() == 0 ? idle_deadline : request_deadline);
    const auto [bad_head, head_size] =
        co_await http::async_read_header(stream, buffer, parser, await_tuple);
    // Browsers send forms whole, and Beast 1.81 aborts at a last chunk that comes first and in
    // pieces.
    if (bad_head || parser.chunked()) co_return false;
    const auto [error, size] = co_await http::async_read(stream, buffer, parser, await_tuple);
    if (error) co_return false;

    const Request request = request_of(parser.get());
    const bool keep_alive = parser.get().keep_alive();
    Response response = co_await handler_(request);
    auto message = message_of(std::move(response), keep_alive);
    if (request.method == "HEAD") message.body().clear();  // content-length stays
    stream.expires_after(request_deadline);
    auto [write_error, written] = co_await http::async_write(stream, message, await_tuple);
    co_return keep_alive && !write_error;
  }

  asio::any_io_executor executor_;
  Handler handler_;
  tcp::acceptor acceptor_;
  asio::steady_timer all_done_;
  std::set<beast::tcp_stream*> streams_;
  int running_ = 0;
  bool stopping_ = false;
};

WebServer::WebServer(asio::any_io_executor executor, Handler handler)
    : impl_(std::make_unique<Impl>(std::move(executor), std::move(handler))) {}
WebServer::~WebServer() = default;
muster::Result<void> WebServer::listen(const std::string& address, std::uint16_t port) {
  return impl_->listen(address, port);
}
asio::awaitable<void> WebServer::stop() { return impl_->stop(); }

}  // namespace session_web
