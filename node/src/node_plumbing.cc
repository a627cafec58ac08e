// SPDX-License-Identifier: MIT
// See node_shell.h.  This file: how topologies connect by this node, from any thread.
#include <boost/asio/post.hpp>
#include <utility>

#include "node_shell.h"

namespace muster::node {

using discovery::DialOutcome;
using discovery::DialProblem;

namespace {

DialOutcome not_running() {
  DialOutcome outcome;
  outcome.problem = DialProblem::not_part_of_network;
  outcome.detail = "the node is not running";
  return outcome;
}

}  // namespace

void Node::Impl::connect(const Peer& peer, Duration within, Done done) {
  asio::post(strand_, [weak = weak_from_this(), peer, within, done = std::move(done)]() mutable {
    const auto self = weak.lock();
    if (!self || !self->started_ || self->stopping_.happened()) return done(not_running());
    self->tasks_.spawn(self->plumb(peer, within, std::move(done)));
  });
}

asio::awaitable<void> Node::Impl::plumb(Peer peer, Duration within, Done done) {
  const auto outcome = co_await ask(peer, within);
  DialOutcome result;
  if (stopping_.happened()) {
    result = not_running();
  } else if (outcome) {
    result = outcome_of(peer.name, *outcome);
  } else {
    result.problem = DialProblem::timed_out;
    result.detail = peer.name.text();
  }
  done(result);
}

/// Nothing when it takes longer than `patience`, or the node stops.
asio::awaitable<std::optional<ConnectOutcome>> Node::Impl::ask(Peer peer, Duration patience) {
  const auto answered = std::make_shared<Happening>(strand_);
  const auto outcome = std::make_shared<std::optional<ConnectOutcome>>();
  waiting_.push_back(answered.get());
  turn([&](Now now) {
    machine_->connect(now, peer, [answered, outcome](Now, const ConnectOutcome& ended) {
      *outcome = ended;
      answered->set();
    });
  });
  (void)co_await answered->wait(patience);
  waiting_.remove(answered.get());
  co_return *outcome;
}

asio::awaitable<ConnectOutcome> Node::Impl::connect(Peer peer) {
  ConnectOutcome not_now;
  not_now.reason = "the node is not running";
  if (!started_ || stopping_.happened()) co_return not_now;
  calls_.begin();
  auto outcome = co_await ask(std::move(peer), Duration::max());
  calls_.end();
  co_return outcome.value_or(not_now);
}

DialOutcome Node::Impl::outcome_of(const NodeName& name, const ConnectOutcome& outcome) const {
  DialOutcome result;
  if (outcome.connected) return result;
  result.problem = DialProblem::other;
  result.detail = outcome.reason;
  if (const auto known = problems_.find(name);
      known != problems_.end() && outcome.reason == known->second.reason) {
    result.problem = known->second.problem;
  } else if (outcome.reason.find("fully qualified") != std::string::npos) {
    result.problem = DialProblem::name_form;
  } else if (outcome.reason.find("cluster") != std::string::npos) {
    result.problem = DialProblem::other_cluster;
  } else if (outcome.reason.find("timed out") != std::string::npos) {
    result.problem = DialProblem::timed_out;
  }
  return result;
}

void Node::Impl::disconnect(const NodeName& name, Done done) {
  asio::post(strand_, [weak = weak_from_this(), name, done = std::move(done)] {
    const auto self = weak.lock();
    if (!self || !self->started_) return done(not_running());
    self->turn([&](Now now) { self->machine_->disconnect(now, name); });
    done(DialOutcome());
  });
}

std::set<NodeName> Node::Impl::list_nodes() {
  std::set<NodeName> names;
  if (const auto seen = view()) {
    for (const Member& member : seen->connected) names.insert(member.name);
  }
  return names;
}

}  // namespace muster::node
