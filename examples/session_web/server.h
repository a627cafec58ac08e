// SPDX-License-Identifier: MIT
//
// One web server that is a node: everything of muster that a program embeds, put together.  Read
// this and server.cc to embed it in a program of your own.
//
// Threads: one io_context run by one thread; all calls on it.
// Stop: stop() leaves the cluster in good order; it must complete before the destructor.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <memory>
#include <optional>

#include "login.h"
#include "muster/app/admin.h"
#include "muster/app/config.h"
#include "muster/cache/cache.h"
#include "muster/discovery/topologies.h"
#include "muster/node/node.h"
#include "muster/unsplit/unsplit.h"
#include "sessions.h"
#include "web_server.h"

namespace session_web {

class Server {
 public:
  Server(asio::io_context& loop, muster::app::Config config, muster::Log log);

  /// Serves when it returns; the sessions follow as soon as the table has been copied.
  asio::awaitable<muster::Result<void>> start();
  asio::awaitable<void> stop();

 private:
  asio::awaitable<muster::Result<void>> start_node();
  muster::Result<void> discover();
  muster::Result<void> listen();
  [[nodiscard]] muster::discovery::StrategyContext context() const;

  muster::app::Config config_;
  muster::Log log_;
  muster::node::Node node_;
  muster::cache::Cache cache_;
  std::optional<muster::unsplit::Unsplit> unsplit_;
  std::optional<muster::discovery::Topologies> topologies_;
  std::optional<muster::app::Admin> admin_;
  Sessions sessions_;
  Login login_;
  WebServer web_;
};

}  // namespace session_web
