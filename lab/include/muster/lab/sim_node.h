// SPDX-License-Identifier: MIT
//
// One simulated node: the production machines of discovery, node, cache and unsplit on a simulated
// host, wired as the shells wire them.  It owns no rule: what it adds is the wiring, a dial
// deadline, a disk that takes its time, and the memory that outlives a crash.
//
// Threads: one.  Every input to the machines is a turn: the input, then flush(), then the
// invariants, then the next wake.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "muster/cache/cache_machine.h"
#include "muster/discovery/topology_machine.h"
#include "muster/lab/agenda.h"
#include "muster/lab/network.h"
#include "muster/lab/random.h"
#include "muster/lab/sim_disk.h"
#include "muster/lab/trace.h"
#include "muster/node/node_machine.h"
#include "muster/unsplit/unsplit_machine.h"

namespace muster::lab {

/// What a crash leaves on disk: all that was handed to it; a part of it; nothing.
enum class Crash : std::uint8_t { keep, lose_tail, lose_disk };

struct SimNodeOptions {
  std::vector<cache::TableDefinition> tables;
  node::NodeOptions node;  ///< Name, boot and address are filled in.
  /// A copy goes to disk in several batches, although tables are small here.
  cache::CacheOptions cache = {.copy_batch_bytes = 1000};
  unsplit::UnsplitOptions unsplit;
  bool with_cache = true;
  bool with_healer = true;
  Duration dial_deadline = std::chrono::seconds(1);
  Duration disk_least = std::chrono::milliseconds(1);
  Duration disk_most = std::chrono::milliseconds(20);
  std::uint32_t check_every = 1;  ///< Turns between calls of check_invariants().

