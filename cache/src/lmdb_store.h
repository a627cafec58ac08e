// SPDX-License-Identifier: MIT
//
// The disk of a node's tables: an LMDB environment and the storage thread that alone writes it.
//
// Batches queue up; the machine hands over one per table at a time, so what waits is at most the
// rows that changed.  The thread gathers them for a moment, or not at all when one is urgent, and
// commits their rows together; then it answers each in order.  Rows of a copy or a first load,
// which rise, go where they belong at once, and so do large ones and those that are read back;
// others wait in a log until there are many (recent_rows.h).  While the disk is full the group
// waits and is tried again twice a second.  After a commit that failed otherwise nothing is written
// or answered any more, since the state of the disk is unknown until it is opened anew.  Each
// change of that state is told and logged once.
//
// Threads: submit() from the owner, image reads from any thread; `answer` and `tell` come from the
// storage thread.
// Stop: stop() writes what is queued, where that is still possible, answers it, and ends the
// thread; so does the destructor.  stop_within() leaves a disk that does not answer alone.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "lmdb_environment.h"
#include "muster/cache/store.h"
#include "muster/discovery/log.h"
#include "muster/discovery/result.h"
#include "muster/discovery/time.h"
#include "recent_rows.h"

namespace muster::cache {

/// A batch that is durable.
struct StoreAnswer {
  std::string table;
  std::uint64_t number = 0;
};

class LmdbStore final : public StoreImage {
 public:
  struct Options {
    LmdbEnvironment::Options environment;
    Duration gather = std::chrono::milliseconds(10);
    std::size_t gather_rows = 20'000;               ///< More than these are not waited for.
    std::size_t log_least = std::size_t{32} << 20;  ///< A smaller log of recent rows is left alone.
    Duration full_retry = std::chrono::milliseconds(500);
  };
  using Answer = std::function<void(std::vector<StoreAnswer>)>;
  using Tell = std::function<void(DiskState, std::string why)>;

  /// Reads work from here on; writes once `run` was called.
  static Result<std::unique_ptr<LmdbStore>> open(Options options, Log log);
  ~LmdbStore() override;

  void run(Answer answer, Tell tell);
  void submit(StoreBatch batch);
  void stop();
  /// False: the disk hangs.  Then nothing is told any more, and the storage thread keeps `self`,
  /// which is this store, until it ends.
  bool stop_within(Duration limit, std::shared_ptr<LmdbStore> self);

  [[nodiscard]] std::vector<std::string> tables() const override;
  Result<void> for_each(std::string_view table, Space space, const Visit& visit) const override;
  Result<std::optional<std::string>> read(std::string_view table,
                                          std::string_view key) const override;
  [[nodiscard]] bool reads_back(std::string_view table) const override;
  [[nodiscard]] std::size_t bytes() const { return environment_->bytes(); }

 private:
  LmdbStore(Options options, Log log, std::unique_ptr<LmdbEnvironment> environment);

  void work();
  void ask_to_stop();
  [[nodiscard]] std::shared_ptr<LmdbStore> end();
  void answer(std::vector<StoreAnswer> answers);
  [[nodiscard]] std::vector<StoreBatch> next_group();
  void write(std::vector<StoreBatch>& group);
  void set_state(DiskState state, const std::string& why);
  [[nodiscard]] bool wait_for_room();
  void recover();
  RecentRows& recent(const std::string& table);
  int write_rows(MDB_txn* transaction, const std::vector<StoreBatch>& group);
  struct Changes;
  int write_table(MDB_txn* transaction, const std::string& table, Changes& changes);
  int clear(MDB_txn* transaction, const std::string& table);
  /// Whether rows go where they belong at once, while the log is empty.
  int in_place(MDB_txn* transaction, const std::string& table, const Changes& changes, bool& yes);
  int put_sorted(MDB_txn* transaction, const std::string& table, std::vector<Row>& rows);

  const Options options_;
  const Log log_;
  const std::unique_ptr<LmdbEnvironment> environment_;
  Answer answer_;
  Tell tell_;
  DiskState state_ = DiskState::good;                      // The storage thread's.
  bool little_room_said_ = false;                          // Likewise.
  std::map<std::string, RecentRows, std::less<>> recent_;  // Likewise.
  mutable std::atomic<bool> unreadable_said_ = false;

  std::mutex mutex_;  // Guards what follows.
  std::condition_variable arrived_;
  std::condition_variable stop_;
  std::deque<StoreBatch> queue_;
  std::size_t queued_rows_ = 0;
  bool urgent_ = false;
  bool stopping_ = false;
  bool ended_ = false;
  std::shared_ptr<LmdbStore> self_;  // Of a thread that was left alone.
  std::condition_variable ended_now_;
  std::thread thread_;

  std::mutex telling_;  // Held while something is told; guards what follows.
  bool left_alone_ = false;
};

}  // namespace muster::cache
