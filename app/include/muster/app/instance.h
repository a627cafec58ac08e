// SPDX-License-Identifier: MIT
//
// All of a node from one Config: node, tables, healer, topologies, ports; started in that order,
// stopped in the reverse one.
//
//   Instance instance(io.get_executor(), config, log);
//   if (auto started = co_await instance.start(); !started) ...   // stop() is still due
//   ...
//   co_await instance.stop(Instance::Leave::yes);
//
// Threads: start() and stop() from any executor that the same thread runs.  Errors: sentences that
// name the flag or file.  Signals are the program's business.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "muster/app/config.h"
#include "muster/app/parts.h"

namespace muster::app {

class Instance {
 public:
  enum class Leave { no, yes };

  /// `on_left`: `muster leave` asks the program to end.
  Instance(boost::asio::any_io_executor executor, Config config, Log log,
           std::function<void()> on_left = {});
  ~Instance();
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;

  boost::asio::awaitable<Result<void>> start();
  /// Ends when the peers that `wait_for` names are linked, or with an Error at `wait_deadline`.
  boost::asio::awaitable<Result<void>> wait_for_peers();
  /// Takes over topologies and `connect:` of a file that was read again: what is new starts, what
  /// changed starts anew, what is gone ends, links stay.  An Error where one cannot start; the
  /// others do all the same.
  boost::asio::awaitable<Result<void>> reload(Config config);
  /// `yes`: others are told that we go for good and do not miss us.
  boost::asio::awaitable<void> stop(Leave leave);

  [[nodiscard]] Parts parts();
  /// What it is, line by line: name, addresses, directory, ports, topologies.
  [[nodiscard]] std::vector<std::string> banner() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

/// What strategies may want to know, for a node that does not run (`muster discover`).
Result<discovery::StrategyContext> strategy_context(const Config& config);

}  // namespace muster::app
