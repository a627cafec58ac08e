// SPDX-License-Identifier: MIT
//
// The store on LMDB: a million rows written in batches, read back, and read back into a table (what
// a restart does); commits of different sizes, one after the other; and LMDB itself, doing the same
// without us, beside each (raw_...).  In /tmp, or in TMPDIR: durable rates are those of whatever
// disk that is.
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <lmdb.h>
#include <malloc.h>
#include <unistd.h>

#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>

#include "lmdb_store.h"
#include "muster/cache/table.h"

namespace muster::cache {
namespace {

constexpr std::size_t rows = 1'000'000;

/// A store in a directory of its own, gone with it; write() waits for the answer.
class Disk {
 public:
  Disk() {
    std::string name = (std::filesystem::temp_directory_path() / "muster_bench_XXXXXX").string();
    path_ = ::mkdtemp(name.data());
    open();
  }
  ~Disk() {
    store_.reset();
    std::filesystem::remove_all(path_);
  }
  Disk(const Disk&) = delete;
  Disk& operator=(const Disk&) = delete;

  void open() {
    store_.reset();
    LmdbStore::Options options;
    options.environment.directory = path_;
    store_ = std::move(*LmdbStore::open(options, Log()));
    store_->run(
        [this](const std::vector<StoreAnswer>& answers) {
          const std::scoped_lock lock(mutex_);
          answered_ += answers.size();
          changed_.notify_all();
        },
        [](DiskState, const std::string&) { std::abort(); });
  }
  void write(Rows batch) {
    StoreBatch urgent;
    urgent.table = "session";
    urgent.number = ++sent_;
    urgent.rows = std::move(batch);
    urgent.urgent = true;
    store_->submit(std::move(urgent));
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return answered_ == sent_; });
  }
  [[nodiscard]] const LmdbStore& store() const { return *store_; }

 private:
  std::filesystem::path path_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t sent_ = 0;
  std::uint64_t answered_ = 0;
  std::unique_ptr<LmdbStore> store_;
};

/// As the cache makes them: where the key belongs, then the key.
std::string key_at(std::size_t i) {
  const auto place = static_cast<std::uint32_t>(i * (UINT64_C(1) << 32) / rows);
  std::string key(4, '\0');
  for (int byte = 0; byte < 4; ++byte) {
    key[static_cast<std::size_t>(byte)] = static_cast<char>(place >> (24 - 8 * byte));
  }
  return key + fmt::format("session:{:024}", i);
}

std::string row_at(std::size_t i) {
  Table one({});
  const std::string value(256, 'v');
  one.put("k", {{node::BootId{77}, 1}, i + 1},
          {{i + 1, node::BootId{77}}, 5, never_expires, value});
  return one.row("k");
}

template <class AnyDisk>
void fill(AnyDisk& disk, std::size_t batch) {
  const std::string row = row_at(1);
  for (std::size_t from = 0; from < rows; from += batch) {
    Rows some;
    for (std::size_t i = from; i < from + batch; ++i) {
      some.add({Space::entries, key_at(i), row});
    }
    disk.write(std::move(some));
  }
}

