// SPDX-License-Identifier: MIT
//
// Keeps a node registered with this host's port mapper: with whichever runs, Erlang's epmd or
// another node's; when none runs, by serving one.  When the one that serves goes away all notice at
// once, one takes over (the one that can bind the port) and all register again.
//
// Threads: the strand only.  Errors: a taken name, at start; all else is logged once per change and
// tried again. Stop: stop() withdraws the registration; when it completes nothing of this runs.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "asio_types.h"
#include "muster/discovery/log.h"
#include "muster/discovery/port_mapper_wire.h"
#include "muster/discovery/result.h"
#include "port_mapper/server.h"
#include "said_once.h"
#include "task_group.h"

namespace muster::node {

class PortMapperRegistration {
 public:
  struct Options {
    std::uint16_t port = port_mapper::default_port;
    /// Where to serve, loopback first.
    std::vector<asio::ip::address> addresses;
    port_mapper::Registration node;
  };

  PortMapperRegistration(const Strand& strand, Options options, std::uint64_t seed, Log log);

  /// Ends when registered, or when that will have to be tried again; an Error when the name is
  /// taken by a living node.
  asio::awaitable<Result<void>> start();
  asio::awaitable<void> stop();
  [[nodiscard]] bool serving() const { return server_ != nullptr; }

 private:
  enum class Outcome : std::uint8_t { ended, none_runs, name_taken, unusable };

  asio::awaitable<void> run();
  asio::awaitable<Outcome> register_with_running();
  asio::awaitable<bool> refused_by_another();
  asio::awaitable<Result<port_mapper::AliveAnswer>> say_alive();
  asio::awaitable<bool> serve();
  asio::awaitable<void> pause(Duration about);
  void settle(std::optional<Error> failure);

  Strand strand_;
  Options options_;
  std::minstd_rand random_;
  Log log_;
  TaskGroup tasks_;
  Socket socket_;
  Timer pause_;
  Timer settled_;
  bool settled_once_ = false;
  std::optional<Error> failure_;  ///< Of the first attempt.
  std::unique_ptr<PortMapperServer> server_;
  SaidOnce said_;
  bool stopping_ = false;
};

}  // namespace muster::node
