// SPDX-License-Identifier: MIT
//
// The shortest way to a strategy of your own: a coroutine that says who exists now.  The poller
// calls it every `polling_interval` (5s) and gives it `deadline` (5s) each time; its Result is the
// pass: a list, a known empty list, or, as an Error, unknown (which disconnects nobody).
//
//   asio::awaitable<Result<PeerSet>> ask_my_cloud(std::string query);
//
//   StrategyRegistry registry;
//   add_poller(registry, "my_cloud", [](Fields& options) -> DiscoverFunction {
//     options.require("query");
//     const auto query = options.string("query");
//     return [query] { return ask_my_cloud(query); };
//   });
//
// The file then reads `my_topology: {strategy: my_cloud, config: {query: web, polling_interval:
// 10s}}`. Threads: on the executor of the topologies; it must not block.  Stop: cancelled at the
// deadline and at stop().
#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <string>
#include <utility>

#include "muster/discovery/strategy_registry.h"

namespace muster::discovery {

using DiscoverFunction = std::function<boost::asio::awaitable<Result<PeerSet>>()>;

/// Opaque to the machines that pass it on.
class DiscoverCall {
 public:
  explicit DiscoverCall(DiscoverFunction function) : function_(std::move(function)) {}
  [[nodiscard]] boost::asio::awaitable<Result<PeerSet>> operator()() const { return function_(); }

 private:
  DiscoverFunction function_;
};

void add_poller(StrategyRegistry& registry, std::string name,
                std::function<DiscoverFunction(Fields& options)> read);

/// The same for a function that blocks: it is called on a helper thread, one call at a time.  It
/// cannot be interrupted: a call that outlives its deadline is unknown once it ends, and stop()
/// waits for it.
using BlockingDiscoverFunction = std::function<Result<PeerSet>()>;
void add_blocking_poller(StrategyRegistry& registry, std::string name,
                         std::function<BlockingDiscoverFunction(Fields& options)> read);

}  // namespace muster::discovery
