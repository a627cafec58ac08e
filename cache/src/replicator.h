// SPDX-License-Identifier: MIT
//
// One table among its copies: the live stream and its acknowledgements, reports, catch-up, join,
// lines and forks.  The copy itself is a Replica.  One instance per table and node, also where the
// node holds no copy (then it passes requests on).
//
// Life of a copy: starting (looks for a member that runs the table) -> joining (copies) or
// catching_up (has a disk) -> `almost` (complete, tells everybody) -> ready, when every ready
// member waits for it.
//
// Order on a link: what was said of paths goes before operations, so a receiver can tell at once
// whether an operation counts.
//
// Threads: the node's strand.  Callers' callbacks run at the end of an entry, never from within.
#pragma once

#include <deque>
#include <random>

#include "muster/cache/cache_machine.h"
#include "replica.h"
#include "replicator_peer.h"

namespace muster::cache {

/// What all tables of a node share.
struct Surroundings {
  node::Fabric& fabric;
  CacheEffects& effects;
  const CacheOptions& options;
  std::mt19937_64 random;
  Healer* healer = nullptr;
  std::uint64_t malformed = 0;
  Now now = {};                                            ///< Of the latest entry.
  std::shared_ptr<char> alive = std::make_shared<char>();  ///< For replies that come too late.
};

class Replicator final : private ReplicaListener {
 public:
  Replicator(Surroundings& surroundings, TableDefinition definition);

  Result<void> load(const StoreImage& image);
  void start(Now now);
  void connected(Now now, const node::Member& peer);
  void disconnected(Now now, const node::Member& peer);
  void island_changed(Now now);
  void received(Now now, const node::Member& from, const wire::Message& message);
  void wake(Now now);
  [[nodiscard]] Instant next_wake() const;
  void flush(Now now);
  void stored(Now now, std::uint64_t number, bool failed);

  void write(Now now, Write write, const WriteOptions& options, CacheMachine::WriteDone done);
  void touch(Now now, const Key& key, std::optional<Duration> ttl, const WriteOptions& options,
             CacheMachine::WriteDone done);
  void take(Now now, const Key& key, const WriteOptions& options, CacheMachine::TakeDone done);
  void get(Now now, const Key& key, CacheMachine::ReadDone done);
  void all(Now now, const Pattern& pattern, std::size_t limit, CacheMachine::ListDone done);

  [[nodiscard]] const TableDefinition& definition() const { return definition_; }
  [[nodiscard]] const Replica& replica() const { return replica_; }
  [[nodiscard]] const std::shared_ptr<Table>& table() const { return replica_.shared_table(); }
  [[nodiscard]] bool ready() const { return readiness_ == Readiness::ready; }
  [[nodiscard]] bool hosted() const { return hosted_; }
  [[nodiscard]] TableStatus status(Now now) const;
  [[nodiscard]] wire::TableInfo table_info() const;
  void erase_journal(Now now, std::string_view key);
  void paused(Now now);  ///< The process stood still.
  void check_invariants() const;

 private:
  struct Waiter {
    std::optional<Dot> put = {}, free = {};
    Acknowledge acknowledge = Acknowledge::sync;
    Instant since = {}, deadline = never;
    Written written = {};
    CacheMachine::WriteDone done = {};
  };
  struct PendingWrite {
    Write write = {};
    WriteOptions options = {};
    Instant deadline = never;
    CacheMachine::WriteDone done = {};
  };
  struct Copying {  // a join or a bucket sync
    BootId sponsor = {};
    std::uint64_t session = 0;
    Instant progress = {};
    bool admitted = false;
    std::uint32_t next_bucket = 0, done_buckets = 0, per_request = 16;
    std::deque<std::uint32_t> outstanding = {};                // first buckets of ranges asked for
    std::map<std::uint32_t, std::set<std::string>> keys = {};  // of buckets that came in part
    Vector end = {};
    bool repair = false;
  };
  struct Fetching {
    BootId from = {};
    Instant deadline = {};
    bool lineless = false;
  };
  struct Asked {
    Instant deadline = {};
    BootId of = {};
    std::function<void(Now, const wire::Answer*)> done = {};  // nullptr: no answer
  };

  // ReplicaListener
  void applied(const Operation& operation, std::string_view encoded) override;
  void outdone(const SetAside& aside) override;