Disk& filled() {
  static std::unique_ptr<Disk> disk;
  if (!disk) {
    disk = std::make_unique<Disk>();
    fill(*disk, 10'000);
  }
  return *disk;
}

void write_in_key_order(benchmark::State& state) {
  for (auto _ : state) {
    Disk disk;
    fill(disk, 10'000);
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(rows));
}
BENCHMARK(write_in_key_order)
    ->Iterations(1)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime()
    ->MeasureProcessCPUTime();

void read_all(benchmark::State& state) {
  filled().open();
  for (auto _ : state) {
    std::size_t bytes = 0;
    const auto read = filled().store().for_each(
        "session", Space::entries,
        [&](std::string_view key, std::string_view value) { bytes += key.size() + value.size(); });
    benchmark::DoNotOptimize(read.has_value() ? bytes : 0);
  }
}
BENCHMARK(read_all)
    ->Iterations(1)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime()
    ->MeasureProcessCPUTime();

void load_into_a_table(benchmark::State& state) {
  filled().open();
  for (auto _ : state) {
    Table table({});
    const auto read = filled().store().for_each("session", Space::entries,
                                                [&](std::string_view key, std::string_view value) {
                                                  if (!table.merge_row(key, value)) std::abort();
                                                });
    benchmark::DoNotOptimize(read.has_value() ? table.count() : 0);
  }
}
BENCHMARK(load_into_a_table)
    ->Iterations(1)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime()
    ->MeasureProcessCPUTime();

void any_batch_size(benchmark::internal::Benchmark* each) {
  each->Arg(1)->Arg(100)->Arg(1000)->Arg(10'000)->UseRealTime()->MeasureProcessCPUTime();
}

void overwrite_at_random(benchmark::State& state) {
  Disk& disk = filled();
  const auto size = static_cast<std::size_t>(state.range(0));
  const std::string row = row_at(2);
  std::mt19937_64 random(1);
  for (auto _ : state) {
    Rows some;
    for (std::size_t i = 0; i < size; ++i) {
      some.add({Space::entries, key_at(random() % rows), row});
    }
    disk.write(std::move(some));
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(overwrite_at_random)->Apply(any_batch_size);

// --- Values on disk alone ----------------------------------------------------------------------

std::size_t resident_anonymous() {
  std::ifstream file("/proc/self/statm");
  std::size_t all = 0, pages = 0, shared = 0;
  file >> all >> pages >> shared;
  return (pages - shared) * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

class RowsOnDisk final : public ValueSource {
 public:
  explicit RowsOnDisk(const LmdbStore& store) : store_(store) {}
  Result<std::string> row(std::string_view key) const override {
    auto row = store_.read("session", key);
    if (!row) return row.error();
    return row->has_value() ? std::move(**row) : std::string();
  }

 private:
  const LmdbStore& store_;
};

/// Memory of our own per entry, pages of the file apart, and reads from one thread.
void keep_values(benchmark::State& state, bool on_disk_alone) {
  filled().open();
  ::malloc_trim(0);
  const std::size_t before = resident_anonymous();
  Table table({});
  table.set_source(std::make_shared<RowsOnDisk>(filled().store()));
  const auto read = filled().store().for_each("session", Space::entries,
                                              [&](std::string_view key, std::string_view value) {
                                                if (!table.merge_row(key, value)) std::abort();
                                                if (on_disk_alone) table.drop_value(key);
                                              });
  if (!read) std::abort();
  ::malloc_trim(0);
  state.counters["bytes_per_entry"] =
      static_cast<double>(resident_anonymous() - before) / static_cast<double>(rows);
  std::mt19937_64 random(1);
  for (auto _ : state) {
    if (!table.get(key_at(random() % rows), Timestamp{})) std::abort();
  }
  state.SetItemsProcessed(state.iterations());
}
void disc_copies(benchmark::State& state) { keep_values(state, false); }
void disc_only_copies(benchmark::State& state) { keep_values(state, true); }
BENCHMARK(disc_only_copies)->Iterations(300'000)->UseRealTime()->MeasureProcessCPUTime();
BENCHMARK(disc_copies)->Iterations(300'000)->UseRealTime()->MeasureProcessCPUTime();

// --- LMDB itself -------------------------------------------------------------------------------

class RawDisk {
 public:
  RawDisk() {
    std::string name = (std::filesystem::temp_directory_path() / "muster_bench_XXXXXX").string();
    path_ = ::mkdtemp(name.data());
    check(mdb_env_create(&environment_));
    check(mdb_env_set_mapsize(environment_, std::size_t{4} << 30));
    check(mdb_env_open(environment_, path_.c_str(), MDB_NOTLS, 0600));
  }
  ~RawDisk() {
    mdb_env_close(environment_);
    std::filesystem::remove_all(path_);
  }
  RawDisk(const RawDisk&) = delete;
  RawDisk& operator=(const RawDisk&) = delete;

  void write(const Rows& batch) {
    MDB_txn* transaction = nullptr;
    MDB_dbi database = 0;
    check(mdb_txn_begin(environment_, nullptr, 0, &transaction));
    check(mdb_dbi_open(transaction, nullptr, 0, &database));
    batch.for_each([&](const Row& row) {
      MDB_val key{row.key.size(), const_cast<char*>(row.key.data())};
      MDB_val value{row.value->size(), const_cast<char*>(row.value->data())};
      check(mdb_put(transaction, database, &key, &value, 0));
    });
    check(mdb_txn_commit(transaction));
  }

 private:
  static void check(int code) {
    if (code != 0) std::abort();
  }
  std::filesystem::path path_;
  MDB_env* environment_ = nullptr;
};

void raw_write_in_key_order(benchmark::State& state) {
  for (auto _ : state) {
    RawDisk disk;
    fill(disk, 10'000);
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(rows));
}
BENCHMARK(raw_write_in_key_order)
    ->Iterations(1)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime()
    ->MeasureProcessCPUTime();

void raw_overwrite_at_random(benchmark::State& state) {
  static std::unique_ptr<RawDisk> disk;
  if (!disk) {
    disk = std::make_unique<RawDisk>();
    fill(*disk, 10'000);
  }
  const auto size = static_cast<std::size_t>(state.range(0));
  const std::string row = row_at(2);
  std::mt19937_64 random(1);
  for (auto _ : state) {
    Rows some;
    for (std::size_t i = 0; i < size; ++i) {
      some.add({Space::entries, key_at(random() % rows), row});
    }
    disk->write(some);
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(raw_overwrite_at_random)->Apply(any_batch_size);

}  // namespace
}  // namespace muster::cache

BENCHMARK_MAIN();
