// SPDX-License-Identifier: MIT
// See node_shell.h.  This file: how topologies connect by this node, from any thread.
#include <algorithm>
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

/// Exactly once, by the machine or by the deadline, whichever comes first.
struct Question {
  Question(const Strand& strand, discovery::Plumbing::Done d)
      : deadline(strand), done(std::move(d)) {}
  void answer(const DialOutcome& outcome) {
    deadline.cancel();
    if (auto callback = std::exchange(done, nullptr)) callback(outcome);
  }
  Timer deadline;
  discovery::Plumbing::Done done;
};

}  // namespace

void Node::Impl::connect(const Peer& peer, Duration within, Done done) {
  asio::post(strand_, [weak = weak_from_this(), peer, within, done = std::move(done)]() mutable {
    const auto self = weak.lock();
    if (!self) return done(not_running());
    self->plumb(peer, within, std::move(done));
  });
}

void Node::Impl::plumb(const Peer& peer, Duration within, Done done) {
  if (!started_ || stopping_.happened()) return done(not_running());
  const auto question = std::make_shared<Question>(strand_, std::move(done));
  question->deadline.expires_after(within);
  question->deadline.async_wait([weak = std::weak_ptr(question), peer](const error_code& error) {
    const auto waiting = weak.lock();
    if (error || !waiting) return;
    DialOutcome late;
    late.problem = DialProblem::timed_out;
    late.detail = peer.name.text();
    waiting->answer(late);
  });
  turn([&](Now now) {
    machine_->connect(now, peer, [this, question, peer](Now, const ConnectOutcome& outcome) {
      question->answer(outcome_of(peer.name, outcome));
    });
  });
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