  // replicator.cc: the life of the copy, dispatch, disk
  void set_readiness(Now now, Readiness readiness, std::string_view why);
  void report(Now now, CacheEvent::Kind kind, const NodeName& peer, std::string detail) const;
  void progress(Now now);
  void begin_almost(Now now);
  void store_if_due(Now now);
  void make_batch(Now now, bool urgent);
  RemoteCopy* copy_of(BootId boot);
  wire::Message& control(RemoteCopy& copy);
  [[nodiscard]] bool in_view(BootId boot) const { return view_.contains(boot); }
  [[nodiscard]] BootId self() const { return surroundings_.fabric.self().boot; }
  [[nodiscard]] Timestamp cluster(Now now) const { return surroundings_.fabric.cluster_time(now); }
  [[nodiscard]] bool takes_part() const {
    return readiness_ == Readiness::ready || readiness_ == Readiness::catching_up;
  }
  [[nodiscard]] bool should_hold(const NodeName& name) const;

  // replicator_stream.cc: live stream, relays, acknowledgements
  void receive_operations(Now now, const node::Member& from, const wire::Message& message,
                          bool live);
  void receive_acks(Now now, const node::Member& from, const wire::Message& message);
  void send_acks();
  void pass_ack_on(const wire::Ack& ack, BootId from);
  void send_stream(Now now);
  void relay(const Operation& operation, std::string_view encoded);
  void report_changes(const Operation& operation) const;
  void send_control(RemoteCopy& copy);

  // replicator_report.cc: reports, lag, settled stamp
  void announce() { report_due_ = true; }
  void send_reports(Now now);
  void fill_report(Now now, wire::Report& report) const;
  void receive_report(Now now, const node::Member& from, const wire::Report& report);
  void check_digest(Now now, RemoteCopy& copy);
  /// Whether `mine` is short of what was asked for; what its giver itself has set aside since, with
  /// a line that lost, is not owed any more.
  [[nodiscard]] static bool owes(const Vector& mine, const Vector& givers, const Vector& asked);
  void check_lag(Now now);
  void forget_settled(Now now);
  [[nodiscard]] std::optional<Stamp> settled(Now now) const;
  [[nodiscard]] std::uint64_t membership_hash() const;
  [[nodiscard]] std::set<BootId> sync_set() const;

  // replicator_write.cc: clients
  void perform(Now now, Write& write, const WriteOptions& options, Instant deadline,
               CacheMachine::WriteDone done);
  void wait_for(Now now, Waiter waiter);
  [[nodiscard]] bool complete(const Waiter& waiter, const std::set<BootId>& required) const;
  [[nodiscard]] bool covers(const Vector& vector, const Waiter& waiter) const;
  void finish(Now now, Waiter waiter, bool acknowledged);
  void complete_waiters(Now now);
  void expire_waiters(Now now);
  [[nodiscard]] Expiry expiry_of(const Put& put, const Stamp& stamp,
                                 const std::optional<Table::Visible>& visible) const;
  Result<void> may_write() const;
  [[nodiscard]] std::pair<std::size_t, std::size_t> holders_and_admitted() const;

  // replicator_lines.cc
  [[nodiscard]] bool line_is_whole() const;
  void seek_line(Now now);
  void line_answered(Now now, BootId of, const wire::Answer& answer);
  void name_line(Now now);
  void answer_line(Now now, const node::Member& from, const wire::Ask& ask);
  void meet(Now now, RemoteCopy& copy, bool contact);
  void fork(Now now, RemoteCopy& copy);
  void lose_to(Now now, RemoteCopy& copy, const Fork& fork);
  void retry_pending(Now now);
  void collect_again(Now now, const Path& path);
  [[nodiscard]] std::optional<node::Member> oldest_in_view() const;

  // replicator_catchup.cc
  [[nodiscard]] bool lacks(const RemoteCopy& copy) const;
  void consider_fetch(Now now);
  void fetch_from(Now now, RemoteCopy& copy);
  void serve_fetch(Now now, RemoteCopy& copy, const wire::Fetch& fetch);
  void receive_delta(Now now, RemoteCopy& copy, const wire::Message& message);

