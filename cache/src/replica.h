// SPDX-License-Identifier: MIT
//
// One copy of one table: which operations have been applied, on which line it stands, what is
// deleted for ever, and what of all that must go to disk.  No peers, no messages here.
//
// The rules it keeps, whatever arrives in whatever order and however often:
// - A vector moves only over contiguous, applied operations; what comes early waits or is dropped.
// - An operation counts iff its origin's line lies on the path (deletes and touches: always; under
//   `merge`: every put).  What does not count is neither stored nor covered.
// - A put names the incarnation it writes.  One that is unknown here although its create is covered
//   has been deleted: the put changes nothing.
// - A delete names create dots; they are dead for ever, also when the create comes later.
// - Losing a line is one step: its values leave the table, what they had overwritten returns.
//
// Threads: the node's strand.  The Table inside may be read from any thread.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "deletes.h"
#include "key_set.h"
#include "lines.h"
#include "muster/cache/healer.h"
#include "muster/cache/store.h"
#include "muster/cache/table.h"
#include "muster/discovery/result.h"
#include "operation.h"
#include "operation_log.h"
#include "planted.h"
#include "vector.h"

namespace muster::cache {

/// How far a remote stamp may push the own clock ahead of cluster time; the stamp itself is kept.
constexpr std::chrono::milliseconds drift_most{500};

/// Told of every operation that became part of the copy, after it did.
class ReplicaListener {
 public:
  virtual ~ReplicaListener() = default;
  virtual void applied(const Operation& operation, std::string_view encoded) = 0;
  /// Under `merge`: of two values of one key from sibling lines, the older one.
  virtual void outdone(const SetAside& aside) = 0;
  /// A copy brought a delete that was not known here.
  virtual void brought_delete(std::string_view key, const Dot& created, const Stamp& stamp) = 0;
};

class Replica {
 public:
  struct Options {
    BootId boot = {};
    std::size_t log_bytes = std::size_t{64} << 20;  ///< Once another node was a member.
    std::size_t copy_batch_bytes = std::size_t{4} << 20;
    bool merges = false;        ///< Every put counts.
    Duration keep_deletes{};    ///< So long after they were made, settled or not.
    bool stores = true;         ///< Has a disk.
    bool drops_values = false;  ///< What is durable leaves memory; the table has a source.
  };
  Replica(const Options& options, std::shared_ptr<Table> table, ReplicaListener& listener);

  [[nodiscard]] const Table& table() const { return *table_; }
  [[nodiscard]] Table& table() { return *table_; }
  [[nodiscard]] const std::shared_ptr<Table>& shared_table() const { return table_; }

  // Lines.
  void set_merges(bool merges) { options_.merges = merges; }
  void keep_deletes_for(Duration span) { options_.keep_deletes = span; }
  void set_stores(bool stores, bool drops_values) {
    options_.stores = stores;
    options_.drops_values = drops_values;
  }
  [[nodiscard]] bool merges() const { return options_.merges; }
  [[nodiscard]] bool stores() const { return options_.stores; }
  [[nodiscard]] const Path& path() const { return path_; }
  [[nodiscard]] const std::set<BootId>& members() const { return members_; }
  [[nodiscard]] bool shared() const { return shared_; }  ///< Another node was ever a member.
  bool add_members(const std::set<BootId>& members);     ///< True when there are new ones.
  [[nodiscard]] bool counts(const Origin& origin) const {
    return options_.merges || planted::has(planted::Bug::every_line_counts) ||
           on_path(path_, origin.line);
  }
  /// A longer path of which ours is a prefix: a child line that was named, here or elsewhere.
  void follow(Path path, std::set<BootId> members);
  /// The path of the winner of a fork; each value that leaves the table is told before it does.
  using Aside = std::function<void(const SetAside&)>;
  void lose(Path path, std::set<BootId> members, const Aside& aside);

  /// All but the root and what is from `keep` on: every member is past it, on its disk.
  void prune_lines(LineId keep);
  [[nodiscard]] LineId durable_line() const;  ///< Where the path on disk ends.

  /// Under `merge`, on the winner's side: values of that path's own lines are concurrent to ours.
  void remember_siblings(const Path& theirs);

