// SPDX-License-Identifier: MIT
//
// One LMDB environment that is ours: created private (0700, 0600), locked against a second process,
// checked before the first page is believed, and with a map that grows by itself.  Inside, the
// database `muster` holds the format; each table has one database per Space.
//
// Commits are always synchronous and the map is never writable: a crash at any moment leaves the
// last commit.
//
// Threads: one writer (the storage thread); readers from any thread, which wait for its commit and
// it for them. Errors: sentences that name the directory and what to do.
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
#include <string>
#include <string_view>
#include <vector>

#include "muster/cache/store.h"
#include "muster/discovery/result.h"

namespace muster::cache {

constexpr std::size_t spaces = 4;

class LmdbEnvironment {
 public:
  struct Options {
    std::filesystem::path directory;
    std::size_t map_start = std::size_t{1} << 30;  ///< Address space, not disk.
    std::size_t map_max = std::size_t{1} << 40;
  };
  using Database = MDB_dbi;

  static Result<std::unique_ptr<LmdbEnvironment>> open(Options options);
  ~LmdbEnvironment();
  LmdbEnvironment(const LmdbEnvironment&) = delete;
  LmdbEnvironment& operator=(const LmdbEnvironment&) = delete;

  [[nodiscard]] std::vector<std::string> tables() const;
  Result<void> for_each(std::string_view table, Space space, const StoreImage::Visit& visit) const;

  /// Runs `write` in a transaction and commits it.  Where the map is full it grows and `write` runs
  /// again; any other failure is final, and the environment is to be used for reading at most.
  using Write = std::function<int(MDB_txn*)>;
  Result<void> commit(const Write& write);
  /// Within commit(): the database of a table and space, created if need be.  Not 0: an error.
  int database(MDB_txn* transaction, std::string_view table, Space space, Database& database);

  /// Keeps room on the disk for what comes next; an Error where there is little left.
  Result<void> reserve();
  /// Used on disk; any thread.
  [[nodiscard]] std::size_t bytes() const { return used_.load(std::memory_order_relaxed); }

  static constexpr unsigned format = 1;

 private:
  class Lock;
  explicit LmdbEnvironment(Options options);

  Result<void> prepare_directory();
  Result<void> open_files();
  Result<void> check_length();
  Result<void> check_format();
  int read_format(MDB_txn* transaction, std::string& found, bool& foreign) const;
  Result<void> grow();
  void measure();
  [[nodiscard]] Error failure(std::string_view what, int code) const;
  [[nodiscard]] Result<void> walk() const;

  Options options_;
  std::unique_ptr<Lock> lock_;
  MDB_env* environment_ = nullptr;
  std::size_t reserved_ = 0;
  std::atomic<std::size_t> used_ = 0;
  /// Held over each transaction: handles of databases may not be opened in two at a time, nor the
  /// map moved below one.  Nobody reads much while tables are written.
  mutable std::mutex transaction_;
  std::map<std::string, Database, std::less<>> databases_;  ///< The writer's.
};

}  // namespace muster::cache
