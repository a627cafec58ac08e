// SPDX-License-Identifier: MIT
//
// What tests of the port mapper share: ports of their own, nodes that use one, raw conversations.
#pragma once

#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <list>
#include <string>
#include <vector>

#include "muster/discovery/port_mapper_client.h"
#include "node/test_nodes.h"

namespace muster::node {

/// A port on which nobody listens.  It stays bound, so that the system gives it to nobody else; who
/// reuses addresses, as nodes do, may listen on it.
[[nodiscard]] inline std::uint16_t free_port() {
  using boost::asio::ip::tcp;
  static boost::asio::io_context io;
  static std::list<tcp::acceptor> kept;
  tcp::acceptor& acceptor = kept.emplace_back(io, tcp::v4());
  acceptor.bind(tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0));
  acceptor.set_option(boost::asio::socket_base::reuse_address(true));
  return acceptor.local_endpoint().port();
}

[[nodiscard]] inline NodeSettings mapped(std::string_view name, std::uint16_t mapper) {
  auto settings = settings_of(name);
  settings.use_port_mapper = true;
  settings.mapper_port = mapper;
  return settings;
}

[[nodiscard]] inline std::vector<std::string> names_at(Loop& loop, std::uint16_t port) {
  const auto answer = loop.run(port_mapper::names("127.0.0.1", port, std::chrono::seconds(2)));
  std::vector<std::string> names;
  if (!answer) return names;
  for (const auto& entry : answer->names) names.push_back(entry.name);
  return names;
}

/// One side of a raw conversation with the port mapper at a port of this host.
class RawClient {
 public:
  explicit RawClient(std::uint16_t port) : socket_(io_) {
    socket_.connect({boost::asio::ip::address_v4::loopback(), port});
  }
  /// Nothing is said of a port mapper that has hung up meanwhile: the answer tells.
  void say(std::string_view bytes) {
    boost::system::error_code ignored;
    boost::asio::write(socket_, boost::asio::buffer(bytes), ignored);
  }
  void say(const port_mapper::Request& request) { say(port_mapper::encode(request)); }
  /// So many bytes, or fewer where the other side ends it.
  [[nodiscard]] std::string hear(std::size_t size) {
    std::string answer(size, '\0');
    boost::system::error_code error;
    answer.resize(boost::asio::read(socket_, boost::asio::buffer(answer), error));
    return answer;
  }
  /// All until the other side ends it.
  [[nodiscard]] std::string hear_all() { return hear(std::size_t{1} << 20); }
  void close() { socket_.close(); }
  /// Ends it the hard way: with a reset instead of an end.
  void reset() {
    socket_.set_option(boost::asio::socket_base::linger(true, 0));
    socket_.close();
  }
  [[nodiscard]] port_mapper::AliveAnswer register_node(const port_mapper::Registration& node) {
    port_mapper::AliveRequest alive;
    alive.node = node;
    say(alive);
    const auto answer = port_mapper::decode_alive_answer(hear(6));
    return answer && *answer ? **answer : port_mapper::AliveAnswer();
  }

 private:
  boost::asio::io_context io_;
  boost::asio::ip::tcp::socket socket_;
};

/// Answers of a raw conversation, until the other side ends it.
[[nodiscard]] inline std::string converse(std::uint16_t port, std::string_view request) {
  RawClient client(port);
  client.say(request);
  return client.hear_all();
}

}  // namespace muster::node
