// SPDX-License-Identifier: MIT
//
// The sockets of the Redis port.  A connection waits for bytes, reads them into the port's one
// buffer, lets its session run all requests and answers them with one write; what is left of a
// request stays with the connection.  Callbacks, not coroutines: there is nothing to remember
// between two reads but that.
#include "muster/app/redis_port.h"

#include <array>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <cassert>
#include <list>

#include "access.h"
#include "cache_store.h"
#include "listener.h"
#include "muster/node/node.h"
#include "redis_session.h"

namespace muster::app {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t read_size = 64 * 1024;
constexpr std::size_t clients_max = 10'000;
constexpr std::size_t strangers_max = 256;                 // That have not said the password yet.
constexpr std::size_t held_max = std::size_t{48} << 20;    // Unfinished requests of all clients.
constexpr std::size_t unsent_max = std::size_t{32} << 20;  // Replies that slow readers do not take.
constexpr Duration login_deadline = 10s;
constexpr Duration stall_deadline = 30s;  // To finish a request, to take a reply.

}  // namespace

class RedisPort::Impl {
 public:
  Impl(asio::any_io_executor executor, Parts parts, PortOptions options)
      : executor_(std::move(executor)),
        node_(*parts.node),
        options_(std::move(options)),
        store_(parts),
        service_{store_, access_, counters_, {}, 0, std::chrono::steady_clock::now()},
        sweep_(executor_) {
    service_.node = store_.node_name();
    buffer_.resize(read_size);
  }
  ~Impl() { assert(connections_.empty() && listeners_.empty()); }

  Result<std::uint16_t> listen(std::string_view address);
  asio::awaitable<void> stop();

 private:
  class Connection;
  using Connections = std::list<Connection>;

  void accepted(tcp::socket socket);
  void sweep();
  void remove(Connections::iterator connection);

  asio::any_io_executor executor_;
  node::Node& node_;
  PortOptions options_;
  Access access_;
  CacheStore store_;
  RedisCounters counters_;
  RedisService service_;
  std::list<Listener> listeners_;
  Connections connections_;
  std::string buffer_;  // Of whoever reads now.
  std::size_t held_ = 0;
  std::size_t unsent_ = 0;
  std::uint64_t last_id_ = 0;
  asio::steady_timer sweep_;
  bool sweeping_ = false;
  bool stopping_ = false;
  std::function<void()> drained_;  // Set by stop().
};

/// Owned by the port's list; goes when its socket is closed, no handler is pending and no write of
/// its session is awaited.
class RedisPort::Impl::Connection {
 public:
  Connection(Impl& port, tcp::socket socket, std::uint64_t id)
      : port_(port),
        socket_(std::move(socket)),
        session_(port.service_, id, [this] { wake(); }),
        since_(std::chrono::steady_clock::now()) {}

  void start(Connections::iterator self) {
    self_ = self;
    wait_to_read();
  }
  void close() {
    if (!std::exchange(closed_, true)) {
      error_code ignored;
      socket_.close(ignored);
      // Many may be closed before any of them goes: give their memory back now.
      if (!writing_) out_ = std::string();
      std::string dropped;
      session_.replies().take_ready(dropped);
    }
    release();
  }
  void check(Instant now) {
    if (closed_) return;
    const bool stalled = writing_ || !held_.empty();
    if ((!session_.authenticated() && now - since_ > login_deadline) ||
        (stalled && session_.open() == 0 && now - progress_ > stall_deadline))
      close();
  }
  [[nodiscard]] bool authenticated() const { return session_.authenticated(); }
  [[nodiscard]] std::size_t held() const { return held_.size(); }
  void reject(std::string_view line) {
    error_code ignored;
    socket_.write_some(asio::buffer(line), ignored);
    close();
  }

 private:
  /// The turn of the node ends when all connections that are ready have been served: what their
  /// requests send to one peer is one frame.
  std::size_t consume(std::string_view bytes) {
    const std::size_t used = session_.consume(bytes);
    port_.node_.turn_soon();
    return used;
  }

  void wait_to_read() {
    reading_ = true;
    socket_.async_wait(tcp::socket::wait_read, [this](error_code error) {
      reading_ = false;
      if (error || closed_) return close();
      read();
    });
  }

  void read() {
    error_code error;
    const std::size_t size = socket_.read_some(asio::buffer(port_.buffer_), error);
    if (error == asio::error::would_block || error == asio::error::try_again) return wait_to_read();
    if (error) return close();
    progress_ = std::chrono::steady_clock::now();
    const std::string_view bytes(port_.buffer_.data(), size);
    if (held_.empty()) {
      const std::size_t used = consume(bytes);
      hold(bytes.substr(used));
    } else {
      hold(bytes);
      consume_held();
    }
    finish_turn();
  }

  /// Keeps what is no whole request yet.
  void hold(std::string_view bytes) {
    if (bytes.empty()) return;
    if (held_.capacity() < session_.wanted()) held_.reserve(session_.wanted());
    held_ += bytes;
    port_.held_ += bytes.size();
  }

  std::size_t consume_held() {
    const std::size_t used = consume(held_);
    port_.held_ -= used;
    if (used == held_.size() && held_.capacity() > read_size)
      held_ = std::string();
    else
      held_.erase(0, used);
    return used;
  }