  // Versions.
  [[nodiscard]] const Vector& seen() const { return seen_; }
  [[nodiscard]] const Vector& durable() const {
    const bool on_disk = options_.stores && !planted::has(planted::Bug::acknowledged_unstored);
    return on_disk ? durable_ : seen_;
  }
  [[nodiscard]] const Origins& origins() const { return origins_; }
  [[nodiscard]] const Origin* origin(const OriginId& id) const;
  void learn(const Origin& origin);  ///< From a vector that comes with what it covers.
  /// One that this node gave and still gives; those from before a new beginning are like others'.
  [[nodiscard]] bool is_own(const OriginId& id) const {
    return id.boot == options_.boot && id.number >= own_from_;
  }
  /// Forgets origins that are over and that every member has in full, on its disk.
  void prune(const std::vector<OriginId>& over);
  [[nodiscard]] const Pruned& pruned() const { return pruned_; }
  void adopt_pruned(const Pruned& pruned);  ///< Of somebody of whom we have all that it pruned.
  /// An origin absent from our vector counts as covered if it began at or before our pruning stamp.
  [[nodiscard]] bool has_pruned(const Origin& origin) const {
    return !seen_.contains(origin.id) && begun_by(pruned_, origin);
  }
  /// Whether somebody with this vector and pruning stamp has all that we have pruned; false also
  /// where we do not remember it any more.
  [[nodiscard]] bool knows(const Vector& theirs) const;  ///< Had or has all of it.
  [[nodiscard]] bool knows_what_was_pruned(const Vector& have, const Pruned& pruned) const;
  [[nodiscard]] bool gone(std::string_view key, const Dot& created, bool held) const;
  [[nodiscard]] const OperationLog& log() const { return log_; }
  [[nodiscard]] const Deletes& deletes() const { return deletes_; }

  // Who was counted when things were settled.
  /// That of this node which this copy goes on from.
  [[nodiscard]] std::uint32_t admission() const { return admission_; }
  void set_admission(std::uint32_t admission);
  void drop_member(const NodeName& name, std::uint32_t admissions);
  [[nodiscard]] const Dropped& dropped() const { return dropped_; }
  /// Values that somebody with this vector may never have had.
  void visit_unknown_to(const Vector& other, const Aside& visit) const;

  // Own operations.
  [[nodiscard]] Stamp next_stamp(Timestamp now) const;
  /// Of all that the key holds.  A delete is newer: it may be forgotten once what is that old is
  /// settled, so it must not seem older than a create that somebody still lacks.
  [[nodiscard]] std::uint64_t newest_stamp(std::string_view key) const;
  /// Fills in dot and origin, encodes, applies, logs, tells the listener.  `operation.stamp` is
  /// set.
  Dot issue(Operation& operation);

  // Others'.
  enum class Received : std::uint8_t { applied, duplicate, gap, refused, malformed };
  /// Also applies what was waiting for this one.  `goes_on`: it came in one frame with the one
  /// before, so what deletes may be of one write with its puts, and waits where they do.
  Received receive(std::string_view encoded, Timestamp now, bool goes_on = false);
  [[nodiscard]] bool gaps() const { return !waiting_.empty(); }

  // Copying (join, bucket sync): the working vector is that of the sender when it began, so that
  // live operations go on top at once; but until finish_copy() this copy is a holder of no more
  // than covered() says.
  /// From nothing: forgets all content and stands on `path`.
  void start_copy(Path path, std::set<BootId> members, const Vector& vector, Pruned pruned,
                  Dropped dropped);
  /// With what is here, compared with the sender's bucket by bucket; also when a copy goes on from
  /// another sender.
  void start_compare(const Vector& vector, const Origins& origins);
  /// Whoever says so has had the very same operations.
  [[nodiscard]] bool is_twin(const Vector& vector, const Pruned& pruned) const;
  /// The same between twins: what one of them lacks it has lost, and nothing is dropped for that.
  /// Of what expires: all that was due before that is out of the digest, nothing that is due later.
  [[nodiscard]] Timestamp digest_as_of() const {
    return std::min(expired_until_, table_->next_expiry());
  }
  /// Whether the digest was, or will be, the same at that time, as far as expiries go.
  [[nodiscard]] bool same_digest_at(Timestamp then) const {
    return then >= last_expired_ && then < table_->next_expiry();
  }
  void start_repair(const Vector& vector, const Origins& origins);
  /// So many entries of this bucket are about to be installed.
  void expect(std::uint32_t bucket, std::size_t entries);
  enum class Installed : std::uint8_t { unreadable, merged, fresh };
  /// Fresh: the key was not here.  Of an unreadable row nothing is taken.
  Installed install(std::string_view key, std::string_view row, const Vector& sender);
  void install_delete(std::string_view key, const Dot& created, const Stamp& stamp);
  /// The sender held no more than `keys` in this bucket: what else is here and covered there is
  /// gone.
  void finish_bucket(std::uint32_t bucket, const std::set<std::string, std::less<>>& keys,
                     const Vector& sender);
  void mark_installed(std::uint32_t bucket);  ///< Digests are equal.
  void finish_copy();
  /// Of start_compare(): back to the vector from before, and to what it covers for others.  What
  /// was installed stays, ahead of the vector, as what it is: the effect of operations that come
  /// again. Nothing that any of them may still meet is forgotten anywhere before we cover it.
  void abandon_copy(const Vector& sender);
  /// Content holds what the vector does not cover yet: at equal vectors digests may differ.
  [[nodiscard]] bool content_ahead() const;
  [[nodiscard]] bool copying() const { return copying_; }
  [[nodiscard]] bool from_nothing() const { return copying_ && from_nothing_; }
  [[nodiscard]] const Vector& covered() const { return copying_ ? base_ : seen_; }

