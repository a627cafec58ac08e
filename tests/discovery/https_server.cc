// SPDX-License-Identifier: MIT
#include "discovery/https_server.h"

#include <algorithm>
#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <cctype>
#include <deque>
#include <mutex>
#include <set>
#include <thread>

namespace muster::test {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using namespace asio::experimental::awaitable_operators;

constexpr auto await_tuple = asio::as_tuple(asio::use_awaitable);

std::string chunk_of(const std::string& text) {
  constexpr const char* digits = "0123456789abcdef";
  std::string size;
  for (std::size_t rest = text.size(); rest > 0; rest /= 16) size.insert(0, 1, digits[rest % 16]);
  return size + "\r\n" + text + "\r\n";
}

const std::string last_chunk = "0\r\n\r\n";

std::string head_of(const HttpsServer::Reply& reply) {
  std::string head = "HTTP/1.1 " + std::to_string(reply.status) + " Status\r\n";
  for (const auto& [name, value] : reply.headers) head += name + ": " + value + "\r\n";
  const bool is_chunked = reply.stays_open || !reply.chunks.empty();
  head += is_chunked ? "Transfer-Encoding: chunked"
                     : "Content-Length: " + std::to_string(reply.body.size());
  return head + "\r\n\r\n";
}

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char letter) {
    return static_cast<char>(std::tolower(letter));
  });
  return text;
}

HttpsServer::Request read_head(std::string_view head) {
  HttpsServer::Request request;
  const auto next = [&head](std::string_view end) {
    const std::size_t at = std::min(head.find(end), head.size());
    const std::string part(head.substr(0, at));
    head.remove_prefix(std::min(at + end.size(), head.size()));
    return part;
  };
  request.method = next(" ");
  request.target = next(" ");
  next("\r\n");
  while (!head.empty() && !head.starts_with("\r\n")) {
    const std::string name = lower(next(":"));
    std::string value = next("\r\n");
    value.erase(0, value.find_first_not_of(' '));
    request.headers[name] = value;
  }
  return request;
}

struct Connection {
  Connection(tcp::socket accepted, asio::ssl::context& context, bool has_tls)
      : socket(std::move(accepted)), wake(socket.get_executor()) {
    if (has_tls) tls.emplace(socket, context);
  }

  asio::awaitable<error_code> write(std::string_view bytes) {
    error_code error;
    if (tls) {
      const auto [failure, size] =
          co_await asio::async_write(*tls, asio::buffer(bytes), await_tuple);
      error = failure;
    } else {
      const auto [failure, size] =
          co_await asio::async_write(socket, asio::buffer(bytes), await_tuple);
      error = failure;
    }
    co_return error;
  }
  asio::awaitable<error_code> read() {
    std::array<char, 4096> piece;
    error_code error;
    std::size_t size = 0;
    if (tls) {
      const auto [failure, read] = co_await tls->async_read_some(asio::buffer(piece), await_tuple);
      error = failure;
      size = read;
    } else {
      const auto [failure, read] =
          co_await socket.async_read_some(asio::buffer(piece), await_tuple);
      error = failure;
      size = read;
    }
    received.append(piece.data(), size);
    co_return error;
  }
  asio::awaitable<void> woken() {
    wake.expires_at(asio::steady_timer::time_point::max());
    co_await wake.async_wait(await_tuple);
  }

  tcp::socket socket;
  std::optional<asio::ssl::stream<tcp::socket&>> tls;
  asio::steady_timer wake;
  std::string received;
  std::deque<std::string> outbox;  // Chunks of a stream; an empty one breaks it.
  std::size_t number = 0;
  bool is_streaming = false;
  bool is_idle = true;
};

}  // namespace

