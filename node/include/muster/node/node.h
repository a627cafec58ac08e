// SPDX-License-Identifier: MIT
//
// A node, to embed: sockets, TLS, files and timers around the NodeMachine.
//
//   Node node(io.get_executor(), {.name = *NodeName::parse("a@127.0.0.1"), .directory = "./a"},
//   log); if (auto opened = co_await node.open(); !opened) ...   // The fabric exists: attach
//   services. if (auto started = co_await node.start(); !started) ... auto outcome = co_await
//   node.connect({.name = b}); co_await node.leave();                                 // Optional:
//   others forget us. co_await node.stop();
//
// Threads: the node lives on its own strand; the executor may be run by any number of threads.
// Awaitables may be awaited from any executor and complete there; view() and plumbing() are for any
// thread.  The second half of the class is for the strand alone.
// Errors: sentences that name the flag or file.  Many nodes may live in one process.
// Stop: stop() from any thread, at any moment, more than once; when it completes nothing of ours
// runs any more.  It must complete, and all other calls return, before the node is destroyed.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/strand.hpp>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "muster/discovery/log.h"
#include "muster/discovery/peer.h"
#include "muster/discovery/plumbing.h"
#include "muster/discovery/result.h"
#include "muster/node/cookie.h"
#include "muster/node/fabric.h"
#include "muster/node/node_machine.h"
#include "muster/node/port_range.h"

namespace muster::node {

struct NodeSettings {
  NodeName name;
  /// Created and locked; holds node.state.  Empty: nothing is remembered.
  std::filesystem::path directory = {};
  /// Empty: ~/.muster.cookie.  Not read when `cookie` is given.
  std::filesystem::path cookie_file = {};
  std::optional<Cookie> cookie = {};
  /// Where links and the port mapper listen.  Empty: the host of the name when that is an address,
  /// otherwise 127.0.0.1, which stands for all loopback addresses of this host.
  std::string bind = {};
  PortRange link_port = {};
  /// Of the port mappers, here and on other hosts.  Empty: ERL_EPMD_PORT, or 4369.
  std::optional<std::uint16_t> mapper_port = {};
  bool use_port_mapper = true;  ///< False: others reach us only by address and port.
  std::string cluster = {};     ///< Optional label: nodes of different labels refuse each other.
  bool allow_faults = false;    ///< cut() and heal() work.
  Duration probe_every = NodeOptions().probe_every;
  Duration silent_after = NodeOptions().silent_after;
  Duration dial_deadline = std::chrono::seconds(3);
};

/// What a node knows, at one moment.
struct NodeView {
  Member self;
  Peer advertised;                ///< How others reach us.
  std::vector<Member> connected;  ///< In the order in which they were.
  std::vector<Member> island;     ///< This node included, oldest first.
  Membership membership;
};

class Node {
 public:
  Node(boost::asio::any_io_executor executor, NodeSettings settings, Log log);
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  /// Directory, cookie, state and the link port; from here on fabric() exists.  Nobody is let in
  /// yet.
  boost::asio::awaitable<Result<void>> open();
  /// open() if that has not been done; then accepts, registers with the port mapper, and runs.
  boost::asio::awaitable<Result<void>> start();
  boost::asio::awaitable<ConnectOutcome> connect(Peer peer);
  /// False when it was not connected.
  boost::asio::awaitable<bool> disconnect(NodeName name);
  /// Announces that we go for good and waits until peers know; then stop().
  boost::asio::awaitable<Result<void>> leave();
  boost::asio::awaitable<Result<void>> forget(NodeName name);
  boost::asio::awaitable<Result<void>> cut(NodeName name);
  boost::asio::awaitable<void> heal();
  boost::asio::awaitable<void> stop();

  /// Never null once open() has succeeded.  Any thread.
  [[nodiscard]] std::shared_ptr<const NodeView> view() const;
  /// Any thread.  Stop the topologies before the node.
  [[nodiscard]] discovery::Plumbing& plumbing();
  /// Of the cookie; after open().
  [[nodiscard]] Key derive(std::string_view purpose) const;

  // For layers above.  On the strand, and after open() unless said otherwise.

  [[nodiscard]] boost::asio::strand<boost::asio::any_io_executor> strand() const;  ///< Any thread.
  [[nodiscard]] Fabric& fabric();
  [[nodiscard]] NodeMachine& machine();

  using EventHandler = std::function<void(Now, const NodeEvent&)>;
  /// Called on the strand, in order, at the end of the turn in which it happened.  Add handlers
  /// before start().
  void on_event(EventHandler handler);

  /// A turn is one batch of work: the frames of one read, a timer, a call of turn().  At its end
  /// first the events, then these functions run, then every link writes all that it was given, at
  /// once.  What is collected in a turn and sent here becomes one frame per peer.  Also called when
  /// a link has drained: look at Fabric::queued() and send more.  Add them before start().
  void at_turn_end(std::function<void(Now)> hook);
  /// Runs `work` as a turn, or as part of the present one.
  void turn(const std::function<void(Now)>& work);
  /// Makes sure that a turn ends soon, after whatever is waiting for the strand already.  Sending
  /// on the fabric does so by itself.
  void turn_soon();

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace muster::node
