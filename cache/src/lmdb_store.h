// SPDX-License-Identifier: MIT
//
// The disk of a node's tables: an LMDB environment and the storage thread that alone writes it.
//
// Batches queue up (bounded by bytes: beyond that submit() waits, rather than let a slow disk eat
// the memory).  The thread gathers them for a moment, or not at all when one is urgent, sorts and
// coalesces their rows, and commits them together; then it answers each in order.  After a failed
// commit nothing is written or acknowledged any more, since the state of the disk is unknown until
// it is opened anew: every batch is answered with a failure, and the log says so once.
//
// Threads: submit() from the owner, image reads from any thread; `answer` comes from the storage
// thread.
// Stop: stop() writes what is queued, answers it, and ends the thread; so does the destructor.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
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

namespace muster::cache {

/// What became of one batch.
struct StoreAnswer {
  std::string table;
  std::uint64_t number = 0;
  bool failed = false;
};

class LmdbStore final : public StoreImage {
 public:
  struct Options {
    LmdbEnvironment::Options environment;
    Duration gather = std::chrono::milliseconds(10);
    std::size_t gather_rows = 20'000;  ///< More than these are not waited for.
    std::size_t queue_bytes = std::size_t{256} << 20;
  };
  using Answer = std::function<void(std::vector<StoreAnswer>)>;

  /// Reads work from here on; writes once `run` was called.
  static Result<std::unique_ptr<LmdbStore>> open(Options options, Log log);
  ~LmdbStore() override;

  void run(Answer answer);
  void submit(StoreBatch batch);
  void stop();

  [[nodiscard]] std::vector<std::string> tables() const override;
  Result<void> for_each(std::string_view table, Space space, const Visit& visit) const override;
  [[nodiscard]] std::size_t bytes() const { return environment_->bytes(); }

 private:
  LmdbStore(Options options, Log log, std::unique_ptr<LmdbEnvironment> environment);

  void work();
  [[nodiscard]] std::vector<StoreBatch> next_group();
  void write(std::vector<StoreBatch>& group);
  int write_rows(MDB_txn* transaction, const std::vector<StoreBatch>& group);

  const Options options_;
  const Log log_;
  const std::unique_ptr<LmdbEnvironment> environment_;
  Answer answer_;
  bool failed_ = false;            // The storage thread's.
  bool little_room_said_ = false;  // Likewise.

  std::mutex mutex_;  // Guards what follows.
  std::condition_variable arrived_;
  std::condition_variable room_;
  std::deque<StoreBatch> queue_;
  std::size_t queued_bytes_ = 0;
  std::size_t queued_rows_ = 0;
  bool urgent_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace muster::cache
