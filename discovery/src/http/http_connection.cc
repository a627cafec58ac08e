// SPDX-License-Identifier: MIT
#include "http/http_connection.h"

#include <openssl/ssl.h>
#include <sys/socket.h>

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/write.hpp>

#include "http/host_lookup.h"
#include "http/time_passes.h"
#include "task_group.h"

// g++ 12 takes Asio's own operator delete of coroutine frames for a foreign one when it inlines.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"

namespace muster::discovery {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using namespace asio::experimental::awaitable_operators;

constexpr std::size_t read_at_once = 16 * 1024;

asio::awaitable<error_code> connect_one(tcp::socket& socket, tcp::endpoint endpoint) {
  const auto [error] = co_await socket.async_connect(endpoint, await_tuple);
  co_return error;
}

}  // namespace

HttpConnection::HttpConnection(HttpUrl url, std::shared_ptr<TlsTrust> trust,
                               const asio::any_io_executor& executor)
    : url_(std::move(url)), trust_(std::move(trust)), socket_(executor) {}

asio::awaitable<Result<std::unique_ptr<HttpConnection>>> HttpConnection::open(
    HttpUrl url, std::shared_ptr<TlsTrust> trust, Duration within) {
  const auto executor = co_await asio::this_coro::executor;
  auto connection = std::make_unique<HttpConnection>(std::move(url), std::move(trust), executor);
  const auto connected = co_await connection->connect(within);
  if (!connected) co_return connected.error();
  if (connection->url_.is_https) {
    const auto shaken = co_await connection->shake_hands();
    if (!shaken) co_return shaken.error();
  }
  connection->buffer_.resize(read_at_once);
  co_return std::move(connection);
}

asio::awaitable<Result<void>> HttpConnection::connect(Duration within) {
  const auto endpoints = co_await look_up_host(url_.host, url_.port);
  if (!endpoints) co_return failed(endpoints.error().code);
  error_code error = asio::error::host_not_found;
  std::size_t left = endpoints->size();
  for (const tcp::endpoint& endpoint : *endpoints) {
    // An address that swallows packets leaves time for the others.
    const Duration share = left > 1 ? within / 2 : within;
    within -= share;
    --left;
    if (!url_.is_address) connected_to_ = endpoint.address().to_string();
    error_code ignored;
    socket_.close(ignored);
    auto attempt = co_await (connect_one(socket_, endpoint) || time_passes(share));
    error = attempt.index() == 0 ? std::get<0>(attempt) : error_code(asio::error::timed_out);
    if (!error) break;
  }
  if (error) co_return failed(error);
  socket_.set_option(tcp::no_delay(true), error);
  co_return Result<void>();
}

asio::awaitable<Result<void>> HttpConnection::shake_hands() {
  tls_.emplace(socket_, trust_->context());
  if (auto expected = TlsTrust::expect(tls_->native_handle(), url_.host, url_.is_address);
      !expected)
    co_return expected.error();
  const auto [error] = co_await tls_->async_handshake(asio::ssl::stream_base::client, await_tuple);
  if (!error) co_return Result<void>();
  co_return bad_input(url_.origin + ": " +
                      trust_->explain(tls_->native_handle(), error, url_.host));
}

asio::awaitable<Result<void>> HttpConnection::write(std::string_view bytes) {
  error_code error;
  if (tls_) {
    const auto [failure, written] =
        co_await asio::async_write(*tls_, asio::buffer(bytes), await_tuple);
    error = failure;
  } else {
    const auto [failure, written] =
        co_await asio::async_write(socket_, asio::buffer(bytes), await_tuple);
    error = failure;
  }
  if (error) co_return failed(error);
  co_return Result<void>();
}

asio::awaitable<Result<std::string_view>> HttpConnection::read_some() {
  error_code error;
  std::size_t size = 0;
  if (tls_) {
    const auto [failure, read] = co_await tls_->async_read_some(asio::buffer(buffer_), await_tuple);
    error = failure;
    size = read;
  } else {
    const auto [failure, read] =
        co_await socket_.async_read_some(asio::buffer(buffer_), await_tuple);
    error = failure;
    size = read;
  }
  if (error == asio::error::eof) co_return std::string_view();
  if (error) co_return failed(error);
  co_return std::string_view(buffer_).substr(0, size);
}

bool HttpConnection::is_quiet() {
  if (tls_ && ::SSL_pending(tls_->native_handle()) > 0) return false;
  char byte = 0;
  const auto peeked = ::recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return peeked < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

Error HttpConnection::failed(const error_code& error) const {
  const std::string where =
      connected_to_.empty() ? url_.origin : url_.origin + " (" + connected_to_ + ")";
  if (error == asio::ssl::error::stream_truncated)
    return bad_input(where + ": the connection was cut off");
  if (error.category() == asio::error::get_ssl_category())
    return bad_input(where + ": " + trust_->explain(nullptr, error, url_.host));
  return {error, where};
}

}  // namespace muster::discovery
