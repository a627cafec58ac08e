// SPDX-License-Identifier: MIT
//
// All links of a node: accepts, dials, proves the cookie, moves frames.  Who may stay is decided by
// its owner.
//
// Threads: the strand only.  Calls to the owner come from the strand and never from within a call
// of the owner's. Bounds: connections that have not proved the cookie, in all and per address (the
// oldest of them gives way); 5 s for a handshake; log lines once per remote and change. Stop:
// stop() ends accepting, dialling and all links; when it completes nothing of the transport runs.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "asio_types.h"
#include "muster/discovery/log.h"
#include "muster/discovery/peer.h"
#include "muster/node/cookie.h"
#include "muster/node/node_machine.h"
#include "muster/node/port_range.h"
#include "said_once.h"
#include "task_group.h"
#include "transport/connection.h"
#include "transport/dialler.h"
#include "transport/tls.h"

namespace muster::node {

class Transport final : private Connection::Owner {
 public:
  class Owner {
   public:
    using Drain = std::function<void(const std::function<bool(std::string_view)>& deliver)>;

    virtual ~Owner() = default;
    /// Somebody dialled us and has the cookie.
    virtual LinkId accepted(std::string_view remote) = 0;
    /// What we dialled is up.
    virtual void opened(LinkId link) = 0;
    /// Frames have come: call `drain` with what shall happen to each; it stops when that returns
    /// false.
    virtual void readable(LinkId link, const Drain& drain) = 0;
    /// Little is left in the queue.
    virtual void drained(LinkId link) = 0;
    virtual void closed(LinkId link, std::string_view reason, discovery::DialProblem problem) = 0;
  };

  struct Options {
    std::uint16_t mapper_port = 4369;
    Duration dial_deadline = std::chrono::seconds(3);
    Duration handshake_deadline = std::chrono::seconds(5);
    std::size_t unproved_max = 256;
    std::size_t unproved_per_address_max = 64;
  };

  Transport(const Strand& strand, Options options, const Key& key, Log log, Owner& owner);

  /// Takes one port of `ports` on all of `addresses`; the first address must work, the others may
  /// be missing on this host.  Returns the port.  Nobody is let in before accept().
  Result<std::uint16_t> listen(const std::vector<asio::ip::address>& addresses, PortRange ports);
  void accept();
  void dial(LinkId link, const Peer& peer);
  void transmit(LinkId link, Lane lane, Bytes frame);
  [[nodiscard]] std::size_t queued(LinkId link) const;
  /// Of a dial: gives up.  No closed() follows.
  void close(LinkId link);
  /// Starts writing whatever was transmitted since the last call.
  void flush();
  [[nodiscard]] bool anything_to_flush() const { return !to_flush_.empty(); }

  /// Ends when the links that are closing have said what they had to say.
  asio::awaitable<void> wait_for_closing();
  asio::awaitable<void> stop();

  [[nodiscard]] const std::vector<tcp::endpoint>& listening() const { return listening_; }

 private:
  struct Dial;
  struct Unproved {
    asio::ip::address address;
    Connection* link;
  };

  Result<std::uint16_t> listen_at(const std::vector<asio::ip::address>& addresses,
                                  std::uint16_t port);
  asio::awaitable<void> accept_all(Acceptor& acceptor);
  asio::awaitable<void> serve(Socket socket, tcp::endpoint remote);
  asio::awaitable<void> run_dial(LinkId id, Peer peer);
  asio::awaitable<void> run_link(Connection& link);
  [[nodiscard]] Connection* find(LinkId id);
  void make_room(const asio::ip::address& address);
  void say_refused(const std::string& remote, const Connection& link, const std::string& reason);

  void readable(Connection& link) override;
  void drained(Connection& link) override;

  Strand strand_;
  Options options_;
  TlsContext tls_;
  Log log_;
  Owner& owner_;
  TaskGroup tasks_;
  TaskGroup closing_;
  bool stopping_ = false;

  std::list<Acceptor> acceptors_;
  std::vector<tcp::endpoint> listening_;
  Timer accept_pause_;
  std::map<LinkId, Connection*> links_;  ///< That the owner knows.
  Connection* accepting_ = nullptr;      ///< That it is being told of.
  std::map<LinkId, Dial*> dials_;
  std::set<Connection*> all_;
  std::list<Unproved> unproved_;  ///< Oldest first.
  std::vector<LinkId> to_flush_;
  Connection::Scratch scratch_;
  SaidOnce said_;
};

}  // namespace muster::node
