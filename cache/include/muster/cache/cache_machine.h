// SPDX-License-Identifier: MIT
//
// The replicated tables of one node: joins by `table_info`, copies, follows the live stream,
// catches up, acknowledges, notices splits.  Pure, like every machine: it talks through a
// node::Fabric, keeps its disk through rows handed to CacheEffects, and is driven by the lab and by
// the Asio shell (cache.h) alike.
//
// Readiness of a table: `starting` (looking for a member that runs it) -> `joining` (copying; reads
// are proxied) -> `ready`; or straight to `ready` on its own disk when nobody answers ("alone, data
// as of ...").
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "muster/cache/definition.h"
#include "muster/cache/healer.h"
#include "muster/cache/key.h"
#include "muster/cache/store.h"
#include "muster/cache/table.h"
#include "muster/cache/types.h"
#include "muster/discovery/result.h"
#include "muster/discovery/time.h"
#include "muster/node/fabric.h"

namespace muster::cache {

constexpr node::ServiceId cache_service = 16;

enum class Readiness : std::uint8_t { starting, joining, catching_up, ready };

struct Put {
  Key key = {};
  std::string value = {};
  std::optional<Duration> ttl = {};  ///< None: the table's; with keep_expiry the entry's own.
  bool keep_expiry = false;
  std::optional<Timestamp> expires_at = {};  ///< Absolute, in cluster time; instead of `ttl`.
};

/// One operation: all of it is applied at once on each node.
struct Write {
  enum class If : std::uint8_t { always, present, absent };
  std::vector<Put> puts = {};
  std::vector<Key> deletes = {};
  If condition = If::always;  ///< Of every put; on this node's table, no lock.
};

struct WriteOptions {
  std::optional<Acknowledge> acknowledge = {};  ///< None: the table's.
  Duration deadline = std::chrono::seconds(2);
};

/// What a write came to.  A time-out never rolls back: `holders` says who has it.
struct Written {
  bool applied = false;       ///< False: a condition was not met, nothing happened.
  bool acknowledged = false;  ///< All that the acknowledgement asks for have it.
  bool everywhere = false;    ///< Every admitted node that should hold a copy has it.
  std::uint32_t deleted = 0;  ///< Keys that were there and are deleted.
  std::vector<NodeName> holders = {};
};

/// What a take came to: the value, and what became of the delete of it.
struct Taken {
  std::optional<std::string> value = {};  ///< None: it was not there.
  Written written = {};
};

struct CacheEvent {
  enum class Kind : std::uint8_t {
    written,  // table, key, stamp; where asked for
    deleted,  // the same; also of tables whose journal is not empty
    expired,  // table, key
    joining,
    joined,
    initiated,
    ready,
    not_ready,  // table, peer, detail
    inconsistent_database,
    apart,
    healed,
    alarm,  // table, peer, detail
  };
  Kind kind;
  std::string table;
  std::string key;  ///< Encoded.
  NodeName peer;
  std::string detail;
  Stamp stamp = {};
  std::vector<Dot> created = {};  ///< `deleted`: the incarnations that are dead for ever.
};

class CacheEffects {
 public:
  virtual ~CacheEffects() = default;
  /// Answer with stored(); never called for ram_copies.
  virtual void store(StoreBatch batch) = 0;
  virtual void report(Now now, const CacheEvent& event) = 0;
  /// Whether each write and delete, own and others', is to be reported, once.
  [[nodiscard]] virtual bool wants_changes() const { return false; }
};

struct CacheOptions {
  /// Nodes to join; asked each time it looks.  Default: all that are connected.
  std::function<std::vector<NodeName>()> extra_db_nodes;
  Duration start_alone_after =
      std::chrono::seconds(1);  ///< One pass and dial deadline without an answer.
  /// false: nothing looks for other nodes, so what its disk alone has known is ready at once.
  bool others_may_come = true;
  Duration join_progress =
      std::chrono::seconds(15);  ///< Without progress for so long, waiting for a table fails.
  Duration store_every = std::chrono::milliseconds(50);
  /// A disk that is later than this makes acknowledgements wait for it, as under durability sync.
  Duration disk_late_max = std::chrono::seconds(1);
  /// Likewise where more rows than these wait for a commit to end: so none grows without bound.
  std::size_t disk_rows_max = 20'000;
  /// Writes of a table that wait for others or for its disk; beyond, writes are refused.
  std::size_t waiting_max = 100'000;
  Duration lag_max =
      std::chrono::milliseconds(1500);  ///< A replica slower than this leaves the sync set.
  std::size_t copy_batch_bytes = std::size_t{4} << 20;  ///< Of a copied table, to disk at a time.
  /// Per table, for those who were away; a table that no other node has ever had keeps little.
  std::size_t log_bytes = std::size_t{64} << 20;
};

/// A picture of one table for status, page and metrics.
struct TableStatus {
  TableDefinition definition;
  Readiness readiness = Readiness::starting;
  std::string detail;              ///< "alone, data as of ...", "copying from b@host, 41 %", ...
  std::vector<NodeName> replicas;  ///< Nodes that run it and are in the island.
  std::vector<NodeName> apart;     ///< Peers whose copies are on a sibling line, unhealed.
  std::string refuses_writes;      ///< Why; empty: it takes them.
  /// Where members, or this node's own configuration, say otherwise of what the table is.
  std::vector<std::string> differs;
  std::size_t entries = 0, bytes = 0, journal = 0;
  std::size_t deletes_kept = 0;  ///< Not forgotten yet: some member may not have them on its disk.
  DiskState disk = DiskState::good;
  Duration disk_late{};           ///< Age of the oldest change that is not on disk.
  std::size_t rows_to_store = 0;  ///< Changes that wait for the next batch.
  std::uint64_t puts = 0, deletes = 0, expired = 0, splits = 0, set_aside = 0;
  Path path;
  Table::Digest digest;
};

class CacheMachine final : public node::Service {
 public:
  /// `fabric`, `effects`, `image` must outlive it.  Without an image the node has no disk: its
  /// copies live in memory, whatever their definitions say.  Fails on a foreign, newer or malformed
  /// image.
  static Result<std::unique_ptr<CacheMachine>> open(CacheOptions options,
                                                    std::vector<TableDefinition> tables,
                                                    const StoreImage* image, node::Fabric& fabric,
                                                    CacheEffects& effects, std::uint64_t seed);
  ~CacheMachine() override;

