// SPDX-License-Identifier: MIT
//
// A store on a real disk, in a directory that is gone at the end.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <lmdb.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lmdb_store.h"

namespace muster::cache {

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "muster_store_XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// Waits, off the storage thread, for what a store says.
class Answers {
 public:
  void run(LmdbStore& store) {
    store.run(
        [this](std::vector<StoreAnswer> answers) {
          const std::scoped_lock lock(mutex_);
          for (StoreAnswer& answer : answers) all_.push_back(std::move(answer));
          changed_.notify_all();
        },
        [this](DiskState state, const std::string&) {
          const std::scoped_lock lock(mutex_);
          states_.push_back(state);
          changed_.notify_all();
        });
  }
  std::vector<StoreAnswer> wait_for(std::size_t count) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(
        changed_.wait_for(lock, std::chrono::seconds(30), [&] { return all_.size() >= count; }));
    return all_;
  }
  /// Until `count` batches are answered or the disk takes no more; the number answered.
  std::size_t wait_while_good(std::size_t count) {
    std::unique_lock lock(mutex_);
    const auto over = [&] { return all_.size() >= count || !is_good(); };
    EXPECT_TRUE(changed_.wait_for(lock, std::chrono::seconds(30), over));
    return all_.size();
  }
  std::vector<DiskState> states() {
    const std::scoped_lock lock(mutex_);
    return states_;
  }

 private:
  [[nodiscard]] bool is_good() const {
    return states_.empty() || states_.back() == DiskState::good;
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<StoreAnswer> all_;
  std::vector<DiskState> states_;
};

class LmdbStoreTest : public testing::Test {
 protected:
  LmdbStore::Options options() const {
    LmdbStore::Options options;
    options.environment.directory = directory_.path() / "tables";
    options.gather = std::chrono::milliseconds(1);
    options.log_least = 4'000;  // So it is folded all the time.
    return options;
  }
  Result<std::unique_ptr<LmdbStore>> try_open() { return LmdbStore::open(options(), Log()); }
  std::unique_ptr<LmdbStore> open() {
    auto store = try_open();
    EXPECT_TRUE(store) << (store ? "" : store.error().text());
    return store ? std::move(*store) : nullptr;
  }
  std::string refusal() {
    auto store = try_open();
    return store ? "opened" : store.error().text();
  }
  /// Writes the batches and ends; all of them must be answered well.
  void write(std::vector<StoreBatch> batches) {
    const auto store = open();
    ASSERT_TRUE(store);
    Answers answers;
    for (StoreBatch& batch : batches) store->submit(std::move(batch));
    answers.run(*store);
    answers.wait_for(batches.size());
    store->stop();
  }
  /// Ever made in this directory.
  std::size_t commits() const {
    MDB_env* environment = nullptr;
    MDB_envinfo info{};
    EXPECT_EQ(mdb_env_create(&environment), 0);
    EXPECT_EQ(mdb_env_open(environment, data().parent_path().c_str(), MDB_RDONLY, 0600), 0);
    EXPECT_EQ(mdb_env_info(environment, &info), 0);
    mdb_env_close(environment);
    return info.me_last_txnid;
  }
  static std::vector<std::pair<std::string, std::string>> rows(const LmdbStore& store,
                                                               std::string_view table,
                                                               Space space) {
    std::vector<std::pair<std::string, std::string>> rows;
    EXPECT_TRUE(store.for_each(table, space, [&](std::string_view key, std::string_view value) {
      rows.emplace_back(key, value);
    }));
    return rows;
  }
  std::filesystem::path data() const { return directory_.path() / "tables" / "data.mdb"; }

  TemporaryDirectory directory_;
};

inline StoreBatch batch_of(std::uint64_t number, Rows rows) {
  StoreBatch batch;
  batch.table = "session";
  batch.number = number;
  batch.rows = std::move(rows);
  return batch;
}
inline StoreBatch batch_of(std::uint64_t number, std::initializer_list<Row> rows) {
  Rows copies;
  for (const Row& row : rows) copies.add(row);
  return batch_of(number, std::move(copies));
}

}  // namespace muster::cache