  // To show that the checkers bite.
  bool lying_disk = false;  ///< Says that a batch is durable, and forgets it.
  /// Stands between the cache and the real healer.
  std::function<std::unique_ptr<cache::Healer>(const NodeName&, cache::Healer&)> wrap_healer;
};

class SimNode final : private Process,
                      private node::NodeEffects,
                      private cache::CacheEffects,
                      private cache::Healer,
                      private discovery::TopologySink {
 public:
  struct Stage {
    Agenda& agenda;
    Network& network;
    Trace& trace;
    /// A node's host by its name; none: no such host.
    std::function<std::optional<HostId>(const NodeName&)> host_of;
    std::function<void(std::string)> violation;
    /// A link to that node came up here, or went down.
    std::function<void(const NodeName&, bool up)> linked;
    std::function<void(const cache::CacheEvent&)> alarm;
    std::function<void()> forked;
    /// Values of a table that were read here are about to leave its copy.
    std::function<void(const std::string& table)> dropping;
    std::function<void(const unsplit::Heal&)> healed;
  };

  SimNode(Stage stage, const SimNodeOptions& options, HostId host, NodeName name,
          std::uint64_t seed);
  ~SimNode() override;

  void start(PeerSet contacts);
  /// Until when operations on a table are surely on disk; a table that is not in it: none are.
  using DurableUntil = std::map<std::string, Instant>;
  /// The process ends as by kill -9, or the whole host loses power.
  DurableUntil crash(Crash kind, bool power);
  void leave();

  // Disks.
  /// A batch takes up to so long from now on.
  void slow_disk(Duration most) { disk_most_ = most; }
  /// Every commit fails from now on, until the process ends.
  void break_disk() { disk_broken_ = true; }
  [[nodiscard]] bool disk_broken() const { return disk_broken_; }
  /// What an administrator copies away: all that is durable now.
  void back_up() { backup_ = Backup{state_, disk_, durable_}; }
  [[nodiscard]] bool backed_up() const { return backup_.has_value(); }
  /// The directory becomes what back_up() saw; only while it is down.
  DurableUntil restore();

  [[nodiscard]] bool up() const { return machine_ != nullptr; }
  [[nodiscard]] bool leaving() const { return leaving_; }
  [[nodiscard]] bool has_left() const { return left_; }
  [[nodiscard]] HostId host() const { return host_; }
  [[nodiscard]] const NodeName& name() const { return name_; }
  [[nodiscard]] std::uint32_t life() const { return life_; }
  [[nodiscard]] Now now() const { return stage_.network.now(host_); }
  /// Null while it is down.
  [[nodiscard]] node::NodeMachine* machine() { return machine_.get(); }
  [[nodiscard]] const node::NodeMachine* machine() const { return machine_.get(); }
  [[nodiscard]] cache::CacheMachine* cache() { return cache_.get(); }
  [[nodiscard]] const cache::CacheMachine* cache() const { return cache_.get(); }
  [[nodiscard]] unsplit::UnsplitMachine* healer() { return healer_.get(); }
  /// Also of a node that left: its file stays where it is.  Empty while it is down otherwise.
  [[nodiscard]] std::vector<unsplit::JournalEntry> journal(const std::string& table) const;
  [[nodiscard]] const SimDisk& disk() const { return disk_; }
  [[nodiscard]] const node::NodeState& state() const { return state_; }
  [[nodiscard]] std::size_t most_queued() const { return most_queued_; }

  /// Runs `body` as one turn of this node, now or when it is no longer paused; never when its
  /// process ends before.
  void turn(std::function<void(Now)> body);
  /// The peers that its static list names from now on.
  void list(PeerSet contacts);

  /// Told of all that the machines report.
  std::function<void(Now, const node::NodeEvent&)> on_node_event;
  std::function<void(Now, const cache::CacheEvent&)> on_cache_event;
  std::function<void(Now, const unsplit::Heal&)> on_heal;

 private:
  // Process.
  void accepted(End end, HostId from) override;
  void established(End end) override;
  void received(End end, std::string_view bytes) override;
  void closed(End end, std::string_view reason) override;
  void datagram(HostId from, std::string_view bytes) override;
  // node::NodeEffects.
  void dial(node::LinkId link, const Peer& peer) override;
  void transmit(node::LinkId link, node::Lane lane, node::Bytes frame) override;
  [[nodiscard]] std::size_t queued(node::LinkId link) const override;
  void close(node::LinkId link) override;
  void persist(const node::NodeState& state) override;
  void report(Now now, const node::NodeEvent& event) override;
  // cache::CacheEffects.
  void store(cache::StoreBatch batch) override;
  void report(Now now, const cache::CacheEvent& event) override;
  // cache::Healer: hears each verdict before it is carried out.
  cache::Verdict judge(Now now, const cache::TableDefinition& table,
                       const cache::Fork& fork) override;
  Record record(Now now, const cache::TableDefinition& table, const cache::SetAside& aside,
                bool speaks) override;
  void healed(Now now, const cache::HealReport& report) override;
  [[nodiscard]] cache::Healer& judging() const;
  // discovery::TopologySink.
  void connect(discovery::AttemptId id, const Peer& peer, Duration within) override;
  void disconnect(discovery::AttemptId id, const NodeName& name) override;
  std::set<NodeName> list_nodes() override;
  void happened(const discovery::ConnectEvent& event) override;
  void note(const std::string& topology, Level level, std::string text) override;

  void open_cache();
  void run_turn(const std::function<void(Now)>& body);
  void finish_turn(Now now);
  void check() const;
  void rearm();
  void wake();
  [[nodiscard]] Instant next_wake() const;
  void link_failed(node::LinkId link, std::string reason);
  void schedule_commit();
  cache::StoreBatch commit_one();
  void committed();

  Stage stage_;
  const SimNodeOptions& options_;
  const HostId host_;
  const NodeName name_;
  Random random_;

  // Outlives a crash.
  node::NodeState state_;
  std::uint64_t host_start_ = 1;
  SimDisk disk_;
  bool left_ = false;
  std::map<std::string, std::vector<unsplit::JournalEntry>> left_journals_;

  // Of one life; the machines above hold references to those below.
  std::uint32_t life_ = 0;
  std::unique_ptr<discovery::TopologyMachine> topology_;
  std::unique_ptr<node::NodeMachine> machine_;
  std::unique_ptr<cache::CacheMachine> cache_;
  std::unique_ptr<unsplit::UnsplitMachine> healer_;
  std::unique_ptr<cache::Healer> wrapped_healer_;
  std::map<node::LinkId, End> ends_;
  std::map<End, node::LinkId> links_;
  std::vector<cache::CacheEvent> cache_events_;  ///< Of this turn, not yet told to the healer.
  struct Batch {
    std::string table;
    Instant handed_over;
  };
  std::deque<Batch> batches_;  ///< As they wait in disk_.
  DurableUntil durable_;
  struct Backup {
    node::NodeState state;
    SimDisk disk;
    DurableUntil durable;
  };
  std::optional<Backup> backup_;
  Duration disk_most_;
  bool disk_broken_ = false;
  bool committing_ = false;
  bool in_turn_ = false;
  bool links_changed_ = false;
  bool leaving_ = false;
  Instant armed_ = never;
  Instant last_wake_{};
  std::uint32_t wakes_at_once_ = 0;
  std::uint32_t turns_ = 0;
  std::size_t most_queued_ = 0;
};

}  // namespace muster::lab
