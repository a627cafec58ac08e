// SPDX-License-Identifier: MIT
//
// One LMDB environment that is ours: created private (0700, 0600), locked against a second process,
// checked before the first page is believed, and with a map that grows by itself.  Inside, the
// database `muster` holds the format; each table has one database per part: those named after a
// Space, and two logs (recent_rows.h).
//
// Commits are always synchronous and the map is never writable: a crash at any moment leaves the
// last commit.
//
// The map is never larger than what is reserved on the disk, so a full disk shows when the map is
// to grow, before anything was written: that commit may be tried again.  Any other failure (a
// write, a sync) leaves the state of the disk unknown: never again written, read on from the last
// commit.
//
// Threads: one writer (the storage thread); readers from any thread, beside its commits.  Errors:
// sentences that name the directory and what to do; is_full() tells which may be tried again.
#pragma once

#include <lmdb.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <vector>

#include "muster/cache/store.h"
#include "muster/discovery/result.h"

namespace muster::cache {

[[nodiscard]] std::string_view part_name(Space space);

class LmdbEnvironment {
 public:
  struct Options {
    std::filesystem::path directory;
    std::size_t map_max = std::size_t{1} << 40;
  };
  using Database = MDB_dbi;

  static Result<std::unique_ptr<LmdbEnvironment>> open(Options options);
  ~LmdbEnvironment();
  LmdbEnvironment(const LmdbEnvironment&) = delete;
  LmdbEnvironment& operator=(const LmdbEnvironment&) = delete;

  [[nodiscard]] std::vector<std::string> tables() const;
  /// Runs `look` in a transaction for reading, as of the last commit; any thread.
  using Look = std::function<int(MDB_txn*)>;
  Result<void> look(std::string_view table, const Look& look) const;
  /// One row as of the last commit; any thread.
  Result<std::optional<std::string>> read(std::string_view table, Space space,
                                          std::string_view key) const;

  /// Runs `write` in a transaction and commits it.  Where the map is full it grows and `write` runs
  /// again.  An error that is_full() may be tried again when there is room; any other is final.
  using Write = std::function<int(MDB_txn*)>;
  Result<void> commit(const Write& write);
  /// Within commit(): the database of a part of a table, created if need be.  Not 0: an error.
  int database(MDB_txn* transaction, std::string_view table, std::string_view part,
               Database& database);

  // Within commit() or look().
  /// False: it was not there at the last commit.  Rows: lmdb_rows.h.
  bool find(std::string_view table, std::string_view part, Database& database) const;

  [[nodiscard]] static bool is_full(const Error& error) {
    return error.code == boost::system::errc::no_space_on_device;
  }

  /// Makes room for what comes next, before it comes; an Error where there is little left.
  Result<void> reserve();
  /// Used on disk; any thread.
  [[nodiscard]] std::size_t bytes() const { return used_.load(std::memory_order_relaxed); }

  static constexpr unsigned format = 3;

 private:
  class Lock;
  class Reading;
  explicit LmdbEnvironment(Options options);

  Result<void> prepare_directory();
  [[nodiscard]] Result<void> check_pages() const;
  Result<void> open_files(unsigned flags);
  Result<void> check_format();
  Result<void> open_databases();
  int read_format(MDB_txn* transaction, std::string& found, bool& foreign) const;
  int write_once(const Write& write);
  Result<void> grow();
  /// Room on the disk for a file of `most` bytes, or of as many as there is room for, but `least`.
  /// 0, or the reason why not.
  [[nodiscard]] int reserve_disk(std::size_t least, std::size_t most);
  void reopen_for_reading();
  void measure();
  [[nodiscard]] std::size_t map_bytes() const;
  [[nodiscard]] Error failure(std::string_view what, int code) const;
  [[nodiscard]] Error damaged(std::string_view what) const;
  [[nodiscard]] Error full(std::string_view what) const;

  Options options_;
  std::unique_ptr<Lock> lock_;
  MDB_env* environment_ = nullptr;
  std::atomic<std::size_t> used_ = 0;
  std::size_t reserved_ = 0;  ///< The writer's: so much of the file has its place on the disk.
  /// Shared by readers; alone: who moves the map or replaces the environment.  A reader passes the
  /// gate first, so a crowd of them cannot keep the writer out.
  mutable std::mutex gate_;
  mutable std::shared_mutex map_;
  std::map<std::string, Database, std::less<>> databases_;  ///< The writer's.
  std::map<std::string, Database, std::less<>> readable_;   ///< Of the last commit; with map_.
};

}  // namespace muster::cache