  void start(Now now);
  void set_healer(Healer* healer);  ///< Before start(), or with nullptr to leave tables apart.
  [[nodiscard]] Instant next_wake() const;
  void wake(Now now);
  /// The end of a turn of the loop: sends what this turn produced, one message per peer.
  void flush(Now now);
  /// Batch `number` of `table` is durable.
  void stored(Now now, std::string_view table, std::uint64_t number);
  /// From now on; at first it is good.  While it is not, nothing of this node's is acknowledged and
  /// writes are refused for the reason `why`; reads go on.
  void disk_changed(Now now, DiskState state, const std::string& why);

  Result<void> create_table(Now now, TableDefinition definition);

  // Clients, on the node's strand.  `done` runs exactly once, possibly before the call returns.
  // While this node is not ready a ready member is asked.  Where that one does not answer, the
  // error has the code timed_out and names it: it may have written, or may do so yet.  All other
  // errors of writes are refusals: nothing is written.
  using WriteDone = std::function<void(Now, Result<Written>)>;
  void write(Now now, std::string_view table, Write write, const WriteOptions& options,
             WriteDone done);
  /// Sets the expiry alone; `applied` is false where the key is absent.
  void touch(Now now, std::string_view table, const Key& key, std::optional<Duration> ttl,
             const WriteOptions& options, WriteDone done);
  using TakeDone = std::function<void(Now, Result<Taken>)>;
  void take(Now now, std::string_view table, const Key& key, const WriteOptions& options,
            TakeDone done);
  /// From the local copy when ready, else from a ready member; an error, never a false miss, where
  /// there is none.
  using ReadDone = std::function<void(Now, Result<std::optional<Table::Found>>)>;
  void get(Now now, std::string_view table, const Key& key, ReadDone done);
  using ListDone = std::function<void(Now, Result<std::vector<std::pair<Key, std::string>>>)>;
  void all(Now now, std::string_view table, const Pattern& pattern, std::size_t limit,
           ListDone done);

  /// The local copy, for reads from any thread; nullptr: no such table here.  Valid as long as the
  /// machine.
  [[nodiscard]] std::shared_ptr<const Table> table(std::string_view name) const;
  /// Before reads of the local copy on the node's strand: who stood still is not ready any more.
  void look(Now now);
  [[nodiscard]] bool ready(std::string_view table) const;
  [[nodiscard]] bool ready() const;  ///< All of them.
  /// It lost a fork, and has not yet all that the winner had.
  [[nodiscard]] bool healing(std::string_view table) const;
  [[nodiscard]] std::vector<std::string> table_names()
      const;  ///< In the order of definition: Redis SELECT n.
  [[nodiscard]] std::vector<TableStatus> status(Now now) const;
  /// Why this node had better not leave yet: one sentence per table whose writes are not answered,
  /// or that others do not have as this copy has it.  A table that nobody else keeps is no reason.
  [[nodiscard]] std::vector<std::string> not_handed_off() const;
  [[nodiscard]] Timestamp time(Now now) const;  ///< Cluster time, that of stamps and expiries.
  /// Rows of Space::journal whose keys begin so, for the healer's own reading.
  void for_each_journal(std::string_view table, std::string_view prefix,
                        const StoreImage::Visit& visit) const;
  void erase_journal(Now now, std::string_view table, std::string_view key);
  /// Anew, or over the row of that key.
  void write_journal(Now now, std::string_view table, std::string key, std::string value);
  /// A delete that is not forgotten yet names this incarnation.
  [[nodiscard]] bool deleted(std::string_view table, std::string_view key,
                             const Dot& created) const;

  // node::Service.
  void connected(Now now, const node::Member& peer) override;
  void disconnected(Now now, const node::Member& peer, node::DownReason reason) override;
  void island_changed(Now now) override;
  void received(Now now, const node::Member& from, std::string_view payload) override;

  void check_invariants() const;

 private:
  class Impl;
  explicit CacheMachine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace muster::cache
