// SPDX-License-Identifier: MIT
//
// One attempt to reach a peer: resolve the host of its name, ask the port mapper there for the port
// when it is unknown or stale, connect.  Errors say what was tried and what the host resolved to.
//
// Threads: the strand only.  Stop: cancel(); connect() then ends soon.  A name lookup that hangs in
// the system is left behind; it holds nothing of ours.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "asio_types.h"
#include "muster/discovery/peer.h"
#include "muster/discovery/plumbing.h"
#include "muster/discovery/port_mapper_wire.h"
#include "task_group.h"
#include "transport/resolver.h"
#include "watchdog.h"

namespace muster::node {

class Dialler {
 public:
  /// `mapper_port` of every host, as ERL_EPMD_PORT has it.
  Dialler(const Strand& strand, TaskGroup& tasks, std::uint16_t mapper_port);
  Dialler(const Dialler&) = delete;
  Dialler& operator=(const Dialler&) = delete;

  /// A connected socket, or an Error whose detail is a whole sentence.
  asio::awaitable<Result<Socket>> connect(const Peer& peer, Duration deadline);
  void cancel();

  /// Of the last failure.
  [[nodiscard]] discovery::DialProblem problem() const { return problem_; }
  /// "127.0.1.1:4370", of the last address tried.
  [[nodiscard]] const std::string& remote() const { return remote_; }

 private:
  asio::awaitable<Result<Addresses>> resolve(std::string host);
  asio::awaitable<bool> try_addresses(const Peer& peer, const Addresses& addresses);
  asio::awaitable<bool> try_address(const Peer& peer, asio::ip::address address);
  asio::awaitable<error_code> try_endpoint(tcp::endpoint endpoint);
  asio::awaitable<std::uint16_t> ask_port(const Peer& peer, asio::ip::address address);
  asio::awaitable<Result<port_mapper::PortAnswer>> ask_mapper(std::string name,
                                                              tcp::endpoint mapper);
  void failed(const error_code& error, const std::string& where);
  void failed(discovery::DialProblem problem, std::string text);

  Strand strand_;
  std::uint16_t mapper_port_;
  Socket socket_;
  HostResolver resolver_;
  Watchdog watchdog_;
  bool cancelled_ = false;
  discovery::DialProblem problem_ = discovery::DialProblem::none;
  std::string remote_;
  std::string failure_;
  error_code code_;
};

[[nodiscard]] std::string to_text(const tcp::endpoint& endpoint);

}  // namespace muster::node
