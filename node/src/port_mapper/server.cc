// SPDX-License-Identifier: MIT
// See server.h.
#include "port_mapper/server.h"

#include <fmt/format.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <cassert>
#include <chrono>
#include <utility>

#include "transport/open_acceptor.h"
#include "watchdog.h"

namespace muster::node {
namespace {

using namespace port_mapper;
constexpr Duration accept_pause = std::chrono::milliseconds(100);

/// A port mapper that takes over must not give the numbers of the one before it again.
std::uint32_t first_creation() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::seconds>(now).count());
}

}  // namespace

PortMapperServer::Connection::Connection(Socket connected) : socket(std::move(connected)) {
  error_code unknown;
  const auto remote = socket.remote_endpoint(unknown);
  if (unknown) return;
  const auto here = socket.local_endpoint(unknown);
  local = !unknown && (remote.address().is_loopback() || remote.address() == here.address());
}

PortMapperServer::PortMapperServer(const Strand& strand, Log log, Options options)
    : strand_(strand),
      log_(std::move(log)),
      options_(std::move(options)),
      tasks_(strand),
      accept_pause_(strand),
      last_creation_(first_creation()) {}

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
  assert(node.is_registrable() && !nodes_.contains(node.name));
  names_size_ += names_line_size(node);
  const std::string name = node.name;
  nodes_[name].node = std::move(node);
}

asio::awaitable<void> PortMapperServer::stop() {
  stopping_ = true;
  error_code ignored;
  accept_pause_.cancel();
  for (Acceptor& acceptor : acceptors_) acceptor.close(ignored);
  for (Connection* connection : unregistered_) connection->socket.close(ignored);
  for (Connection* connection : registered_) connection->socket.close(ignored);
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
        unregistered_.front()->socket.close(ignored);
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
  Connection connection(std::move(socket));
  unregistered_.push_back(&connection);
  error_code ignored;
  Watchdog watchdog(strand_, tasks_, [&] { connection.socket.close(ignored); });
  watchdog.start(options_.deadline);
  const auto request = co_await read_request(connection);
  if (request && !stopping_) {
    watchdog.start(options_.deadline);
    co_await answer(connection, *request);
  }
  watchdog.stop();
  if (!connection.registered.empty()) {
    // It has nothing more to say: a byte ends it as well.
    char byte = 0;
    if (connection.socket.is_open())
      (void)co_await connection.socket.async_read_some(asio::buffer(&byte, 1), await_tuple);
    forget(connection);
  }
  unregistered_.remove(&connection);
  registered_.remove(&connection);
  if (std::exchange(connection.kills, false)) options_.on_kill();
}

/// Nothing: it did not come, or made no sense.
asio::awaitable<std::optional<Request>> PortMapperServer::read_request(Connection& connection) {
  std::string bytes;
  std::string piece(max_request + 2, '\0');
  while (!stopping_ && connection.socket.is_open()) {
    const auto [error, count] =
        co_await connection.socket.async_read_some(asio::buffer(piece), await_tuple);
    if (error) break;
    bytes.append(piece, 0, count);
    auto decoded = decode_request(bytes);
    if (!decoded) {
      log_.debug("port mapper: a request makes no sense: {}", decoded.error().text());
      break;
    }
    if (!*decoded) continue;
    if ((*decoded)->size < bytes.size()) break;
    co_return std::optional<Request>(std::move((*decoded)->request));
  }
  co_return std::nullopt;
}

asio::awaitable<void> PortMapperServer::answer(Connection& connection, const Request& request) {
  const std::string bytes =
      std::visit([&](const auto& question) { return reply(connection, question); }, request);
  if (!connection.registered.empty()) {
    unregistered_.remove(&connection);
    registered_.push_back(&connection);
  }
  const auto [error, sent] =
      co_await asio::async_write(connection.socket, asio::buffer(bytes), await_tuple);
  error_code ignored;
  if (error) connection.socket.close(ignored);
}

std::string PortMapperServer::reply(Connection&, const NamesRequest&) {
  NamesAnswer all;
  all.mapper_port = port_;
  for (const auto& [name, entry] : nodes_) {
    NamedPort named;
    named.name = name;
    named.port = entry.node.port;
    all.names.push_back(std::move(named));
  }
  return encode(all);
}

std::string PortMapperServer::reply(Connection&, const PortRequest& question) {
  PortAnswer found;
  const auto entry = nodes_.find(question.name);
  if (entry != nodes_.end()) found.node = entry->second.node;
  return encode(found);
}

std::string PortMapperServer::reply(Connection& connection, const AliveRequest& alive) {
  if (!connection.local) return "";
  AliveAnswer result;
  result.extended = alive.node.highest >= 6;
  result.ok = add(connection, alive.node);
  if (result.ok) {
    if ((++last_creation_ & 0xffff) == 0) ++last_creation_;  // Old nodes read 16 bits of it.
    result.creation = last_creation_;
  }
  return encode(result);
}

std::string PortMapperServer::reply(Connection& connection, const DumpRequest&) {
  if (!connection.local) return "";
  NamesAnswer none;
  none.mapper_port = port_;
  std::string text = encode(none);
  for (auto& [name, entry] : nodes_) {
    const int descriptor = entry.connection ? entry.connection->socket.native_handle() : -1;
    text += fmt::format("active name     <{}> at port {}, fd = {}\n", name, entry.node.port,
                        descriptor);
    text += '\0';  // As epmd has it.
  }
  return text;
}

std::string PortMapperServer::reply(Connection& connection, const KillRequest&) {
  if (!connection.local) return "";
  const bool allowed = nodes_.empty() || options_.relaxed_command_check;
  if (!options_.on_kill || !allowed) return "NO";
  connection.kills = true;
  return "OK";
}

std::string PortMapperServer::reply(Connection& connection, const StopRequest& question) {
  if (!connection.local || !options_.relaxed_command_check) return "";
  const auto found = nodes_.find(question.name);
  if (found == nodes_.end() || !found->second.connection) return "NOEXIST";
  error_code ignored;
  Connection& stopped = *found->second.connection;
  forget(stopped);
  stopped.socket.close(ignored);
  return "STOPPED";
}

bool PortMapperServer::add(Connection& connection, const Registration& node) {
  if (!node.is_registrable() || nodes_.size() >= registrations_max) return false;
  const std::size_t more = names_line_size(node);
  if (names_size_ + more > max_names_answer) return false;
  Entry entry;
  entry.node = node;
  entry.connection = &connection;
  if (!nodes_.try_emplace(node.name, std::move(entry)).second) return false;
  names_size_ += more;
  connection.registered = node.name;
  return true;
}

void PortMapperServer::forget(Connection& connection) {
  const auto found = nodes_.find(connection.registered);
  if (found == nodes_.end() || found->second.connection != &connection) return;
  names_size_ -= names_line_size(found->second.node);
  nodes_.erase(found);
}

}  // namespace muster::node