  // Expiry and forgetting.
  void expire(Timestamp at, std::size_t limit, const Table::Expired& expired);
  [[nodiscard]] bool has_forgettable() const {
    return deletes_.size() != 0 || !husks_.empty() || !parked_touches_.empty() || !befores_.empty();
  }
  /// Everything up to `settled` is on every member's disk: forgets at most `limit` of what was kept
  /// for those that had not.  `latest`: of the clocks that told so.  True when there is more to do.
  bool forget(const Stamp& settled, Timestamp latest, std::size_t limit);

  // Disk.
  [[nodiscard]] bool dirty() const { return options_.stores && meta_dirty_; }
  /// How many the next batch will have.
  [[nodiscard]] std::size_t rows_to_store() const {
    return unstored_rows() + dirty_keys_.size() + dirty_deletes_.size() + journal_rows_.size();
  }
  [[nodiscard]] bool has_unstored_buckets() const {
    return options_.stores && unstored_ != Table::buckets && !from_nothing();
  }
  /// All that changed since the last one, and the vector that covers it.
  StoreBatch make_batch(const TableDefinition& definition, std::uint64_t number);
  void stored(std::uint64_t number);  ///< True answer: durable() covers what that batch had.
  /// A row of the journal, or (nothing) its erasure, with the next batch.
  void journal(std::string key, std::optional<std::string> value);
  [[nodiscard]] const std::map<std::string, std::string>& journal() const { return journal_; }
  /// What was on disk.  False: nothing that counts (no rows, or a copy was going on).
  Result<bool> load(const StoreImage& image, std::string_view table_name,
                    std::optional<TableDefinition>& definition);
  /// None: nothing there that tells.
  /// What an entry is kept under in Space::entries.
  [[nodiscard]] static std::string row_key(std::string_view key);
  static Result<std::optional<TableDefinition>> stored_definition(const StoreImage& image,
                                                                  std::string_view table_name);
  void mark_dirty() { meta_dirty_ = true; }
  /// Nothing will be durable any more: what is stays so, and no change is kept for a batch.
  void give_up_storing();

  void check_invariants() const;

 private:
  void apply(const Operation& operation, LineId line, Timestamp now);
  void apply_put(const PutItem& put, const Operation& operation, LineId line);
  void note_conflicts(const PutItem& put, const Dot& created, const ValueRegister& value);
  [[nodiscard]] bool concurrent(LineId a, LineId b) const;
  void forget_befores(const Stamp& settled, std::size_t& limit);
  [[nodiscard]] Expiry after_all_writes(Timestamp latest) const;
  void forget_deletes(const Stamp& settled, Timestamp latest, std::size_t& limit);
  void forget_husks(const Stamp& settled, Timestamp latest, std::size_t& limit);
  void forget_parked(const Stamp& settled, std::size_t& limit);
  void apply_touch(const TouchItem& touch, const Operation& operation);
  void apply_remove(const RemoveItem& remove, const Operation& operation);
  Received apply_received(const Operation& operation, std::string_view encoded, Timestamp now);
  void wait_for_predecessor(const Dot& dot, std::string_view encoded);
  void apply_waiting(const OriginId& origin, Timestamp now);
  void touched(std::string_view key);
  [[nodiscard]] bool collects() const { return options_.stores && !disk_lost_; }
  [[nodiscard]] bool is_whole_on_disk() const;
  [[nodiscard]] std::size_t unstored_rows() const;
  void add_unstored_buckets(Rows& rows);
  void prefetch(const std::deque<std::string>& keys, std::size_t from) const;
  static void make_row_key(std::string_view key, std::string& row);
  void delete_changed(std::string_view key, const Dot& created);
  void keep_delete(std::string_view key, const Dot& created, const Stamp& stamp);
  void set_path(Path path, std::set<BootId> members);
  void note_members();
  using LostLine = std::function<bool(LineId)>;
  [[nodiscard]] std::optional<std::set<std::string, std::less<>>> keys_of_lost_lines() const;
  void drop_lost_values(std::string_view key, const LostLine& is_lost, const Aside& aside);
  [[nodiscard]] Path continued(const Path& path) const;
  void drop_absent(std::string_view key, const std::set<Dot>& present, const Vector& sender);
  /// Of a sender that went away in the middle of a copy from nothing: it may have had what nobody
  /// else has, so the next sender's word counts alone, except where live operations went on top.
  [[nodiscard]] bool is_leftover(std::string_view key) const {
    return leftovers_ && !live_keys_.contains(key);
  }
  void drop_leftover(std::string_view key);
  void drop_stored_values();
  void reset_log();
  void forget_covered_deletes();
  void drop_siblings(std::string_view key, const Dot& kept);
  void drop_expired(std::string_view key, Expiry at);
  void drop_expired_values(std::string_view key, Expiry at);
  std::string encode_state(const TableDefinition& definition) const;
  Result<bool> load_state(std::string_view bytes, std::optional<TableDefinition>& definition);

