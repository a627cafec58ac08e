// SPDX-License-Identifier: MIT
// See server.h.
#include "port_mapper/server.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <utility>

#include "transport/open_acceptor.h"
#include "watchdog.h"

namespace muster::node {
namespace {

using namespace port_mapper;
constexpr Duration request_deadline = std::chrono::seconds(5);
constexpr Duration accept_pause = std::chrono::milliseconds(100);

template <class... Handlers>
struct Overloaded : Handlers... {
  using Handlers::operator()...;
};
template <class... Handlers>
Overloaded(Handlers...) -> Overloaded<Handlers...>;

}  // namespace

PortMapperServer::PortMapperServer(const Strand& strand, Log log)
    : strand_(strand), log_(std::move(log)), tasks_(strand), accept_pause_(strand) {}

Result<void> PortMapperServer::listen(const std::vector<asio::ip::address>& addresses,
                                      std::uint16_t port) {
  port_ = port;
  for (const auto& address : addresses) {
    acceptors_.emplace_back(strand_);
    const error_code error = open_acceptor(acceptors_.back(), tcp::endpoint(address, port));
    if (!error) continue;
    acceptors_.pop_back();
    if (!acceptors_.empty()) continue;
    Error failure;
    failure.code = error;
    return failure;
  }
  for (Acceptor& acceptor : acceptors_) tasks_.spawn(accept_all(acceptor));
  return {};
}

void PortMapperServer::add_own(Registration node) {
  const std::string name = node.name;
  nodes_[name] = std::move(node);
}

asio::awaitable<void> PortMapperServer::stop() {
  stopping_ = true;
  error_code ignored;
  accept_pause_.cancel();
  for (Acceptor& acceptor : acceptors_) acceptor.close(ignored);
  for (Socket* socket : unregistered_) socket->close(ignored);
  for (Socket* socket : registered_) socket->close(ignored);
  co_await tasks_.wait();
}

asio::awaitable<void> PortMapperServer::accept_all(Acceptor& acceptor) {
  while (!stopping_) {
    Socket socket(strand_);
    const auto [error] = co_await acceptor.async_accept(socket, await_tuple);
    if (stopping_) break;
    if (!error) {
      if (unregistered_.size() >= unregistered_max) {
        error_code ignored;
        unregistered_.front()->close(ignored);
        unregistered_.pop_front();
      }
      tasks_.spawn(serve(std::move(socket)));
      continue;
    }
    accept_pause_.expires_after(accept_pause);
    (void)co_await accept_pause_.async_wait(await_tuple);
  }
}

asio::awaitable<void> PortMapperServer::serve(Socket socket) {
  error_code unknown;
  const auto remote = socket.remote_endpoint(unknown);
  const bool local = !unknown && remote.address().is_loopback();
  unregistered_.push_back(&socket);
  error_code ignored;
  Watchdog watchdog(strand_, tasks_, [&] { socket.close(ignored); });
  watchdog.start(request_deadline);
  std::string bytes;
  std::string piece(max_request + 2, '\0');
  while (!stopping_ && socket.is_open()) {
    const auto [error, count] = co_await socket.async_read_some(asio::buffer(piece), await_tuple);
    if (error) break;
    bytes.append(piece, 0, count);
    const auto request = decode_request(bytes);
    if (!request) {
      log_.debug("port mapper: a request makes no sense: {}", request.error().text());
      break;
    }
    if (!*request) continue;
    watchdog.stop();
    const Request question = (*request)->request;
    const bool registered = co_await answer(socket, local, question);
    if (!registered) break;
    // Whatever it says now is ignored; its end is what counts.
    while (socket.is_open()) {
      const auto [end, more] = co_await socket.async_read_some(asio::buffer(piece), await_tuple);
      if (end) break;
    }
    nodes_.erase(std::get<AliveRequest>(question).node.name);
    break;
  }
  watchdog.stop();
  unregistered_.remove(&socket);
  registered_.remove(&socket);
}

/// True when the connection now is a registration.
asio::awaitable<bool> PortMapperServer::answer(Socket& socket, bool local, const Request& request) {
  bool registered = false;
  const std::string reply =
      std::visit(Overloaded{[&](const NamesRequest&) { return encode(names()); },
                            [&](const PortRequest& question) {
                              PortAnswer found;
                              const auto node = nodes_.find(question.name);
                              if (node != nodes_.end()) found.node = node->second;
                              return encode(found);
                            },
                            [&](const AliveRequest& alive) {
                              const AliveAnswer added = add(alive.node, local);
                              registered = added.ok;
                              return encode(added);
                            }},
                 request);
  if (registered) {
    unregistered_.remove(&socket);
    registered_.push_back(&socket);
  }
  (void)co_await asio::async_write(socket, asio::buffer(reply), await_tuple);
  co_return registered;
}

AliveAnswer PortMapperServer::add(const Registration& node, bool local) {
  AliveAnswer result;
  result.extended = node.highest >= 6;
  const bool room = nodes_.size() < registrations_max;
  result.ok = local && room && node.port != 0 && nodes_.try_emplace(node.name, node).second;
  if (result.ok) result.creation = last_creation_ = last_creation_ % 0xffff + 1;
  return result;
}

NamesAnswer PortMapperServer::names() const {
  NamesAnswer all;
  all.mapper_port = port_;
  for (const auto& [name, node] : nodes_) {
    NamedPort entry;
    entry.name = name;
    entry.port = node.port;
    all.names.push_back(std::move(entry));
  }
  return all;
}

}  // namespace muster::node
