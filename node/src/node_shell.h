// SPDX-License-Identifier: MIT
//
// The inside of Node: performs what the NodeMachine decides and tells it what happened.  It decides
// nothing itself.
//
// Turns: every entry to the machine happens in a turn.  At its end events go out, hooks run, links
// write, the view is renewed and the timer is set; so whatever was collected leaves in one write
// per link. Threads: the strand, except where said.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "asio_types.h"
#include "happening.h"
#include "muster/node/node.h"
#include "port_mapper/registration.h"
#include "said_once.h"
#include "state_keeper.h"
#include "task_group.h"
#include "transport/transport.h"

namespace muster::node {

class Node::Impl final : public std::enable_shared_from_this<Node::Impl>,
                         public discovery::Plumbing,
                         private Fabric,
                         private NodeEffects,
                         private Transport::Owner,
                         private Service {
 public:
  Impl(asio::any_io_executor executor, NodeSettings settings, Log log);

  // Behind the facade's functions of the same names.
  asio::awaitable<Result<void>> open();
  asio::awaitable<Result<void>> start();
  asio::awaitable<ConnectOutcome> connect(Peer peer);
  asio::awaitable<bool> disconnect(NodeName name);
  asio::awaitable<Result<void>> forget(NodeName name);
  asio::awaitable<Result<void>> cut(NodeName name);
  asio::awaitable<void> heal();
  asio::awaitable<Result<void>> leave();
  asio::awaitable<void> stop();
  void turn(const std::function<void(Now)>& work);
  void turn_soon();

  // Plumbing.  Any thread.
  void connect(const Peer& peer, Duration within, Done done) override;
  void disconnect(const NodeName& name, Done done) override;
  [[nodiscard]] std::set<NodeName> list_nodes() override;

  [[nodiscard]] std::shared_ptr<const NodeView> view() const;  ///< Any thread.
  [[nodiscard]] Fabric& fabric() { return *this; }
  [[nodiscard]] NodeMachine& machine() { return *machine_; }
  [[nodiscard]] const Cookie& cookie() const { return *settings_.cookie; }
  [[nodiscard]] const Strand& strand() const { return strand_; }

  std::vector<EventHandler> handlers;
  std::vector<std::function<void(Now)>> hooks;

 private:
  // node_start.cc
  Result<void> take_directory();
  Result<void> take_cookie();
  [[nodiscard]] Result<asio::ip::address> bind_address() const;
  asio::awaitable<Result<void>> take_port();
  asio::awaitable<std::vector<asio::ip::address>> link_addresses(asio::ip::address bind);
  void make_machine(std::uint16_t port);
  asio::awaitable<Result<void>> take_name();
  asio::awaitable<void> run_timer();

  // node_shell.cc
  void end_turn(Now now);
  void tell(Now now, const NodeEvent& event);
  void renew_view();

  // node_plumbing.cc
  [[nodiscard]] discovery::DialOutcome outcome_of(const NodeName& name,
                                                  const ConnectOutcome& outcome) const;
  asio::awaitable<void> plumb(Peer peer, Duration within, Done done);
  asio::awaitable<std::optional<ConnectOutcome>> ask(Peer peer, Duration patience);

  // Fabric: the machine's, and a turn that ends soon after what is sent.
  [[nodiscard]] const Member& self() const override { return machine_->self(); }
  [[nodiscard]] std::vector<Member> connected() const override { return machine_->connected(); }
  [[nodiscard]] std::vector<Member> island() const override { return machine_->island(); }
  [[nodiscard]] const Membership& membership() const override { return machine_->membership(); }
  [[nodiscard]] bool linked(BootId a, BootId b) const override { return machine_->linked(a, b); }
  [[nodiscard]] Timestamp cluster_time(Now now) const override {
    return machine_->cluster_time(now);
  }
  bool send(BootId to, ServiceId service, Lane lane, Bytes payload) override;
  [[nodiscard]] std::size_t queued(BootId to) const override { return machine_->queued(to); }
  void call(Now now, BootId to, std::string_view name, std::string request, Duration deadline,
            Reply reply) override;
  void handle(std::string name, Handler handler) override;
  void attach(ServiceId service, Service* listener) override;

  // NodeEffects.
  void dial(LinkId link, const Peer& peer) override;
  void transmit(LinkId link, Lane lane, Bytes frame) override;
  [[nodiscard]] std::size_t queued(LinkId link) const override;
  void close(LinkId link) override;
  void persist(const NodeState& state) override;
  void report(Now now, const NodeEvent& event) override;

  // Transport::Owner.
  LinkId accepted(std::string_view remote) override;
  void opened(LinkId link) override;
  void readable(LinkId link, const Transport::Owner::Drain& drain) override;
  void drained(LinkId link) override;
  void closed(LinkId link, std::string_view reason, discovery::DialProblem problem) override;

  // Service: only to learn of changes.
  void connected(Now, const Member&) override { view_is_old_ = true; }
  void disconnected(Now, const Member&, DownReason) override { view_is_old_ = true; }
  void island_changed(Now) override { view_is_old_ = true; }
  void received(Now, const Member&, std::string_view) override {}

  struct Problem {
    std::string reason;
    discovery::DialProblem problem;
  };

  Strand strand_;
  NodeSettings settings_;
  Log log_;
  TaskGroup tasks_;  ///< Timer, posted turns.
  TaskGroup calls_;  ///< Of the facade, under way.
  HostResolver resolver_;
  std::uint16_t mapper_port_;
  std::uint64_t seed_ = 0;

  std::optional<DirectoryLock> lock_;
  std::unique_ptr<StateKeeper> state_keeper_;
  NodeState state_;  ///< As loaded.
  std::unique_ptr<Transport> transport_;
  std::unique_ptr<NodeMachine> machine_;
  std::unique_ptr<PortMapperRegistration> registration_;
  Peer advertised_;

  bool started_ = false;
  bool in_turn_ = false;
  bool turn_posted_ = false;
  bool view_is_old_ = false;
  Now turn_{};  ///< The present turn's.
  std::deque<std::pair<Now, NodeEvent>> events_;
  Timer timer_;
  Instant armed_ = never;
  Happening left_;
  Happening stopping_;
  Happening stopped_;
  std::list<Happening*> waiting_;  ///< Calls of connect().
  SaidOnce said_;

  std::map<LinkId, NodeName> dialled_;
  std::map<NodeName, Problem> problems_;  ///< Of the last dial that failed.

  mutable std::mutex view_mutex_;  ///< Guards view_ alone.
  std::shared_ptr<const NodeView> view_;
};

}  // namespace muster::node
