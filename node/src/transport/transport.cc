// SPDX-License-Identifier: MIT
// See transport.h.
#include "transport/transport.h"

#include <fmt/format.h>

#include <boost/asio/post.hpp>
#include <boost/assert.hpp>
#include <optional>
#include <utility>

// g++ 12 sees the allocation of a coroutine's frame and not its release, and takes them for a
// mismatch (with sanitizers on).
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"

namespace muster::node {

using discovery::DialProblem;

/// A dial under way; the owner may give it up.
struct Transport::Dial {
  explicit Dial(Transport& transport)
      : dialler(transport.strand_, transport.tasks_, transport.options_.mapper_port) {}
  Dialler dialler;
  Connection* link = nullptr;  ///< Once connected.
  bool given_up = false;

  void give_up() {
    given_up = true;
    dialler.cancel();
    if (link != nullptr) link->abort("given up");
  }
};

Transport::Transport(const Strand& strand, Options options, const Key& key, Log log, Owner& owner)
    : strand_(strand),
      options_(options),
      tls_(key),
      log_(std::move(log)),
      owner_(owner),
      tasks_(strand),
      closing_(strand),
      accept_pause_(strand) {}

void Transport::dial(LinkId link, const Peer& peer) { tasks_.spawn(run_dial(link, peer)); }

asio::awaitable<void> Transport::run_dial(LinkId id, Peer peer) {
  Dial dial(*this);
  dials_[id] = &dial;
  co_await asio::post(strand_, asio::use_awaitable);  // Not from within the owner's call.
  std::string reason;
  DialProblem problem = DialProblem::none;
  std::unique_ptr<Connection> link;
  auto socket = co_await dial.dialler.connect(peer, options_.dial_deadline);
  if (!socket) {
    reason = socket.error().detail;
    problem = dial.dialler.problem();
  } else if (!dial.given_up && !stopping_) {
    link = std::make_unique<Connection>(strand_, std::move(*socket), tls_,
                                        TlsContext::Role::dialler, dial.dialler.remote(), scratch_);
    link->id = id;
    dial.link = link.get();
    all_.insert(link.get());
    auto proved = co_await link->handshake(options_.handshake_deadline);
    if (!proved) {
      const bool cookie = link->tls_failure() == TlsChannel::Failure::wrong_cookie;
      problem = cookie ? DialProblem::wrong_cookie : DialProblem::other;
      reason = fmt::format("{}: {} ({})", peer.name.text(), proved.error().detail, link->remote());
      if (cookie && !dial.given_up) say_refused(peer.name.text(), *link, proved.error().detail);
    }
  }
  dials_.erase(id);
  if (problem == DialProblem::none && link && !dial.given_up) {
    said_.forget(peer.name.text());
    links_[id] = link.get();
    owner_.opened(id);
    co_await run_link(*link);
  } else if (!dial.given_up && !stopping_) {
    owner_.closed(id, reason, problem);
  }
  if (!link) co_return;
  co_await link->finish();
  all_.erase(link.get());
}

/// From open to gone.
asio::awaitable<void> Transport::run_link(Connection& link) {
  const std::string reason = co_await link.run(*this);
  // Unknown when the owner closed it.
  if (links_.erase(link.id) > 0) {
    if (!stopping_) owner_.closed(link.id, reason, DialProblem::none);
  } else {
    closing_.end();
  }
}

void Transport::readable(Connection& link) {
  if (links_.count(link.id) == 0) return;
  owner_.readable(
      link.id, [&](const std::function<bool(std::string_view)>& deliver) { link.drain(deliver); });
}

void Transport::drained(Connection& link) {
  if (links_.count(link.id) > 0) owner_.drained(link.id);
}

Connection* Transport::find(LinkId id) {
  if (const auto found = links_.find(id); found != links_.end()) return found->second;
  // The owner speaks to a link before accepted() has told us how it calls it.
  Connection* adopted = std::exchange(accepting_, nullptr);
  if (adopted != nullptr) {
    adopted->id = id;
    links_[id] = adopted;
  }
  return adopted;
}

void Transport::transmit(LinkId id, Lane lane, Bytes frame) {
  Connection* link = find(id);
  if (link == nullptr) return;
  link->push(lane, std::move(frame));
  if (!std::exchange(link->flushing, true)) to_flush_.push_back(id);
}

std::size_t Transport::queued(LinkId id) const {
  const auto found = links_.find(id);
  return found == links_.end() ? 0 : found->second->queued();
}

void Transport::close(LinkId id) {
  if (const auto dial = dials_.find(id); dial != dials_.end()) return dial->second->give_up();
  Connection* link = find(id);
  if (link == nullptr) return;
  links_.erase(id);
  closing_.begin();
  link->close();
}

void Transport::flush() {
  for (const LinkId id : std::exchange(to_flush_, {})) {
    const auto found = links_.find(id);
    if (found == links_.end()) continue;
    found->second->flushing = false;
    found->second->flush();
  }
}

asio::awaitable<void> Transport::wait_for_closing() { co_await closing_.wait(); }

asio::awaitable<void> Transport::stop() {
  stopping_ = true;
  accept_pause_.cancel();
  error_code ignored;
  for (Acceptor& acceptor : acceptors_) acceptor.close(ignored);
  for (const auto& [id, dial] : dials_) dial->give_up();
  for (Connection* link : all_) link->abort("stopped");
  co_await tasks_.wait();
}

void Transport::say_refused(const std::string& remote, const Connection& link,
                            const std::string& reason) {
  // A port scan or a load balancer's probe that says nothing is not worth a line.
  if (link.tls_failure() == TlsChannel::Failure::none) {
    log_.debug("{} gave up during the handshake: {}", remote, reason);
    return;
  }
  if (said_.news(remote, reason, std::chrono::steady_clock::now()))
    log_.warn("no link with {}: {}", remote, reason);
}

}  // namespace muster::node
