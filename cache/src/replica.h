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
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "deletes.h"
#include "lines.h"
#include "muster/cache/healer.h"
#include "muster/cache/store.h"
#include "muster/cache/table.h"
#include "muster/discovery/result.h"
#include "operation.h"
#include "operation_log.h"
#include "vector.h"

namespace muster::cache {

/// Told of every operation that became part of the copy, after it did.
class ReplicaListener {
 public:
  virtual ~ReplicaListener() = default;
  virtual void applied(const Operation& operation, std::string_view encoded) = 0;
  /// Under `merge`: of two values of one key from sibling lines, the older one.
  virtual void outdone(const SetAside& aside) = 0;
};

class Replica {
 public:
  struct Options {
    BootId boot = {};
    std::size_t log_bytes = std::size_t{64} << 20;
    bool merges = false;  ///< Every put counts.
    bool stores = true;   ///< Has a disk.
  };
  Replica(const Options& options, std::shared_ptr<Table> table, ReplicaListener& listener);

  [[nodiscard]] const Table& table() const { return *table_; }
  [[nodiscard]] Table& table() { return *table_; }
  [[nodiscard]] const std::shared_ptr<Table>& shared_table() const { return table_; }

  // Lines.
  void set_merges(bool merges) { options_.merges = merges; }
  void set_stores(bool stores) { options_.stores = stores; }
  [[nodiscard]] bool merges() const { return options_.merges; }
  [[nodiscard]] bool stores() const { return options_.stores; }
  [[nodiscard]] const Path& path() const { return path_; }
  [[nodiscard]] const std::set<BootId>& members() const { return members_; }
  bool add_members(const std::set<BootId>& members);  ///< True when there are new ones.
  [[nodiscard]] bool counts(const Origin& origin) const {
    return options_.merges || on_path(path_, origin.line);
  }
  /// A longer path of which ours is a prefix: a child line that was named, here or elsewhere.
  void follow(Path path, std::set<BootId> members);
  /// The path of the winner of a fork; each value that leaves the table is told before it does.
  using Aside = std::function<void(SetAside)>;
  void lose(Path path, std::set<BootId> members, const std::string& why, const Aside& aside);

  /// Under `merge`, on the winner's side: values of that path's own lines are concurrent to ours.
  void remember_siblings(const Path& theirs);

  // Versions.
  [[nodiscard]] const Vector& seen() const { return seen_; }
  [[nodiscard]] const Vector& durable() const { return options_.stores ? durable_ : seen_; }
  [[nodiscard]] const Origins& origins() const { return origins_; }
  [[nodiscard]] const Origin* origin(const OriginId& id) const;
  void learn(const Origin& origin);  ///< From a vector that comes with what it covers.
  [[nodiscard]] bool gone(std::string_view key, const Dot& created, bool held) const;
  [[nodiscard]] const OperationLog& log() const { return log_; }
  [[nodiscard]] const Deletes& deletes() const { return deletes_; }

  // Own operations.
  [[nodiscard]] Stamp next_stamp(Timestamp now) const;
  /// Fills in dot and origin, encodes, applies, logs, tells the listener.  `operation.stamp` is
  /// set.
  Dot issue(Operation& operation);

  // Others'.
  enum class Received : std::uint8_t { applied, duplicate, gap, refused, malformed };
  /// Also applies what was waiting for this one.
  Received receive(std::string_view encoded, Timestamp now);
  [[nodiscard]] bool gaps() const { return !waiting_.empty(); }

  // Copying (join, bucket sync): the working vector is that of the sender when it began, so that
  // live operations go on top at once; but until finish_copy() this copy is a holder of no more
  // than covered() says.
  /// From nothing: forgets all content and stands on `path`.
  void start_copy(Path path, std::set<BootId> members, const Vector& vector);
  /// With what is here, compared with the sender's bucket by bucket; also when a copy goes on from
  /// another sender.
  void start_compare(const Vector& vector);
  void install(std::string_view key, std::string_view row, const Vector& sender);
  void install_delete(std::string_view key, const Dot& created, const Stamp& stamp);
  /// The sender held no more than `keys` in this bucket: what else is here and covered there is
  /// gone.
  void finish_bucket(std::uint32_t bucket, const std::set<std::string>& keys, const Vector& sender);
  void mark_installed(std::uint32_t bucket);  ///< Digests are equal.
  void finish_copy();
  void abandon_copy();  ///< Of start_compare(): back to the vector from before.
  [[nodiscard]] bool copying() const { return copying_; }
  [[nodiscard]] bool from_nothing() const { return copying_ && from_nothing_; }
  [[nodiscard]] const Vector& covered() const { return copying_ ? base_ : seen_; }

