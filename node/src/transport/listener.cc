// SPDX-License-Identifier: MIT
//
// The accepting half of the transport (transport.h).
#include <fmt/format.h>

#include <boost/assert.hpp>
#include <utility>

#include "transport/open_acceptor.h"
#include "transport/transport.h"

// g++ 12 sees the allocation of a coroutine's frame and not its release, and takes them for a
// mismatch (with sanitizers on).
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"

namespace muster::node {
namespace {

constexpr Duration accept_pause = std::chrono::milliseconds(100);
constexpr int ephemeral_attempts = 16;

}  // namespace

Result<std::uint16_t> Transport::listen(const std::vector<asio::ip::address>& addresses,
                                        PortRange ports) {
  BOOST_ASSERT(!addresses.empty() && acceptors_.empty());
  Error last;
  const int attempts = ports.first == 0 ? ephemeral_attempts : ports.last - ports.first + 1;
  for (int attempt = 0; attempt < attempts; ++attempt) {
    const int port = ports.first == 0 ? 0 : ports.first + attempt;
    auto got = listen_at(addresses, static_cast<std::uint16_t>(port));
    if (got) return got;
    last = got.error();
    acceptors_.clear();
    listening_.clear();
    if (last.code != boost::system::errc::address_in_use) break;
  }
  last.detail = fmt::format("--link-port {}: cannot listen on {}", ports.text(), last.detail);
  return last;
}

Result<std::uint16_t> Transport::listen_at(const std::vector<asio::ip::address>& addresses,
                                           std::uint16_t port) {
  for (const auto& address : addresses) {
    acceptors_.emplace_back(strand_);
    const tcp::endpoint endpoint(address, port);
    error_code error = open_acceptor(acceptors_.back(), endpoint);
    if (error && !listening_.empty() && not_on_this_host(error)) {
      acceptors_.pop_back();
      continue;
    }
    if (error) return Error{error, to_text(endpoint)};
    listening_.push_back(acceptors_.back().local_endpoint(error));
    port = listening_.front().port();  // All others follow the first.
  }
  return port;
}

void Transport::accept() {
  for (Acceptor& acceptor : acceptors_) tasks_.spawn(accept_all(acceptor));
}

asio::awaitable<void> Transport::accept_all(Acceptor& acceptor) {
  while (!stopping_) {
    Socket socket(strand_);
    tcp::endpoint remote;
    const auto [error] = co_await acceptor.async_accept(socket, remote, await_tuple);
    if (stopping_ || !acceptor.is_open()) break;
    if (!error) {
      make_room(remote.address());
      tasks_.spawn(serve(std::move(socket), remote));
      continue;
    }
    // Somebody who went away again, or no file descriptor left.
    if (error == asio::error::connection_aborted) continue;
    if (said_.news("accept", error.message(), std::chrono::steady_clock::now())) {
      log_.error("cannot accept links: {}", error.message());
    }
    accept_pause_.expires_after(accept_pause);
    (void)co_await accept_pause_.async_wait(await_tuple);
  }
}

/// Whoever waited longest gives way: honest peers are through within milliseconds.
void Transport::make_room(const asio::ip::address& address) {
  std::size_t same = 0;
  for (const Unproved& other : unproved_) same += other.address == address ? 1 : 0;
  const bool crowded = same >= options_.unproved_per_address_max;
  if (!crowded && unproved_.size() < options_.unproved_max) return;
  for (auto other = unproved_.begin(); other != unproved_.end(); ++other) {
    if (crowded && other->address != address) continue;
    other->link->abort("gave way to newer connections");
    unproved_.erase(other);
    return;
  }
}

asio::awaitable<void> Transport::serve(Socket socket, tcp::endpoint remote) {
  Connection link(strand_, std::move(socket), tls_, TlsContext::Role::acceptor, to_text(remote),
                  scratch_);
  all_.insert(&link);
  unproved_.push_back({remote.address(), &link});
  auto proved = co_await link.handshake(options_.handshake_deadline);
  unproved_.remove_if([&](const Unproved& other) { return other.link == &link; });
  if (!proved) {
    if (!stopping_) say_refused(remote.address().to_string(), link, proved.error().detail);
  } else if (!stopping_) {
    accepting_ = &link;
    link.id = owner_.accepted(link.remote());
    if (accepting_ != nullptr) (void)find(link.id);
    co_await run_link(link);
  }
  co_await link.finish();
  all_.erase(&link);
}

}  // namespace muster::node
