// SPDX-License-Identifier: MIT
//
// Runs topologies: strategies with real sockets and files, the topology machine, and the plumbing
// that they connect by.
//
//   StrategyRegistry registry;
//   Problems problems;
//   auto plans = read_topologies(*file.find("topologies"), "topologies", registry, problems);
//   Topologies topologies(strand, plumbing, {.context = {.self = name, .cookie = cookie}, .log =
//   log}); for (const auto& plan : plans)
//     if (plan.enabled) topologies.add(plan);
//   ...
//   co_await topologies.stop();
//
// Threads: all calls on `executor`, which is a strand or an io_context run by one thread.  Errors:
// a strategy that fails reports unknown and tries again; nothing here throws.  Stop: stop() ends
// when no handler of ours runs any more; the destructor asserts that it did, or that nothing was
// added.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "muster/discovery/log.h"
#include "muster/discovery/plumbing.h"
#include "muster/discovery/strategy_registry.h"
#include "muster/discovery/topology_machine.h"

namespace muster::discovery {

class Topologies {
 public:
  struct Options {
    StrategyContext context = {};  ///< `topology` and `seed` are filled in for each strategy.
    Log log = {};
    std::uint64_t seed = 0;  ///< 0: from the system's source of chance.
    Backoff::Limits redial = {};
    Duration dial_deadline = std::chrono::seconds(5);
    std::function<void(const ConnectEvent&)> on_event = {};
    /// Each pass as it comes, before it is acted upon (`muster discover` listens here).
    std::function<void(const std::string& topology, const Pass& pass)> on_pass = {};
  };

  /// `plumbing` must outlive this.
  Topologies(boost::asio::any_io_executor executor, Plumbing& plumbing, Options options);
  ~Topologies();
  Topologies(const Topologies&) = delete;
  Topologies& operator=(const Topologies&) = delete;

  /// Starts it, enabled or not.  An Error: the name is taken, or stop() was called.
  Result<void> add(const TopologyPlan& plan);

  // Each ends when the strategy has; an Error: no such topology, or another of these calls is under
  // way for it.  Links stay as they are.
  boost::asio::awaitable<Result<void>> remove(std::string topology);
  /// Its strategy rests, its peers are neither dialled nor disconnected.
  boost::asio::awaitable<Result<void>> pause(std::string topology);
  Result<void> resume(const std::string& topology);
  /// Looks around anew and dials at once who is not linked.
  boost::asio::awaitable<Result<void>> refresh(std::string topology);

  /// Tell it when a link comes or goes: lost peers are then redialled at once.
  void links_changed();
  /// Tell it when a peer has said good-bye: it is left alone.
  void left(const NodeName& peer);

  struct WaitFor {
    std::size_t peers = 0;             ///< As many links, whoever they are with ...
    std::vector<NodeName> names = {};  ///< ... and all of these.
  };
  /// Ends when they are linked; at the deadline or at stop() with an Error that names who is
  /// missing and why.  For programs that must not begin alone.
  boost::asio::awaitable<Result<void>> wait_for(WaitFor whom, Duration within);

  [[nodiscard]] std::vector<TopologyStatus> status() const;

  boost::asio::awaitable<void> stop();

 private:
  class Shell;
  std::unique_ptr<Shell> shell_;
};

}  // namespace muster::discovery