  // Expiry and forgetting.
  void expire(Timestamp at, std::size_t limit, const Table::Expired& expired);
  [[nodiscard]] bool has_forgettable() const {
    return deletes_.size() != 0 || !husks_.empty() || !parked_touches_.empty() || !befores_.empty();
  }
  /// Everything up to `settled` is on every member's disk: forgets at most `limit` of what was kept
  /// for those that had not.  True when there is more to do.
  bool forget(const Stamp& settled, std::size_t limit);

  // Disk.
  [[nodiscard]] bool dirty() const { return options_.stores && meta_dirty_; }
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
  static Result<std::optional<TableDefinition>> stored_definition(const StoreImage& image,
                                                                  std::string_view table_name);
  void mark_dirty() { meta_dirty_ = true; }

  void check_invariants() const;

 private:
  void apply(const Operation& operation, LineId line, Timestamp now);
  void apply_put(const PutItem& put, const Operation& operation, LineId line);
  void note_conflicts(const PutItem& put, const Dot& created, const ValueRegister& value);
  [[nodiscard]] bool concurrent(LineId a, LineId b) const;
  void forget_befores(const Stamp& settled, std::size_t& limit);
  void forget_husks(const Stamp& settled, std::size_t& limit);
  void forget_parked(const Stamp& settled, std::size_t& limit);
  void apply_touch(const TouchItem& touch, const Operation& operation);
  void apply_remove(const RemoveItem& remove, const Operation& operation);
  Received apply_received(const Operation& operation, std::string_view encoded, Timestamp now);
  void wait_for_predecessor(const Dot& dot, std::string_view encoded);
  void apply_waiting(const OriginId& origin, Timestamp now);
  void touched(std::string_view key);
  void delete_changed(std::string_view key, const Dot& created);
  void set_path(Path path, std::set<BootId> members);
  void drop_lost_values(std::string_view key, const std::string& why, const Aside& aside);
  void drop_absent(std::string_view key, const std::set<Dot>& present, const Vector& sender);
  /// Of a sender that went away in the middle of a copy from nothing: it may have had what nobody
  /// else has, so the next sender's word counts alone, except where live operations went on top.
  [[nodiscard]] bool is_leftover(std::string_view key) const {
    return leftovers_ && !live_keys_.contains(key);
  }
  void drop_leftover(std::string_view key);
  void reset_log();
  std::string encode_state(const TableDefinition& definition) const;
  Result<bool> load_state(std::string_view bytes, std::optional<TableDefinition>& definition);

  static constexpr std::size_t waiting_bytes_max = std::size_t{4} << 20;

  Options options_;
  std::shared_ptr<Table> table_;
  ReplicaListener& listener_;
  Path path_;
  std::set<BootId> members_;
  Vector seen_;
  Vector durable_;
  Origins origins_;
  OperationLog log_;
  Deletes deletes_;
  std::set<std::pair<std::string, Dot>> parked_touches_;
  std::uint64_t clock_ = 0;  // largest stamp seen, as far as the drift guard let it
  std::optional<OriginId> line_origin_, free_origin_;
  std::uint32_t next_origin_number_ = 1;
  std::map<Dot, std::string> waiting_;  // came before their predecessors
  std::size_t waiting_bytes_ = 0;
  Operation scratch_;
  std::string encoded_;

  bool copying_ = false, from_nothing_ = false;
  Vector base_;                  // while copying: what this copy holds for sure
  std::vector<bool> installed_;  // while copying: buckets whose content is here
  bool leftovers_ = false;       // while copying from nothing, from a second sender
  std::set<std::string, std::less<>> live_keys_;  // changed by operations since that one began

  std::set<std::string> befores_;  // keys that hold values which a later line has overwritten
  struct Sibling {
    std::size_t fork = 0;  // of our path: how many lines it shares
    std::uint64_t group = 0;
  };
  std::map<LineId, Sibling> siblings_;  // under `merge`
  std::uint64_t next_group_ = 1;
  std::deque<std::pair<Expiry, std::string>> husks_;  // expired, kept until settled

  bool meta_dirty_ = false, clear_first_ = false;
  std::vector<std::string> dirty_keys_;
  std::size_t dirty_keys_compact_at_ = 4096;
  std::vector<std::pair<std::string, Dot>> dirty_deletes_;
  std::vector<Row> journal_rows_;
  std::map<std::string, std::string> journal_;
  std::map<std::uint64_t, Vector> batches_;  // given to the store, not yet durable
};

}  // namespace muster::cache