  void finish_turn() {
    if (port_.held_ > held_max && held_.size() > read_size) return close();
    flush();
    // What was held back for want of room, now that all is sent.
    while (!closed_ && !writing_ && !held_.empty() && !session_.held_back() &&
           !session_.closing() && consume_held() > 0)
      flush();
    if (closed_) return;
    if (session_.closing()) {
      if (!writing_ && session_.open() == 0) close();
      return;
    }
    // A peer that does not take its replies gets no further ones made.
    if (!session_.held_back() && !reading_ && !writing_) wait_to_read();
  }

  /// Sends what is ready: at once if the socket takes it, which it does unless the peer is slow.
  void flush() {
    if (writing_ || session_.replies().ready().empty()) return;
    out_.clear();
    session_.replies().take_ready(out_);
    error_code error;
    const std::size_t sent = socket_.write_some(asio::buffer(out_), error);
    if (!error && sent == out_.size()) return shrink();
    if (error && error != asio::error::would_block && error != asio::error::try_again)
      return close();
    // Only what is left is kept: most of a long reply is in the socket by now.
    out_ = out_.substr(error ? 0 : sent);
    const std::size_t rest = out_.size();
    if (port_.unsent_ + rest > unsent_max) return close();
    port_.unsent_ += rest;
    writing_ = true;
    asio::async_write(socket_, asio::buffer(out_), [this, rest](error_code problem, std::size_t) {
      writing_ = false;
      port_.unsent_ -= rest;
      if (out_.capacity() > read_size) out_ = std::string();
      if (problem || closed_) return close();
      go_on();
    });
  }

  void shrink() {
    if (out_.capacity() > read_size) out_ = std::string();
  }

  /// After room was made: requests may be waiting.
  void go_on() {
    progress_ = std::chrono::steady_clock::now();
    finish_turn();
  }

  /// A write was acknowledged.  Several come in one turn of the loop: one flush for all.
  void wake() {
    if (std::exchange(woken_, true)) return;
    asio::post(port_.executor_, [this] {
      woken_ = false;
      if (closed_) return release();
      go_on();
    });
  }

  void release() {
    if (!closed_ || reading_ || writing_ || woken_ || session_.open() > 0) return;
    // Not from within our own functions.
    if (!std::exchange(removing_, true))
      asio::post(port_.executor_, [this] { port_.remove(self_); });
  }

  Impl& port_;
  tcp::socket socket_;
  RedisSession session_;
  Connections::iterator self_;
  std::string held_;
  std::string out_;
  Instant since_, progress_ = since_;
  bool reading_ = false, writing_ = false, woken_ = false, closed_ = false, removing_ = false;
};

Result<std::uint16_t> RedisPort::Impl::listen(std::string_view address) {
  auto access = Access::load(options_.password_file);
  if (!access) return access.error();
  access_ = *access;
  const auto endpoint = parse_endpoint(address);
  if (!endpoint) return endpoint.error();
  if (auto allowed = access_.may_listen(endpoint->address); !allowed) return allowed.error();
  listeners_.emplace_back(executor_, [this](tcp::socket socket) { accepted(std::move(socket)); });
  auto port = listeners_.back().open(*endpoint, "--resp-port");
  if (!port) {
    listeners_.pop_back();
    return port;
  }
  service_.port = *port;
  if (!std::exchange(sweeping_, true)) sweep();
  return port;
}

void RedisPort::Impl::accepted(tcp::socket socket) {
  error_code ignored;
  socket.non_blocking(true, ignored);
  socket.set_option(tcp::no_delay(true), ignored);
  ++counters_.connections;
  connections_.emplace_back(*this, std::move(socket), ++last_id_);
  const auto connection = std::prev(connections_.end());
  counters_.clients = connections_.size();
  std::size_t strangers = 0;
  if (access_.has_password())
    for (const Connection& each : connections_) strangers += each.authenticated() ? 0 : 1;
  connection->start(connection);
  if (connections_.size() <= clients_max && strangers <= strangers_max) return;
  ++counters_.rejected;
  connection->reject("-ERR max number of clients reached\r\n");
}

void RedisPort::Impl::sweep() {
  sweep_.expires_after(1s);
  sweep_.async_wait([this](error_code error) {
    if (error || stopping_) {
      sweeping_ = false;
      if (drained_ && connections_.empty()) drained_();
      return;
    }
    const auto now = std::chrono::steady_clock::now();
    for (auto each = connections_.begin(); each != connections_.end();) (each++)->check(now);
    sweep();
  });
}

void RedisPort::Impl::remove(Connections::iterator connection) {
  held_ -= connection->held();
  connections_.erase(connection);
  counters_.clients = connections_.size();
  if (stopping_ && !sweeping_ && connections_.empty() && drained_) drained_();
}

asio::awaitable<void> RedisPort::Impl::stop() {
  stopping_ = true;
  for (Listener& listener : listeners_) co_await listener.close();
  listeners_.clear();
  for (auto each = connections_.begin(); each != connections_.end();) (each++)->close();
  asio::steady_timer drained(executor_, asio::steady_timer::time_point::max());
  drained_ = [&drained] { drained.cancel(); };
  sweep_.cancel();
  while (sweeping_ || !connections_.empty()) {
    error_code ignored;
    co_await drained.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  drained_ = nullptr;
}

RedisPort::RedisPort(asio::any_io_executor executor, Parts parts, PortOptions options)
    : impl_(std::make_unique<Impl>(std::move(executor), parts, std::move(options))) {}
RedisPort::~RedisPort() = default;

Result<std::uint16_t> RedisPort::listen(std::string_view address) { return impl_->listen(address); }
asio::awaitable<void> RedisPort::stop() { return impl_->stop(); }

}  // namespace muster::app
