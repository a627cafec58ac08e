// SPDX-License-Identifier: MIT
//
// The port mapper that a node serves itself when none runs: epmd's protocol, so that epmd -names
// and Erlang nodes see us and we see them.
//
// Rules, as epmd has them: whoever asks is answered; registering is for this host alone; a
// registration lives as long as its connection.  Threads: the strand only. Bounds: registrations,
// connections that have not registered (the oldest gives way), 5 s for a request. Stop: stop()
// closes all; when it completes nothing of the server runs.
#pragma once

#include <list>
#include <map>
#include <string>
#include <vector>

#include "asio_types.h"
#include "muster/discovery/log.h"
#include "muster/discovery/port_mapper_wire.h"
#include "muster/discovery/result.h"
#include "task_group.h"

namespace muster::node {

class PortMapperServer {
 public:
  PortMapperServer(const Strand& strand, Log log);

  /// The first address must work; the others may be missing on this host, or taken.
  Result<void> listen(const std::vector<asio::ip::address>& addresses, std::uint16_t port);
  /// The node that serves.
  void add_own(port_mapper::Registration node);
  asio::awaitable<void> stop();

  static constexpr std::size_t registrations_max = 4096;
  static constexpr std::size_t unregistered_max = 256;

 private:
  asio::awaitable<void> accept_all(Acceptor& acceptor);
  asio::awaitable<void> serve(Socket socket);
  asio::awaitable<bool> answer(Socket& socket, bool local, const port_mapper::Request& request);
  [[nodiscard]] port_mapper::AliveAnswer add(const port_mapper::Registration& node, bool local);
  [[nodiscard]] port_mapper::NamesAnswer names() const;

  Strand strand_;
  Log log_;
  TaskGroup tasks_;
  std::list<Acceptor> acceptors_;
  Timer accept_pause_;
  std::list<Socket*> unregistered_;  ///< Oldest first.
  std::list<Socket*> registered_;
  std::map<std::string, port_mapper::Registration> nodes_;
  std::uint16_t port_ = 0;
  std::uint32_t last_creation_ = 0;
  bool stopping_ = false;
};

}  // namespace muster::node
