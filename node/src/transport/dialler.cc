// SPDX-License-Identifier: MIT
// See dialler.h.
#include "transport/dialler.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/write.hpp>
#include <sstream>
#include <utility>

namespace muster::node {
namespace {

using discovery::DialProblem;

}  // namespace

std::string to_text(const tcp::endpoint& endpoint) {
  std::ostringstream text;
  text << endpoint;
  return text.str();
}

Dialler::Dialler(const Strand& strand, TaskGroup& tasks, std::uint16_t mapper_port)
    : strand_(strand),
      mapper_port_(mapper_port),
      socket_(strand),
      resolver_(strand),
      watchdog_(strand, tasks, [this] { cancel(); }) {}

asio::awaitable<Result<Socket>> Dialler::connect(const Peer& peer, Duration deadline) {
  watchdog_.start(deadline);
  const std::string host(peer.name.host());
  const std::string first = peer.address.empty() ? host : peer.address;
  auto addresses = co_await resolve(first);
  bool connected = addresses && co_await try_addresses(peer, *addresses);
  if (!connected && !cancelled_ && first != host) {  // The address may be one of before.
    auto others = co_await resolve(host);
    if (others) {
      std::erase_if(*others, [&](const asio::ip::address& address) {
        return addresses &&
               std::find(addresses->begin(), addresses->end(), address) != addresses->end();
      });
      connected = co_await try_addresses(peer, *others);
    }
  }
  const bool late = watchdog_.bitten();
  watchdog_.stop();
  if (connected && !cancelled_) co_return std::move(socket_);
  if (late) {
    problem_ = DialProblem::timed_out;
    failure_ = fmt::format("timed out ({})", remote_.empty() ? "looking up " + first : remote_);
  }
  Error error;
  error.code = code_;
  error.detail = fmt::format("{}: {}", peer.name.text(), failure_);
  co_return error;
}

void Dialler::cancel() {
  cancelled_ = true;
  error_code ignored;
  socket_.close(ignored);
  resolver_.cancel();
}

void Dialler::failed(DialProblem problem, std::string text) {
  problem_ = problem;
  failure_ = std::move(text);
}

void Dialler::failed(const error_code& error, const std::string& where) {
  std::string reason = error.message();
  std::transform(reason.begin(), reason.begin() + 1, reason.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  Error whole;
  whole.code = error;
  code_ = error;
  failed(discovery::DialOutcome::failed(whole).problem, fmt::format("{} ({})", reason, where));
}

asio::awaitable<Result<Addresses>> Dialler::resolve(std::string host) {
  auto addresses = co_await resolver_.resolve(host);
  if (!addresses) {
    code_ = addresses.error().code;
    failed(DialProblem::unresolved, addresses.error().text());
  }
  co_return addresses;
}

asio::awaitable<bool> Dialler::try_addresses(const Peer& peer, const Addresses& addresses) {
  for (const auto& address : addresses) {
    if (cancelled_) break;
    if (co_await try_address(peer, address)) co_return true;
  }
  co_return false;
}

asio::awaitable<bool> Dialler::try_address(const Peer& peer, asio::ip::address address) {
  if (peer.port != 0) {
    const tcp::endpoint endpoint(address, peer.port);
    const auto error = co_await try_endpoint(endpoint);
    if (!error) co_return true;
    failed(error, to_text(endpoint));
    // Somebody there refuses: perhaps it was restarted and has another port now.
    if (error != asio::error::connection_refused || cancelled_) co_return false;
  }
  const auto problem = problem_;
  const auto failure = failure_;
  const std::uint16_t port = co_await ask_port(peer, address);
  if (port == 0 || port == peer.port) {
    if (peer.port != 0) failed(problem, failure);
    co_return false;
  }
  const tcp::endpoint endpoint(address, port);
  const auto error = co_await try_endpoint(endpoint);
  if (error) failed(error, to_text(endpoint));
  co_return !error;
}

asio::awaitable<error_code> Dialler::try_endpoint(tcp::endpoint endpoint) {
  remote_ = to_text(endpoint);
  error_code ignored;
  socket_.close(ignored);
  if (cancelled_) co_return asio::error::operation_aborted;
  const auto [error] = co_await socket_.async_connect(endpoint, await_tuple);
  co_return cancelled_ ? error_code(asio::error::operation_aborted) : error;
}

/// 0 when there is none; problem and failure say why.
asio::awaitable<std::uint16_t> Dialler::ask_port(const Peer& peer, asio::ip::address address) {
  tcp::endpoint mapper(address, mapper_port_);
  const std::string name(peer.name.base());
  auto answer = co_await ask_mapper(name, mapper);
  const auto local = asio::ip::address(asio::ip::address_v4::loopback());
  if (!answer && address.is_loopback() && address != local && !cancelled_) {
    // One port mapper serves all addresses of this host, but need not listen on each.
    mapper.address(local);
    answer = co_await ask_mapper(name, mapper);
  }
  const std::string where = to_text(mapper);
  if (!answer) {
    failed(answer.error().code, "port mapper at " + where);
    co_return 0;
  }
  if (!answer->node) {
    failed(DialProblem::not_registered,
           fmt::format("no node '{}' registered at {} ({})", name, peer.name.host(), where));
    co_return 0;
  }
  if (!answer->node->is_ours()) {
    failed(DialProblem::not_registered,
           fmt::format("'{}' at {} is not a muster node ({})", name, peer.name.host(), where));
    co_return 0;
  }
  co_return answer->node->port;
}

asio::awaitable<Result<port_mapper::PortAnswer>> Dialler::ask_mapper(std::string name,
                                                                     tcp::endpoint mapper) {
  Error failure;
  failure.code = co_await try_endpoint(mapper);
  if (failure.code) co_return failure;
  port_mapper::PortRequest question;
  question.name = std::move(name);
  const std::string request = port_mapper::encode(port_mapper::Request(question));
  const auto [unsent, sent] =
      co_await asio::async_write(socket_, asio::buffer(request), await_tuple);
  failure.code = unsent;
  std::string bytes;
  std::string piece(1024, '\0');
  while (!failure.code) {
    const auto [error, count] = co_await socket_.async_read_some(asio::buffer(piece), await_tuple);
    failure.code = error;
    bytes.append(piece, 0, count);
    const auto answer = port_mapper::decode_port_answer(bytes);
    if (!answer) co_return answer.error();
    if (*answer) co_return **answer;
  }
  co_return failure;
}

}  // namespace muster::node