  std::optional<BootId> put_waits_;  // of the last operation received, if it was a put with a gap
  static constexpr std::size_t waiting_bytes_max = std::size_t{4} << 20;

  Options options_;
  std::shared_ptr<Table> table_;
  ReplicaListener& listener_;
  Path path_;
  std::set<BootId> members_;
  std::set<BootId> own_boots_;  // Earlier ones, as far as nobody else was a member.
  bool shared_ = false;
  Vector seen_;
  Vector durable_;
  Origins origins_;
  OperationLog log_;
  Deletes deletes_;
  std::set<std::pair<std::string, Dot>> parked_touches_;
  std::uint64_t clock_ = 0;  // largest stamp seen, as far as the drift guard let it
  std::optional<OriginId> line_origin_, free_origin_;
  std::uint32_t next_origin_number_ = 1;
  std::uint32_t own_from_ = 1;  // origins of this boot with smaller numbers are over
  std::uint32_t admission_ = 0;
  Dropped dropped_;
  Pruned pruned_;
  struct Recent {
    Origin origin;
    std::uint64_t sequence = 0;
  };
  std::deque<Recent> recently_pruned_;  // bounded; as far back as recent_from_
  Pruned recent_from_;
  std::map<Dot, std::string> waiting_;  // came before their predecessors
  std::size_t waiting_bytes_ = 0;
  Operation scratch_;
  std::vector<Incarnation> row_;  // of the latest install
  std::string encoded_;

  bool copying_ = false, from_nothing_ = false;
  std::optional<Vector> twins_at_;  // while repairing: what both had
  Vector base_;                     // while copying: what this copy holds for sure
  Vector ahead_;  // after a copy that was given up: what may be in part of the content
  std::vector<bool> installed_;  // while copying: buckets whose content is here
  bool leftovers_ = false;       // while copying from nothing, from a second sender
  std::set<std::string, std::less<>> live_keys_;  // changed by operations since that one began

  std::set<std::string> befores_;  // keys that hold values which a later line has overwritten
  struct Sibling {
    LineId last_common = 0;  // with our path; 0: none
    std::uint64_t group = 0;
  };
  std::map<LineId, Sibling> siblings_;  // under `merge`
  std::uint64_t next_group_ = 1;
  struct Husk {
    Expiry when = {};  // S must have passed this ...
    std::string key = {};
    Stamp settled = {};  // ... for the second time: then what it held at this S may go
  };
  std::deque<Husk> husks_;  // expired, kept until settled
  struct SettledDelete {
    Expiry when = {};  // S must have passed this as well
    Deletes::Id id = {};
    Stamp stamp = {};
  };
  std::deque<SettledDelete> settled_deletes_;
  Expiry expired_until_ = Expiry::min();
  Expiry last_expired_ = Expiry::min();  ///< When an entry was last found to be over.
  Expiry told_until_{};                  // Of each that expired until then it has been told.

  bool meta_dirty_ = false, clear_first_ = false, disk_lost_ = false;
  // Each once, however often it changes while the disk takes nothing: so these are no more than
  // what the table and the deletes hold or held on disk.
  KeySet dirty_keys_;
  std::set<std::pair<std::string, Dot>> dirty_deletes_;
  std::map<std::string, std::optional<std::string>> journal_rows_;
  /// After a copy from nothing: buckets from here on go to disk as they are, whatever changed in
  /// them.
  std::uint32_t unstored_ = Table::buckets;
  std::map<std::string, std::string> journal_;
  std::vector<std::string> storing_;  // with drops_values: keys of the latest of them, in order
  struct Given {
    Vector vector;
    LineId line = 0;
  };
  std::map<std::uint64_t, Given> batches_;  // given to the store, not yet durable
  LineId durable_line_ = 0;
};

}  // namespace muster::cache
