// SPDX-License-Identifier: MIT
#include "muster/discovery/port_mapper_client.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <functional>
#include <memory>
#include <variant>

// g++ 12 takes Asio's own operator delete of coroutine frames for a foreign one when it inlines.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"

namespace muster::port_mapper {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using namespace asio::experimental::awaitable_operators;

constexpr auto await_tuple = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t most_names_looked_at = 256;

struct Mapper {
  std::string host;
  std::uint16_t port;

  [[nodiscard]] Error failed(error_code code) const {
    return {code, "port mapper at " + host + ":" + std::to_string(port)};
  }
};

/// Whether the bytes so far are the whole answer.
using IsWhole = std::function<bool(std::string_view)>;

using Endpoints = std::vector<tcp::endpoint>;

/// One lookup.  The system cannot be interrupted in it, so one that hangs is left behind at the
/// deadline; it keeps nothing but itself alive.
struct Lookup {
  explicit Lookup(const asio::any_io_executor& executor)
      : resolver(executor), done(executor, asio::steady_timer::time_point::max()) {}

  tcp::resolver resolver;
  asio::steady_timer done;
  error_code error = asio::error::operation_aborted;
  Endpoints endpoints;
};

asio::awaitable<Result<Endpoints>> look_up(const Mapper& mapper) {
  const auto executor = co_await asio::this_coro::executor;
  const auto lookup = std::make_shared<Lookup>(executor);
  auto keep = [lookup](error_code error, const tcp::resolver::results_type& found) {
    lookup->error = error;
    for (const auto& entry : found) lookup->endpoints.push_back(entry.endpoint());
    lookup->done.cancel();
  };
  lookup->resolver.async_resolve(mapper.host, std::to_string(mapper.port), std::move(keep));
  co_await lookup->done.async_wait(await_tuple);
  if (lookup->error) co_return mapper.failed(lookup->error);
  co_return lookup->endpoints;
}

asio::awaitable<Result<tcp::socket>> connect(const Mapper& mapper) {
  const auto executor = co_await asio::this_coro::executor;
  tcp::socket socket(executor);
  Endpoints endpoints;
  error_code not_literal;
  const auto address = asio::ip::make_address(mapper.host, not_literal);
  if (!not_literal) {
    endpoints.emplace_back(address, mapper.port);
  } else {
    auto found = co_await look_up(mapper);
    if (!found) co_return found.error();
    endpoints = std::move(*found);
  }
  auto [error, endpoint] = co_await asio::async_connect(socket, endpoints, await_tuple);
  if (error) co_return mapper.failed(error);
  co_return std::move(socket);
}

asio::awaitable<Result<std::string>> exchange(const Mapper& mapper, std::string request,
                                              const IsWhole& is_whole) {
  auto connected = co_await connect(mapper);
  if (!connected) co_return connected.error();
  tcp::socket& socket = *connected;
  auto [write_error, written] =
      co_await asio::async_write(socket, asio::buffer(request), await_tuple);
  if (write_error) co_return mapper.failed(write_error);
  std::string answer;
  while (!is_whole(answer)) {
    std::array<char, 4096> piece;
    auto [error, size] = co_await socket.async_read_some(asio::buffer(piece), await_tuple);
    answer.append(piece.data(), size);
    if (error == asio::error::eof) break;
    if (error) co_return mapper.failed(error);
    if (answer.size() > max_names_answer) co_return mapper.failed(asio::error::message_size);
  }
  co_return answer;
}

asio::awaitable<void> time_passes(Duration duration) {
  const auto executor = co_await asio::this_coro::executor;
  asio::steady_timer timer(executor, duration);
  co_await timer.async_wait(asio::use_awaitable);
}

asio::awaitable<Result<std::string>> exchange_within(Mapper mapper, std::string request,
                                                     IsWhole is_whole, Duration within) {
  auto exchanged = co_await (exchange(mapper, std::move(request), is_whole) || time_passes(within));
  if (exchanged.index() == 1) co_return mapper.failed(asio::error::timed_out);
  co_return std::get<0>(std::move(exchanged));
}

bool ends_with_the_connection(std::string_view) { return false; }

bool is_port_answer(std::string_view bytes) {
  const auto decoded = decode_port_answer(bytes);
  return !decoded || decoded->has_value();
}

}  // namespace

asio::awaitable<Result<NamesAnswer>> names(std::string host, std::uint16_t mapper_port,
                                           Duration within) {
  Mapper mapper{std::move(host), mapper_port};
  IsWhole is_whole = ends_with_the_connection;
  std::string request = encode(Request(NamesRequest{}));
  const auto answer =
      co_await exchange_within(mapper, std::move(request), std::move(is_whole), within);
  if (!answer) co_return answer.error();
  co_return decode_names_answer(*answer);
}

asio::awaitable<Result<std::optional<Registration>>> port_of(std::string host,
                                                             std::uint16_t mapper_port,
                                                             std::string name, Duration within) {
  Mapper mapper{std::move(host), mapper_port};
  IsWhole is_whole = is_port_answer;
  PortRequest question{std::move(name)};
  std::string request = encode(Request(std::move(question)));
  const auto answer =
      co_await exchange_within(mapper, std::move(request), std::move(is_whole), within);
  if (!answer) co_return answer.error();
  auto decoded = decode_port_answer(*answer);
  if (!decoded) co_return decoded.error();
  if (!*decoded) co_return mapper.failed(asio::error::eof);
  co_return std::move((*decoded)->node);
}

asio::awaitable<Result<std::vector<std::string>>> muster_names(std::string host,
                                                               std::uint16_t mapper_port,
                                                               Duration within, KnownNames& known) {
  const Instant deadline = after(std::chrono::steady_clock::now(), within);
  const auto all = co_await names(host, mapper_port, within);
  if (!all) co_return all.error();
  KnownNames now_known;
  std::vector<std::string> ours;
  std::size_t looked_at = 0;
  for (const NamedPort& named : all->names) {
    const auto before = known.find(named.name);
    KnownName found{.port = named.port};
    if (before != known.end() && before->second.port == named.port) {
      found = before->second;
    } else {
      if (++looked_at > most_names_looked_at) continue;
      const Duration left = deadline - std::chrono::steady_clock::now();
      const auto node = co_await port_of(host, mapper_port, named.name, left);
      if (!node) co_return node.error();
      if (!*node) continue;  // Gone meanwhile.
      found.is_ours = (*node)->is_ours();
    }
    now_known.insert_or_assign(named.name, found);
    if (found.is_ours) ours.push_back(named.name);
  }
  known = std::move(now_known);
  co_return ours;
}

}  // namespace muster::port_mapper
