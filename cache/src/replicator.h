// SPDX-License-Identifier: MIT
//
// One table among its copies: the live stream and its acknowledgements, reports, catch-up, join,
// lines and forks.  The copy itself is a Replica.  One instance per table and node, also where the
// node holds no copy (then it passes requests on).
//
// Life of a copy: starting (looks for a member that runs the table) -> joining (copies) ->
// catching_up (also: has a disk, was slow) -> `almost` (complete, tells everybody) -> ready, when
// every ready member waits for it.
//
// Order on a link: what was said of paths goes before operations, so a receiver can tell at once
// whether an operation counts.
//
// Threads: the node's strand.  Callers' callbacks run at the end of an entry, never from within.
#pragma once

#include <deque>
#include <random>
#include <span>
#include <tuple>

#include "copy_codec.h"
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
  const StoreImage* image = nullptr;  ///< nullptr: this node has no disk.
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
  /// The same, of a message with operations alone.
  void received_stream(Now now, const node::Member& from,
                       std::span<const std::string_view> operations);
  void wake(Now now);
  [[nodiscard]] Instant next_wake() const;
  void flush(Now now);
  void stored(Now now, std::uint64_t number);
  void disk_changed(Now now, DiskState state, const std::string& why);

  void write(Now now, Write&& write, const WriteOptions& options, CacheMachine::WriteDone done);
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
  [[nodiscard]] bool healing() const { return healing_.has_value(); }
  [[nodiscard]] TableStatus status(Now now) const;
  [[nodiscard]] std::string not_handed_off()
      const;  ///< Empty: all that others should have they do.
  [[nodiscard]] wire::TableInfo table_info() const;
  void change_journal(Now now, std::string key, std::optional<std::string> value);
  void heard(BootId from, TableDefinition definition);  ///< What a peer says this table is.
  void paused(Now now);                                 ///< The process stood still.
  void check_invariants() const;

 private:
  struct Waiter {
    std::optional<Dot> put = {}, free = {};
    Vector earlier = {};  ///< What covers the delete of keys that were gone already.
    Stamp stamp = {};     // of the put
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
    bool repair = false;  // of a difference at equal vectors
    bool admitted = false;
    std::uint32_t next_bucket = 0, done_buckets = 0, per_request = 16;
    std::deque<std::uint32_t> outstanding = {};  // first buckets of ranges asked for
    std::map<std::uint32_t, std::set<std::string, std::less<>>> keys =
        {};  // of buckets that came in part
    Vector end = {};
    Pruned pruned = {};  // the sponsor's
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
  void brought_delete(std::string_view key, const Dot& created, const Stamp& stamp) override;

  // replicator.cc: the life of the copy, dispatch, disk
  void set_readiness(Now now, Readiness readiness, std::string_view why);
  void report(Now now, CacheEvent::Kind kind, const NodeName& peer, std::string detail) const;
  void progress(Now now);
  void begin_almost(Now now);
  void store_if_due(Now now);
  void make_batch(Now now, bool urgent);
  [[nodiscard]] Duration disk_late(Now now) const;
  [[nodiscard]] DiskPace pace(Now now) const;
  /// Whether this copy's word counts only for what is on its disk.
  [[nodiscard]] bool acknowledges_from_disk(Now now) const;
  RemoteCopy* copy_of(BootId boot);
  [[nodiscard]] const RemoteCopy* copy_of(BootId boot) const;
  RemoteCopy* heard_from(const node::Member& peer);  ///< nullptr: its word counts for nothing.
  wire::Message& control(RemoteCopy& copy);
  [[nodiscard]] bool in_view(BootId boot) const { return view_.contains(boot); }
  [[nodiscard]] BootId self() const { return surroundings_.fabric.self().boot; }
  [[nodiscard]] Timestamp cluster(Now now) const {
    if (planted::has(planted::Bug::wall_clock_stamps)) return now.wall;
    return surroundings_.fabric.cluster_time(now);
  }
  [[nodiscard]] bool takes_part() const {
    return readiness_ == Readiness::ready || readiness_ == Readiness::catching_up;
  }
  /// A copy of what this one holds; of local content there is no other.
  [[nodiscard]] bool should_hold(const NodeName& name) const;
  /// Asked for by the definition, and possible here.
  [[nodiscard]] static bool stores(const Surroundings& surroundings,
                                   const TableDefinition& definition);
  void keep_values_where_asked();

  // replicator_stream.cc: live stream, relays, acknowledgements
  void prefetch(std::span<const std::string_view> operations) const;
  void receive_operations(Now now, const node::Member& from,
                          std::span<const std::string_view> operations, bool live);
  void receive_acks(Now now, const node::Member& from, const wire::Message& message);
  void send_acks();
  void acknowledge(const Vector& upto, Vector& acknowledged, bool durable);
  void pass_ack_on(const wire::Ack& ack, BootId from);
  void send_stream(Now now);
  void relay(const Operation& operation, std::string_view encoded);
  void report_changes(const Operation& operation) const;
  void send_control(RemoteCopy& copy);

  // replicator_queue.cc: what waits on a link stays bounded
  bool streams_to(RemoteCopy& copy);
  [[nodiscard]] bool has_room(RemoteCopy& copy);
  void serve_waiting(Now now);
  void serve(Now now, RemoteCopy& copy);
  void post(BootId to, node::Lane lane, const wire::Message& message);
  void post(BootId to, node::Lane lane, std::string message);
  std::optional<wire::Message> collect(RemoteCopy& copy, const wire::Piece& piece);

  // replicator_report.cc: reports, lag, digests
  void announce() { report_due_ = true; }
  void send_reports(Now now);
  void fill_report(Now now, wire::Report& report) const;
  void receive_report(Now now, const node::Member& from, const wire::Report& report);
  void check_digest(Now now, RemoteCopy& copy);
  /// Whether `mine` is short of what was asked for; what its giver itself has set aside since, with
  /// a line that lost, is not owed any more.
  [[nodiscard]] bool owes(const Vector& mine, const Pruned& pruned, const Vector& givers,
                          const Vector& asked) const;
  void check_lag(Now now);
  void fell_behind(Now now, RemoteCopy& copy, const Vector& upto);
  [[nodiscard]] bool behind_what_was_asked() const;
  // replicator_settle.cc: the settled stamp, forgetting
  void forget_settled(Now now);
  [[nodiscard]] std::optional<std::vector<const RemoteCopy*>> counted_reports() const;
  [[nodiscard]] std::uint64_t covered_of(const OriginId& id, const Vector& vector,
                                         const Pruned& pruned) const;
  [[nodiscard]] std::optional<Stamp> settled(Now now,
                                             const std::vector<const RemoteCopy*>& counted) const;
  void prune(const Stamp& bound, const std::vector<const RemoteCopy*>& counted);
  void tidy();
  [[nodiscard]] std::uint64_t membership_hash() const;
  [[nodiscard]] std::set<BootId> sync_set() const;
  void forget_what_it_lost(RemoteCopy& copy) const;
  [[nodiscard]] std::uint64_t waits_for_us_since(const wire::Report& report) const;
  [[nodiscard]] bool must_have(BootId boot, const RemoteCopy& copy) const;  ///< Of the sync set.
  [[nodiscard]] Instant lag_due() const;
  [[nodiscard]] bool is_being_told(BootId boot, const RemoteCopy& copy) const;

  // replicator_write.cc: clients
  void perform(Now now, Write& write, const WriteOptions& options, Instant deadline,
               CacheMachine::WriteDone done);
  void wait_for(Now now, Waiter& waiter);
  [[nodiscard]] bool complete(const Waiter& waiter) const;
  [[nodiscard]] bool has(const RemoteCopy& copy, const Waiter& waiter) const;
  [[nodiscard]] bool covers(const Vector& vector, const Pruned& pruned, const Waiter& waiter) const;
  void wait_for_delete_of(const Key& key, Waiter& waiter) const;
  struct OtherHolder {
    const NodeName* name = nullptr;
    const RemoteCopy* copy = nullptr;  ///< nullptr: it has none that counts.
  };
  [[nodiscard]] std::vector<OtherHolder> other_holders() const;
  void name_holders(Waiter& waiter, const std::vector<OtherHolder>& others) const;
  void finish(Now now, std::span<Waiter> waiters, bool acknowledged);
  template <class Ends>
  std::vector<Waiter> take_waiters(const Ends& ends);
  void complete_waiters(Now now);
  void expire_waiters(Now now);
  void give_up_waiting(Now now);
  [[nodiscard]] std::uint64_t continued(const Put& put, const Table::Visible& visible) const;
  [[nodiscard]] Timestamp moment(Now now, const Stamp& stamp) const;
  [[nodiscard]] Expiry expiry_of(const Put& put, Timestamp when,
                                 const std::optional<Table::Visible>& visible) const;
  Result<void> may_write() const;
  [[nodiscard]] Duration deletes_bar_puts_for() const {
    return definition_.reuse == Reuse::never ? *definition_.max_ttl : Duration();
  }
  Result<void> may_put(const Key& key, const Stamp& stamp) const;
  [[nodiscard]] std::pair<std::size_t, std::size_t> holders_and_admitted() const;
  [[nodiscard]] bool journals_are_empty() const;

  // replicator_lines.cc
  [[nodiscard]] bool line_is_whole() const;
  void seek_line(Now now);
  void line_answered(Now now, BootId of, const wire::Answer& answer);
  void name_line(Now now);
  void answer_line(Now now, const node::Member& from, const wire::Ask& ask);
  void meet(Now now, RemoteCopy& copy, bool contact);
  void fork(Now now, RemoteCopy& copy);
  [[nodiscard]] Verdict yielding(const RemoteCopy& copy, Verdict verdict) const;
  [[nodiscard]] Fork fork_with(const RemoteCopy& copy) const;
  bool tell_fork(Now now, const Fork& fork);
  [[nodiscard]] const TableDefinition& judged_by(const RemoteCopy& copy, const Fork& fork) const;
  void lose_to(Now now, RemoteCopy& copy, const Fork& fork);
  bool set_aside(Now now, const SetAside& aside, bool eldest);
  [[nodiscard]] bool eldest_of(const std::set<BootId>& losers) const;
  void check_healings(Now now);
  void finish_healing(Now now, const Healing& healing, Verdict verdict, bool complete);
  void retry_pending(Now now);
  std::map<Stamp, std::size_t> collect_again(Now now, const Path& path);
  void put_again(Now now, Write& write, std::string_view encoded, std::string_view value,
                 Expiry expiry) const;
  [[nodiscard]] std::optional<node::Member> oldest_in_view() const;

  // replicator_catchup.cc
  [[nodiscard]] const Origin* origin_of(const OriginId& id) const;
  [[nodiscard]] bool lacks(const RemoteCopy& copy) const;
  void consider_fetch(Now now);
  void fetch_from(Now now, RemoteCopy& copy);
  [[nodiscard]] bool continues(const Dot& puts, const Dot& deletes) const;
  void serve_fetch(Now now, RemoteCopy& copy, const wire::Fetch& fetch);
  void copy_missing(Now now, RemoteCopy& copy);
  void receive_delta(Now now, RemoteCopy& copy, const wire::Message& message);

  // replicator_join.cc
  [[nodiscard]] bool wants_sponsor() const {
    if (!hosted_ || copying_ || almost_) return false;
    return readiness_ == Readiness::starting || readiness_ == Readiness::joining;
  }
  void look_for_sponsor(Now now);
  void table_info_came(Now now, BootId from, const Result<std::string>& reply);
  void start_alone(Now now);
  [[nodiscard]] bool may_be_held(const RemoteCopy& joiner) const;
  void start_copying(Now now, BootId sponsor, bool repair = false);
  void answer_join(Now now, RemoteCopy& copy, const wire::Join& join);
  void fill_join_answer(wire::JoinAnswer& answer) const;
  void admitted(Now now, RemoteCopy& copy, const wire::JoinAnswer& answer);
  void ask_for_buckets(Now now, RemoteCopy& copy);
  [[nodiscard]] static std::uint32_t buckets_per_request(const wire::JoinAnswer& answer);
  void receive_copy_request(RemoteCopy& copy, const wire::CopyRequest& request);
  [[nodiscard]] bool can_serve(const wire::CopyRequest& request) const;
  bool serve_range(RemoteCopy& copy, Wanted::Range& range);
  void receive_buckets(Now now, RemoteCopy& copy, const wire::CopyAnswer& answer);
  bool install(const BucketPart& part, const Vector& sender);
  void check_copied(Now now);
  void stop_copying(Now now);

  // replicator_definition.cc
  void adopt(const TableDefinition& definition);
  void weigh_majority();
  [[nodiscard]] TableDefinition definition_in_force() const;
  [[nodiscard]] std::string difference_to(const RemoteCopy& copy) const;
  void tell_differences(Now now);
  void tell_overruled(Now now, const NodeName& by, const TableDefinition& definition);
  [[nodiscard]] std::vector<std::string> all_differences() const;

  // replicator_return.cc: nodes that come back after they were forgotten
  [[nodiscard]] std::uint32_t own_admissions() const;
  void note_dropped();
  void fill_returning(wire::Report& report) const;
  [[nodiscard]] std::uint32_t dropped(const NodeName& name) const;
  [[nodiscard]] bool superseded(const node::Member& from) const;
  void compare_admissions(Now now, RemoteCopy& copy, const wire::Report& report, bool direct);
  void report_apart(Now now, RemoteCopy& copy);
  void rejoin(Now now, RemoteCopy& copy, std::string_view why);
  void keep_for_rejoin(Now now, const RemoteCopy& sponsor, const Vector& theirs);
  void drop_needless_records(bool copied);
  void delete_again(Now now);

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
                   const WriteOptions& options, CacheMachine::WriteDone done);
  void proxy_take(Now now, const Key& key, const WriteOptions& options,
                  CacheMachine::TakeDone done);
  void answer_question(Now now, const node::Member& from, const wire::Ask& ask);
  void answer_read(Now now, const node::Member& from, const wire::Ask& ask);
  void answer_write(Now now, const node::Member& from, const wire::Ask& ask);
  void answer_take(Now now, const node::Member& from, const wire::Ask& ask, const Key& key,
                   const WriteOptions& options);
  void refuse(BootId to, const wire::Ask& ask, const Error& why);
  void expire_asked(Now now);
  [[nodiscard]] std::optional<BootId> ready_member() const;

  Surroundings& surroundings_;
  TableDefinition definition_;
  std::string overruled_;  // what this node's configuration said, where the cluster says otherwise
  bool needs_majority_ = false;
  Replica replica_;
  std::map<BootId, RemoteCopy> copies_;
  std::set<BootId> view_;  // boots of the island
  bool hosted_ = true;
  Readiness readiness_ = Readiness::starting;
  std::string detail_;
  bool loaded_ = false, almost_ = false, started_ = false;
  /// The first report that says so: who waits for us by an older one will hear that we were not.
  std::uint64_t almost_report_ = 0;
  bool joined_ = false;  // to be told once it is ready
  Instant almost_since_{}, start_deadline_ = never, alone_deadline_ = never;
  bool admitted_on_line_ = true;  // after following: somebody on the line has named us a member

  // stream
  std::deque<std::string> frames_, lineless_frames_;  // own operations of this turn
  bool same_write_ = false;
  std::size_t frame_room_ = 0;  // what the latest frame took
  bool applying_live_ = false;
  BootId applying_from_{};
  std::optional<Dot> relayed_before_;
  std::map<BootId, std::vector<RemoteCopy*>> relay_targets_;  // of this turn, by origin's boot
  Vector moved_;                                              // to be acknowledged
  Vector acknowledged_;
  Vector acknowledged_durable_;
  std::map<OriginId, BootId> via_;
  bool acks_moved_ = false;
  bool waits_for_room_ = false;  // something that was asked for
  std::optional<Instant> gap_since_;
  BootId gap_from_{};

  // reports
  std::uint64_t report_version_ = 0;
  Instant telling_until_ = never;  // those that lag
  bool report_due_ = false, report_stale_ = false, relay_due_ = false, relays_withheld_ = false;
  Instant last_report_{}, last_full_round_{};
  Instant next_tick_ = never;
  Origins heard_origins_;

  // writes
  std::vector<Waiter> waiters_;  // as they came
  std::deque<PendingWrite> pending_;
  std::vector<PendingWrite> again_;  // own puts that a fork took away before they were acknowledged
  Instant forget_again_ = never;     // not all that is settled could be forgotten at once
  Instant earliest_deadline_ = never;  // no later than that of any waiter
  bool left_ = false;                  // this node, for good, while its process goes on
  bool line_asked_ = false;
  Instant line_retry_ = never;

  // forks
  std::set<std::tuple<BootId, LineId, LineId>> told_forks_;  // peer, our sibling, theirs
  std::optional<Healing> healing_;  // we lost, and have not yet all that the winner had

  // catch-up and join
  std::optional<Fetching> fetching_;
  std::optional<Copying> copying_;
  Vector loaded_vector_;    // of the disk, at the start
  bool rejoining_ = false;  // it takes what is here as outdated
  struct Kept {             // a value in the journal that the others may have had
    std::string record, key;
    Dot created;
    Stamp stamp;
    bool created_known = false;
  };
  std::vector<Kept> kept_;
  using Deleted = std::pair<std::string, Dot>;
  /// To be issued again, with when they were made; and those that were when it last joined anew.
  std::map<Deleted, std::uint64_t> deletes_again_, deleted_again_;
  BucketPart part_;  // that is being installed
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
  Instant changed_since_ = never;  // the oldest change that is in no batch yet
  Instant batch_since_ = never;    // the oldest change of the batch that is not stored yet
  bool durable_moved_ = false;
  DiskPace told_pace_ = DiskPace::keeps_up;
  DiskState disk_ = DiskState::good;
  std::string disk_why_;

  mutable TableStatus counters_;  // puts, deletes, expired, splits, set_aside
};

}  // namespace muster::cache
