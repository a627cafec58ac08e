// SPDX-License-Identifier: MIT
//
// store_writer DIRECTORY COUNT: a store of its own that writes COUNT batches, one after the other,
// and tells on standard output what came of it:
//
//   refused SENTENCE   the directory could not be opened (exit status 2)
//   acknowledged N     batch N is durable
//   failed SENTENCE    the disk failed; ten more batches are handed over, to see what comes of them
//   holds N            batch N is read at the end
#include <charconv>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <string>

#include "lmdb_store.h"

namespace muster::cache {
namespace {

class Writer {
 public:
  explicit Writer(LmdbStore& store) : store_(store) {
    store_.run(
        [this](const std::vector<StoreAnswer>& answers) {
          const std::scoped_lock lock(mutex_);
          for (const StoreAnswer& answer : answers) {
            std::printf("acknowledged %lu\n", static_cast<unsigned long>(answer.number));
          }
          answered_ += answers.size();
          changed_.notify_all();
        },
        [this](DiskState, const std::string& why) {
          const std::scoped_lock lock(mutex_);
          std::printf("failed %s\n", why.c_str());
          failed_ = true;
          changed_.notify_all();
        });
  }

  /// False: the disk has failed.
  bool write(std::uint64_t number) {
    submit(number);
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return failed_ || answered_ == sent_; });
    return !failed_;
  }
  void submit(std::uint64_t number) {
    StoreBatch batch;
    batch.table = "session";
    batch.number = number;
    batch.urgent = true;
    // Large ones go where they belong, small ones through the log.
    batch.rows.add(
        {Space::entries, std::to_string(number), std::string(number % 4 == 0 ? 6'000 : 600, 'v')});
    ++sent_;
    store_.submit(std::move(batch));
  }

 private:
  LmdbStore& store_;
  std::uint64_t sent_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t answered_ = 0;
  bool failed_ = false;
};

int run(const std::string& directory, std::uint64_t count) {
  LmdbStore::Options options;
  options.environment.directory = directory;
  options.log_least = std::size_t{16} << 10;
  auto store = LmdbStore::open(std::move(options), Log());
  if (!store) {
    std::printf("refused %s\n", store.error().text().c_str());
    return 2;
  }
  Writer writer(**store);
  for (std::uint64_t number = 1; number <= count; ++number) {
    if (writer.write(number)) continue;
    for (std::uint64_t more = 1; more <= 10; ++more) writer.submit(number + more);
    break;
  }
  (*store)->stop();
  const auto read =
      (*store)->for_each("session", Space::entries, [](std::string_view key, std::string_view) {
        std::printf("holds %.*s\n", static_cast<int>(key.size()), key.data());
      });
  return read ? 0 : 1;
}

}  // namespace
}  // namespace muster::cache

int main(int count, char** arguments) {
  if (count != 3) return 64;
  std::uint64_t batches = 0;
  std::from_chars(arguments[2], arguments[2] + std::strlen(arguments[2]), batches);
  return muster::cache::run(arguments[1], batches);
}
