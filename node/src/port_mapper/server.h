// SPDX-License-Identifier: MIT
//
// The port mapper that a node serves itself when none runs: epmd's protocol, so that epmd -names
// and Erlang nodes see us and we see them.
//
// Rules, as epmd has them: whoever asks is answered, one question for each connection; registering
// is for this host alone; a registration lives as long as its connection says nothing more and does
// not end; a taken or impossible name is refused.  Nobody can stop it or remove another's name
// (KILL and STOP), unless the options say so.  Threads: the strand only.
// Bounds: registrations, the size of the list of names, connections that have not registered (the
// oldest gives way), a deadline for request and answer. Stop: stop() closes all; when it completes
// nothing of the server runs.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "asio_types.h"
#include "muster/discovery/log.h"
#include "muster/discovery/port_mapper_wire.h"
#include "muster/discovery/result.h"
#include "muster/discovery/time.h"
#include "task_group.h"

namespace muster::node {

class PortMapperServer {
 public:
  struct Options {
    /// For a request to come, and for its answer to be taken.
    Duration deadline = std::chrono::seconds(5);
    /// What KILL asks for, from this host, when no name is registered.  Empty: the answer is "NO".
    std::function<void()> on_kill = {};
    /// As epmd's flag of that name: this host may KILL it though names are registered, and STOP
    /// names.
    bool relaxed_command_check = false;
  };

  PortMapperServer(const Strand& strand, Log log) : PortMapperServer(strand, log, Options()) {}
  PortMapperServer(const Strand& strand, Log log, Options options);

  /// The first address must work; the others may be missing on this host, or taken.
  Result<void> listen(const std::vector<asio::ip::address>& addresses, std::uint16_t port);
  /// The node that serves.
  void add_own(port_mapper::Registration node);
  asio::awaitable<void> stop();

  static constexpr std::size_t registrations_max = 4096;
  static constexpr std::size_t unregistered_max = 256;

 private:
  struct Connection {
    explicit Connection(Socket connected);
    Socket socket;
    bool local = false;      ///< From this host.
    std::string registered;  ///< The name; empty: none.
    bool kills = false;      ///< Its answer is the last one.
  };
  struct Entry {
    port_mapper::Registration node;
    Connection* connection = nullptr;  ///< None: the node that serves.
  };

  asio::awaitable<void> accept_all(Acceptor& acceptor);
  asio::awaitable<void> serve(Socket socket);
  asio::awaitable<std::optional<port_mapper::Request>> read_request(Connection& connection);
  asio::awaitable<void> answer(Connection& connection, const port_mapper::Request& request);

  // Nothing to say: the connection ends.
  [[nodiscard]] std::string reply(Connection&, const port_mapper::NamesRequest&);
  [[nodiscard]] std::string reply(Connection&, const port_mapper::PortRequest&);
  [[nodiscard]] std::string reply(Connection&, const port_mapper::AliveRequest&);
  [[nodiscard]] std::string reply(Connection&, const port_mapper::DumpRequest&);
  [[nodiscard]] std::string reply(Connection&, const port_mapper::KillRequest&);
  [[nodiscard]] std::string reply(Connection&, const port_mapper::StopRequest&);

  [[nodiscard]] bool add(Connection& connection, const port_mapper::Registration& node);
  void forget(Connection& connection);

  Strand strand_;
  Log log_;
  Options options_;
  TaskGroup tasks_;
  std::list<Acceptor> acceptors_;
  Timer accept_pause_;
  std::list<Connection*> unregistered_;  ///< Oldest first.
  std::list<Connection*> registered_;
  std::map<std::string, Entry> nodes_;
  std::size_t names_size_ = sizeof(std::uint32_t);  ///< Of the answer with all names.
  std::uint16_t port_ = 0;
  std::uint32_t last_creation_;
  bool stopping_ = false;
};

}  // namespace muster::node
