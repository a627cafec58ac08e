// SPDX-License-Identifier: MIT
// See node.h.  Every call crosses to the strand and comes back to whoever awaits it.
#include "muster/node/node.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/assert.hpp>
#include <utility>

#include "node_shell.h"

namespace muster::node {
namespace {

/// Runs `work` on the strand.  A cancelled caller does not cancel it: a node's calls end in time by
/// themselves.
template <class T>
asio::awaitable<T> on_strand(Strand strand, asio::awaitable<T> work) {
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  co_return co_await asio::co_spawn(strand, std::move(work), asio::use_awaitable);
}

}  // namespace

Node::Node(asio::any_io_executor executor, NodeSettings settings, Log log)
    : impl_(std::make_shared<Impl>(std::move(executor), std::move(settings), std::move(log))) {}

Node::~Node() = default;

asio::awaitable<Result<void>> Node::open() { return on_strand(impl_->strand(), impl_->open()); }
asio::awaitable<Result<void>> Node::start() { return on_strand(impl_->strand(), impl_->start()); }
asio::awaitable<Result<void>> Node::leave() { return on_strand(impl_->strand(), impl_->leave()); }
asio::awaitable<void> Node::stop() { return on_strand(impl_->strand(), impl_->stop()); }

asio::awaitable<ConnectOutcome> Node::connect(Peer peer) {
  return on_strand(impl_->strand(), impl_->connect(std::move(peer)));
}

asio::awaitable<bool> Node::disconnect(NodeName name) {
  return on_strand(impl_->strand(), impl_->disconnect(std::move(name)));
}

asio::awaitable<Result<void>> Node::forget(NodeName name) {
  return on_strand(impl_->strand(), impl_->forget(std::move(name)));
}

asio::awaitable<Result<void>> Node::cut(NodeName name) {
  return on_strand(impl_->strand(), impl_->cut(std::move(name)));
}

asio::awaitable<void> Node::heal() { return on_strand(impl_->strand(), impl_->heal()); }

std::shared_ptr<const NodeView> Node::view() const { return impl_->view(); }
discovery::Plumbing& Node::plumbing() { return *impl_; }
Key Node::derive(std::string_view purpose) const { return impl_->cookie().derive(purpose); }

asio::strand<asio::any_io_executor> Node::strand() const { return impl_->strand(); }
Fabric& Node::fabric() { return impl_->fabric(); }
NodeMachine& Node::machine() { return impl_->machine(); }
void Node::on_event(EventHandler handler) { impl_->handlers.push_back(std::move(handler)); }
void Node::at_turn_end(std::function<void(Now)> hook) { impl_->hooks.push_back(std::move(hook)); }
void Node::turn(const std::function<void(Now)>& work) { impl_->turn(work); }
void Node::turn_soon() { impl_->turn_soon(); }

asio::awaitable<bool> Node::Impl::disconnect(NodeName name) {
  bool was_connected = false;
  if (started_) turn([&](Now now) { was_connected = machine_->disconnect(now, name); });
  co_return was_connected;
}

asio::awaitable<Result<void>> Node::Impl::forget(NodeName name) {
  Result<void> done = bad_input("the node is not running");
  if (started_) turn([&](Now now) { done = machine_->forget(now, name); });
  co_return done;
}

asio::awaitable<Result<void>> Node::Impl::cut(NodeName name) {
  Result<void> done = bad_input("the node is not running");
  if (started_) turn([&](Now now) { done = machine_->cut(now, name); });
  co_return done;
}

asio::awaitable<void> Node::Impl::heal() {
  if (started_) turn([&](Now now) { machine_->heal(now); });
  co_return;
}

}  // namespace muster::node
