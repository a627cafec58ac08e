// SPDX-License-Identifier: MIT
// See state_keeper.h.
#include "state_keeper.h"

#include <boost/asio/post.hpp>
#include <chrono>

namespace muster::node {
namespace {

bool differs_only_in_clock(const NodeState& a, const NodeState& b) {
  return a.cluster == b.cluster && a.highest_ordinal == b.highest_ordinal &&
         a.membership.nodes == b.membership.nodes && a.peers == b.peers;
}

}  // namespace

void StateKeeper::save(const NodeState& state) {
  const bool can_wait = last_ && differs_only_in_clock(*last_, state);
  last_ = state;
  const std::uint64_t generation = ++last_generation_;
  if (!can_wait) return write(state, generation);
  boost::asio::post(writer_, [this, state, generation] { write(state, generation); });
}

void StateKeeper::write(const NodeState& state, std::uint64_t generation) {
  const std::lock_guard lock(mutex_);
  if (generation < written_) return;  // A newer one was faster.
  written_ = generation;
  const auto saved = file_.save(state);
  if (saved) {
    said_.forget("state");
    return;
  }
  const std::string text = saved.error().text();
  if (said_.news("state", text, std::chrono::steady_clock::now())) {
    log_.error("what this node remembers is not on disk: {}", text);
  }
}

}  // namespace muster::node
