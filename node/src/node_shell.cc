// SPDX-License-Identifier: MIT
// See node_shell.h.  This file: turns, the machine's effects, the transport's events.
#include "node_shell.h"

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/post.hpp>
#include <boost/assert.hpp>
#include <cstdlib>
#include <utility>

#include "muster/discovery/clock.h"

namespace muster::node {

void Node::Impl::turn(const std::function<void(Now)>& work) {
  if (!machine_) return;
  if (in_turn_) return work(turn_);
  in_turn_ = true;
  turn_ = read_clock();
  work(turn_);
  end_turn(turn_);
  in_turn_ = false;
}

/// By way of the loop's own queue: a strand would run it before what is ready there.
void Node::Impl::turn_soon() {
  if (in_turn_ || stopping_.happened() || std::exchange(turn_posted_, true)) return;
  tasks_.begin();
  asio::post(strand_.get_inner_executor(), asio::bind_executor(strand_, [this] {
               turn_posted_ = false;
               turn([](Now) {});
               tasks_.end();
             }));
}

void Node::Impl::end_turn(Now now) {
  while (!events_.empty()) {
    const auto [at, event] = std::move(events_.front());
    events_.pop_front();
    tell(at, event);
  }
  for (const auto& hook : hooks) hook(now);
  transport_->flush();
  if (view_is_old_) renew_view();
  if (machine_->left()) left_.set();
  if (const Instant next = machine_->next_wake(); next < armed_) {
    armed_ = next;
    timer_.expires_at(timer_deadline(next));
  }
}

void Node::Impl::tell(Now now, const NodeEvent& event) {
  using Kind = NodeEvent::Kind;
  if (event.kind == Kind::refused)
    log_.warn("no link with {}", event.detail);
  else if (event.kind == Kind::alarm)
    log_.error("{}", event.detail);
  else if (event.detail.empty())
    log_.info("{} is up", event.node.name.text());
  else
    log_.info("{}", event.detail);
  for (const auto& handler : handlers) handler(now, event);
}

void Node::Impl::renew_view() {
  view_is_old_ = false;
  auto fresh = std::make_shared<NodeView>();
  fresh->self = machine_->self();
  fresh->advertised = advertised_;
  fresh->connected = machine_->connected();
  fresh->island = machine_->island();
  fresh->membership = machine_->membership();
  const std::lock_guard lock(view_mutex_);
  view_ = std::move(fresh);
}

std::shared_ptr<const NodeView> Node::Impl::view() const {
  const std::lock_guard lock(view_mutex_);
  return view_;
}

bool Node::Impl::send(BootId to, ServiceId service, Lane lane, Bytes payload) {
  turn_soon();
  return machine_->send(to, service, lane, std::move(payload));
}

void Node::Impl::call(Now now, BootId to, std::string_view name, std::string request,
                      Duration deadline, Reply reply) {
  turn_soon();
  machine_->call(now, to, name, std::move(request), deadline, std::move(reply));
}

void Node::Impl::handle(std::string name, Handler handler) {
  machine_->handle(std::move(name), std::move(handler));
}

void Node::Impl::attach(ServiceId service, Service* listener) {
  machine_->attach(service, listener);
}

void Node::Impl::dial(LinkId link, const Peer& peer) {
  if (stopping_.happened()) return;
  dialled_[link] = peer.name;
  transport_->dial(link, peer);
}

void Node::Impl::transmit(LinkId link, Lane lane, Bytes frame) {
  transport_->transmit(link, lane, std::move(frame));
}

std::size_t Node::Impl::queued(LinkId link) const { return transport_->queued(link); }

void Node::Impl::close(LinkId link) {
  dialled_.erase(link);
  transport_->close(link);
}

void Node::Impl::persist(const NodeState& state) {
  view_is_old_ = true;
  if (state_keeper_) state_keeper_->save(state);
}

void Node::Impl::report(Now now, const NodeEvent& event) {
  view_is_old_ = true;
  events_.emplace_back(now, event);
}

LinkId Node::Impl::accepted(std::string_view remote) {
  LinkId link;
  turn([&](Now now) {
    link = machine_->accepted(now, remote);
    machine_->opened(now, link);
  });
  return link;
}

void Node::Impl::opened(LinkId link) {
  if (const auto dialled = dialled_.find(link); dialled != dialled_.end()) {
    problems_.erase(dialled->second);
    dialled_.erase(dialled);
  }
  turn([&](Now now) { machine_->opened(now, link); });
}

void Node::Impl::readable(LinkId link, const Transport::Owner::Drain& drain) {
  turn([&](Now now) {
    drain([&](std::string_view frame) {
      machine_->received(now, link, frame);
      return true;
    });
  });
}

void Node::Impl::drained(LinkId) {
  turn([](Now) {});
}

void Node::Impl::closed(LinkId link, std::string_view reason, discovery::DialProblem problem) {
  constexpr std::size_t problems_max = 1024;
  if (const auto dialled = dialled_.find(link); dialled != dialled_.end()) {
    if (problems_.size() < problems_max) {
      problems_[dialled->second] = {std::string(reason), problem};
    }
    dialled_.erase(dialled);
  }
  turn([&](Now now) { machine_->closed(now, link, reason); });
}

}  // namespace muster::node