  // replicator_join.cc
  [[nodiscard]] bool wants_sponsor() const {
    if (!hosted_ || copying_ || almost_) return false;
    return readiness_ == Readiness::starting || readiness_ == Readiness::joining;
  }
  void look_for_sponsor(Now now);
  void table_info_came(Now now, BootId from, const Result<std::string>& reply);
  void adopt(const TableDefinition& definition);
  void start_alone(Now now);
  [[nodiscard]] bool may_be_held(const RemoteCopy& joiner) const;
  void start_copying(Now now, BootId sponsor);
  void answer_join(Now now, RemoteCopy& copy, const wire::Join& join);
  void fill_join_answer(wire::JoinAnswer& answer) const;
  void admitted(Now now, RemoteCopy& copy, const wire::JoinAnswer& answer);
  void ask_for_buckets(Now now, RemoteCopy& copy);
  void serve_copy(RemoteCopy& copy, const wire::CopyRequest& request);
  void receive_buckets(Now now, RemoteCopy& copy, const wire::CopyAnswer& answer);
  void check_copied(Now now);
  void stop_copying(Now now);

  // replicator_ask.cc: questions to members and their answers
  void ask(Now now, BootId of, wire::Ask& ask, Duration deadline,
           std::function<void(Now, const wire::Answer*)> done);
  void receive_ask(Now now, const node::Member& from, const wire::Ask& ask);
  void receive_answer(Now now, const node::Member& from, const wire::Answer& answer);
  void answer(BootId to, const wire::Answer& answer);
  void proxy(Now now, wire::Ask& ask, Duration deadline,
             std::function<void(Now, Result<const wire::Answer*>)> done);
  void proxy_write(Now now, const Write& write, const WriteOptions& options,
                   CacheMachine::WriteDone done);
  void proxy_touch(Now now, const Key& key, std::optional<Duration> ttl,
                   CacheMachine::WriteDone done);
  void proxy_take(Now now, const Key& key, CacheMachine::TakeDone done);
  void answer_read(Now now, const node::Member& from, const wire::Ask& ask);
  void answer_write(Now now, const node::Member& from, const wire::Ask& ask);
  void expire_asked(Now now);
  [[nodiscard]] std::optional<BootId> ready_member() const;

  Surroundings& surroundings_;
  TableDefinition definition_;
  Replica replica_;
  std::map<BootId, RemoteCopy> copies_;
  std::set<BootId> view_;  // boots of the island
  bool hosted_ = true;
  Readiness readiness_ = Readiness::starting;
  std::string detail_;
  bool loaded_ = false, almost_ = false, started_ = false;
  Instant almost_since_{}, start_deadline_ = never, alone_deadline_ = never;
  bool admitted_on_line_ = true;  // after following: somebody on the line has named us a member

  // stream
  std::deque<std::string> frames_, lineless_frames_;  // own operations of this turn
  bool same_write_ = false;
  bool applying_live_ = false;
  BootId applying_from_{};
  std::map<BootId, std::vector<RemoteCopy*>> relay_targets_;  // of this turn, by origin's boot
  Vector moved_;                                              // to be acknowledged
  Vector acknowledged_;
  std::map<OriginId, BootId> via_;
  bool acks_moved_ = false;
  std::optional<Instant> gap_since_;
  BootId gap_from_{};

  // reports
  std::uint64_t report_version_ = 0;
  bool report_due_ = false, report_stale_ = false, relay_due_ = false;
  Instant last_report_{}, last_full_round_{};
  Instant next_tick_ = never;
  Origins heard_origins_;

  // writes
  std::deque<Waiter> waiters_;
  std::deque<PendingWrite> pending_;
  std::vector<PendingWrite> again_;  // own puts that a fork took away before they were acknowledged
  Instant earliest_deadline_ = never;  // no later than that of any waiter
  bool line_asked_ = false;
  Instant line_retry_ = never;

  // catch-up and join
  std::optional<Fetching> fetching_;
  std::optional<Copying> copying_;
  bool info_asked_ = false;
  std::set<BootId> tried_;
  Instant join_retry_ = never;
  std::multimap<std::uint64_t, std::pair<BootId, std::uint64_t>>
      admissions_;  // batch -> boot, session

  // asks
  std::uint64_t next_ask_ = 1;
  std::map<std::uint64_t, Asked> asked_;

  // disk
  std::uint64_t batch_number_ = 0, stored_number_ = 0;
  Instant next_store_ = never;
  bool disk_failed_ = false;

  mutable TableStatus counters_;  // puts, deletes, expired, splits, set_aside
};

}  // namespace muster::cache
