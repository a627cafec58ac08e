// SPDX-License-Identifier: MIT
//
// Writes the node's state without holding up the loop where that is allowed: what others rely on
// (membership, ordinals) is on disk when save() returns; a clock that merely moved on is written
// beside the loop.
//
// Threads: the strand calls; one thread of its own writes.  Errors: logged once per change, as
// nobody could act on them. Stop: the destructor waits for the write under way.
#pragma once

#include <boost/asio/thread_pool.hpp>
#include <mutex>
#include <optional>

#include "muster/discovery/log.h"
#include "said_once.h"
#include "state_file.h"

namespace muster::node {

class StateKeeper {
 public:
  StateKeeper(StateFile file, Log log) : file_(std::move(file)), log_(std::move(log)) {}
  ~StateKeeper() { writer_.join(); }
  StateKeeper(const StateKeeper&) = delete;
  StateKeeper& operator=(const StateKeeper&) = delete;

  [[nodiscard]] Result<NodeState> load() const { return file_.load(); }
  void save(const NodeState& state);

 private:
  void write(const NodeState& state, std::uint64_t generation);

  const StateFile file_;
  const Log log_;
  std::optional<NodeState> last_;  ///< The strand's.
  std::uint64_t last_generation_ = 0;

  std::mutex mutex_;  ///< Guards the file and what follows.
  std::uint64_t written_ = 0;
  SaidOnce said_;

  boost::asio::thread_pool writer_{1};
};

}  // namespace muster::node