class HttpsServer::Machinery {
 public:
  Machinery(Script script, const Options& options)
      : script_(std::move(script)),
        has_tls_(options.tls.has_value()),
        host_(options.address == "::1" ? "[::1]" : options.address) {
    if (options.tls) {
      context_.use_certificate_chain(asio::buffer(options.tls->pem));
      context_.use_private_key(asio::buffer(options.tls->key), asio::ssl::context::pem);
    }
    if (!options.wants_client_of.empty()) {
      context_.add_certificate_authority(asio::buffer(options.wants_client_of));
      context_.set_verify_mode(asio::ssl::verify_peer | asio::ssl::verify_fail_if_no_peer_cert);
    }
    tcp::acceptor acceptor(io_, {asio::ip::make_address(options.address), options.port});
    port_ = acceptor.local_endpoint().port();
    asio::co_spawn(io_, accept(std::move(acceptor)), [](const std::exception_ptr&) {});
    thread_ = std::thread([this] { io_.run(); });
  }
  ~Machinery() {
    io_.stop();
    thread_.join();
  }
  Machinery(const Machinery&) = delete;
  Machinery& operator=(const Machinery&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] std::string url() const {
    return (has_tls_ ? "https://" : "http://") + host_ + ":" + std::to_string(port_);
  }
  [[nodiscard]] std::vector<Request> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }
  [[nodiscard]] std::size_t open_streams() const { return open_streams_; }

  template <class Work>
  void with_streams(Work work) {
    asio::post(io_, [this, work = std::move(work)] {
      for (Connection* connection : connections_) {
        if (!connection->is_streaming) continue;
        work(*connection);
        connection->wake.cancel();
      }
    });
  }
  void close_idle_ones() {
    asio::post(io_, [this] {
      for (Connection* connection : connections_) {
        error_code ignored;
        if (connection->is_idle) connection->socket.close(ignored);
      }
    });
  }

 private:
  asio::awaitable<void> accept(tcp::acceptor acceptor) {
    std::size_t number = 0;
    while (true) {
      auto [error, socket] = co_await acceptor.async_accept(await_tuple);
      if (error) continue;
      socket.set_option(tcp::no_delay(true));
      asio::co_spawn(io_, serve(std::move(socket), ++number), [](const std::exception_ptr&) {});
    }
  }

  asio::awaitable<void> serve(tcp::socket socket, std::size_t number) {
    Connection connection(std::move(socket), context_, has_tls_);
    connection.number = number;
    const Registration registration(connections_, connection);
    if (has_tls_) {
      const auto [error] =
          co_await connection.tls->async_handshake(asio::ssl::stream_base::server, await_tuple);
      if (error) co_return;
    }
    while (co_await serve_one(connection)) {
    }
  }

  asio::awaitable<bool> serve_one(Connection& connection) {
    auto request = co_await read_request(connection);
    if (!request) co_return false;
    connection.is_idle = false;
    request->connection = connection.number;
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(*request);
    }
    const Reply reply = script_(*request);
    if (reply.delay.count() > 0) {
      connection.wake.expires_after(reply.delay);
      co_await connection.wake.async_wait(await_tuple);
    }
    if (reply.breaks) co_return false;
    const error_code error = co_await answer(connection, reply);
    connection.is_idle = true;
    co_return !error && reply.raw.empty() && !reply.closes;
  }

  asio::awaitable<std::optional<Request>> read_request(Connection& connection) {
    std::size_t head_size = std::string::npos;
    while ((head_size = connection.received.find("\r\n\r\n")) == std::string::npos) {
      const error_code error = co_await connection.read();
      if (error) co_return std::nullopt;
    }
    head_size += 4;
    Request request = read_head(std::string_view(connection.received).substr(0, head_size));
    const auto length = request.headers.find("content-length");
    const std::size_t size = length == request.headers.end() ? 0 : std::stoul(length->second);
    while (connection.received.size() < head_size + size) {
      const error_code error = co_await connection.read();
      if (error) co_return std::nullopt;
    }
    request.body = connection.received.substr(head_size, size);
    connection.received.erase(0, head_size + size);
    co_return request;
  }

  asio::awaitable<error_code> answer(Connection& connection, const Reply& reply) {
    std::string text = reply.raw;
    if (text.empty()) {
      text = head_of(reply) + reply.body;
      for (const std::string& chunk : reply.chunks) text += chunk_of(chunk);
      if (!reply.chunks.empty() && !reply.stays_open) text += last_chunk;
    }
    connection.is_streaming = reply.stays_open;
    open_streams_ += reply.stays_open ? 1 : 0;
    error_code error = co_await connection.write(text);
    if (!error && reply.stays_open) error = co_await stream(connection);
    open_streams_ -= reply.stays_open ? 1 : 0;
    connection.is_streaming = false;
    co_return error;
  }

  asio::awaitable<error_code> stream(Connection& connection) {
    error_code error;
    bool is_last = false;
    while (!error && !is_last) {
      if (connection.outbox.empty()) {
        auto event = co_await (connection.woken() || connection.read());
        if (event.index() == 1) error = std::get<1>(event);
        continue;
      }
      const std::string chunk = std::move(connection.outbox.front());
      connection.outbox.pop_front();
      is_last = chunk == last_chunk;
      if (chunk.empty())
        error = asio::error::connection_aborted;
      else
        error = co_await connection.write(chunk);
    }
    co_return error;
  }

  class Registration {
   public:
    Registration(std::set<Connection*>& all, Connection& one) : all_(all), one_(&one) {
      all_.insert(one_);
    }
    ~Registration() { all_.erase(one_); }
    Registration(const Registration&) = delete;
    Registration& operator=(const Registration&) = delete;

   private:
    std::set<Connection*>& all_;
    Connection* one_;
  };

  const Script script_;
  const bool has_tls_;
  const std::string host_;
  std::uint16_t port_ = 0;
  asio::ssl::context context_{asio::ssl::context::tls_server};
  mutable std::mutex mutex_;
  std::vector<Request> requests_;
  std::atomic<std::size_t> open_streams_ = 0;
  std::set<Connection*> connections_;
  std::thread thread_;
  asio::io_context io_{1};  // Last: what it still holds when it goes uses all the others.
};

HttpsServer::HttpsServer(Script script) : HttpsServer(std::move(script), Options()) {}
HttpsServer::HttpsServer(Script script, Options options)
    : machinery_(std::make_unique<Machinery>(std::move(script), options)) {}
HttpsServer::~HttpsServer() = default;

std::uint16_t HttpsServer::port() const { return machinery_->port(); }
std::string HttpsServer::url() const { return machinery_->url(); }
std::vector<HttpsServer::Request> HttpsServer::requests() const { return machinery_->requests(); }
std::vector<std::string> HttpsServer::targets() const {
  std::vector<std::string> targets;
  for (const Request& request : requests())
    targets.push_back(request.method + " " + request.target);
  return targets;
}
std::size_t HttpsServer::open_streams() const { return machinery_->open_streams(); }

void HttpsServer::push(std::string chunk) {
  machinery_->with_streams(
      [chunk = chunk_of(chunk)](Connection& connection) { connection.outbox.push_back(chunk); });
}
void HttpsServer::end_streams() {
  machinery_->with_streams([](Connection& connection) { connection.outbox.push_back(last_chunk); });
}
void HttpsServer::break_streams() {
  machinery_->with_streams([](Connection& connection) { connection.outbox.emplace_back(); });
}
void HttpsServer::close_idle_ones() { machinery_->close_idle_ones(); }

}  // namespace muster::test
