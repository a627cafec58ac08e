// SPDX-License-Identifier: MIT
//
// The latest rows of a table, in the order in which they came.
//
// Rows that lie anywhere in a large table would change a page each.  So they go behind each other
// into a log, several to a row of LMDB and that to a full page; once the log is a part of the table
// it is folded: its rows move to where they belong in the order of their keys, so that one page is
// changed for many of them.  Two logs take turns: one takes what comes while the other is folded,
// a slice with each commit, at several times the pace at which rows come.
//
// On disk: databases TABLE.recent0 and TABLE.recent1; key: a number (8 bytes, big end first) that
// rises over both, value: rows as in rows.h, of Space::entries and Space::deletes alone.  What lies
// in the log with the larger numbers counts before the other, and that before where it belongs.
// A fold that was cut short begins anew: doing it twice changes nothing.
//
// Threads: an object is the storage thread's; read_latest() from any.  Errors: LMDB's codes; 0:
// none.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lmdb_environment.h"

namespace muster::cache {

class RecentRows {
 public:
  /// Folded from `least` bytes on, and from a part of the table on.
  RecentRows(LmdbEnvironment& environment, std::string table, std::size_t least);

  /// What was committed by a process before this one.
  int recover(MDB_txn* reading);
  [[nodiscard]] bool empty() const;

  // Within a transaction; then one of committed() and rolled_back().
  int append(MDB_txn* transaction, const Row& row);
  int end_append(MDB_txn* transaction);
  /// Up to `rows` of the log that is being folded, if one is.
  int fold(MDB_txn* transaction, std::size_t rows);
  int fold_all(MDB_txn* transaction);
  int clear(MDB_txn* transaction);
  void committed();
  void rolled_back();

  /// The last row of each key in that space, by key; views of this transaction.
  static int read_latest(const LmdbEnvironment& environment, MDB_txn* transaction,
                         std::string_view table, Space space, std::vector<Row>& latest);

 private:
  /// Where a row lies.
  struct Place {
    std::uint64_t front;  // How its key begins.
    std::uint32_t after_first;
    std::uint16_t offset;
    Space space;
  };
  struct Log {
    std::uint64_t first = 0, next = 0;  // Numbers; equal: nothing in it.
    std::size_t bytes = 0;
    std::vector<Place> places = {};
  };
  struct Mark {
    std::uint64_t first = 0, next = 0;
    std::size_t bytes = 0, places = 0, folded = 0;
  };

  int database(MDB_txn* transaction, std::string_view part, LmdbEnvironment::Database& database);
  int write_value(MDB_txn* transaction);
  int row_at(MDB_txn* transaction, LmdbEnvironment::Database log, const Place& place, Row& row);
  /// Where a fold moves to, by space.
  using Targets = std::array<LmdbEnvironment::Database, 2>;
  int targets(MDB_txn* transaction, Targets& targets);
  static int move(MDB_txn* transaction, const Targets& targets, const Row& row);
  int fold_from(MDB_txn* transaction, std::size_t end);
  int drop(MDB_txn* transaction, std::size_t log);
  void begin_fold();
  [[nodiscard]] Log& open() { return logs_[open_]; }
  [[nodiscard]] Log& folding() { return logs_[1 - open_]; }

  LmdbEnvironment& environment_;
  const std::string table_;
  const std::size_t least_;
  std::array<Log, 2> logs_;
  std::size_t open_ = 0;
  std::size_t folded_ = 0;  // Places of the other one that are done.
  std::size_t table_bytes_ = 0;
  std::string value_;  // Of the open one, to be written.

  // Of this transaction.
  Mark mark_;
  bool emptied_ = false, folded_all_ = false;
};

}  // namespace muster::cache
