// SPDX-License-Identifier: MIT
//
// The table alone, one million entries of 32 byte keys and 256 byte values: what a get, a put, an
// expiry cost, and what an entry weighs.  Not part of the tests; run `table_bench` on a quiet
// machine and compare runs of one sitting only.
#include <benchmark/benchmark.h>
#include <malloc.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <boost/unordered/unordered_flat_map.hpp>
#include <cstdio>
#include <fstream>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "muster/cache/table.h"

namespace muster::cache {
namespace {

constexpr std::size_t entries = 1'000'000;
constexpr Timestamp start{std::chrono::seconds(1'700'000'000)};

std::size_t resident() {
  std::ifstream file("/proc/self/statm");
  std::size_t total = 0;
  std::size_t pages = 0;
  file >> total >> pages;
  return pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

/// 32 bytes, made quickly, in no order.
class Keys {
 public:
  std::string_view at(std::size_t i) {
    const std::uint64_t mixed = i * 0x9E3779B97F4A7C15ULL;
    for (std::size_t digit = 0; digit < 16; ++digit) {
      text_[16 + digit] = "0123456789abcdef"[mixed >> (digit * 4) & 15];
    }
    return {text_.data(), text_.size()};
  }
  std::size_t next() {
    return (state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL) >> 20;
  }

 private:
  std::array<char, 32> text_ = {"session:--------"};
  std::uint64_t state_ = 1;
};

ValueRegister value_at(std::uint64_t stamp, Expiry expiry) {
  static const std::string bytes(256, 'v');
  return {{stamp, node::BootId{77}}, 5, expiry, bytes};
}

Dot dot_of(std::size_t i) { return {{node::BootId{77}, 1}, i + 1}; }

std::unique_ptr<Table> filled(bool expiring) {
  auto table = std::make_unique<Table>(Table::Options{});
  Keys keys;
  for (std::size_t i = 0; i < entries; ++i) {
    const Expiry expiry =
        expiring ? start + std::chrono::microseconds(3'600'000'000 + i * 100) : never_expires;
    table->put(keys.at(i), dot_of(i), value_at(i + 1, expiry));
  }
  return table;
}

Table& shared(bool expiring) {
  static std::unique_ptr<Table> plain;
  static std::unique_ptr<Table> with_expiry;
  auto& table = expiring ? with_expiry : plain;
  if (!table) table = filled(expiring);
  return *table;
}

void memory(benchmark::State& state) {
  for (auto _ : state) {
    ::malloc_trim(0);
    const std::size_t before = resident();
    const auto table = filled(state.range(0) != 0);
    state.counters["resident_per_entry"] = static_cast<double>(resident() - before) / entries;
    state.counters["beside_key_and_value"] =
        static_cast<double>(resident() - before) / entries - 32 - 256;
    state.counters["own_count_per_entry"] = static_cast<double>(table->bytes()) / entries;
  }
}
BENCHMARK(memory)
    ->ArgName("expiring")
    ->Arg(0)
    ->Arg(1)
    ->Iterations(1)
    ->Unit(benchmark::kMillisecond);

void keys_alone(benchmark::State& state) {
  Keys keys;
  for (auto _ : state) benchmark::DoNotOptimize(keys.at(keys.next() % entries).data());
}
BENCHMARK(keys_alone);

void get(benchmark::State& state) {
  const Table& table = shared(state.range(0) != 0);
  Keys keys;
  for (auto _ : state) benchmark::DoNotOptimize(table.get(keys.at(keys.next() % entries), start));
}
BENCHMARK(get)->ArgName("expiring")->Arg(0)->Arg(1);

/// What one would take without a table of one's own: no locks, no versions, no expiry.
void get_from_a_plain_map(benchmark::State& state) {
  static boost::unordered_flat_map<std::string, std::string> map;
  Keys keys;
  for (std::size_t i = 0; map.size() < entries; ++i) {
    map.emplace(keys.at(i), std::string(256, 'v'));
  }
  std::string name;
  for (auto _ : state) {
    name = keys.at(keys.next() % entries);
    benchmark::DoNotOptimize(std::string(map.find(name)->second));
  }
}
BENCHMARK(get_from_a_plain_map);

void read_in_place(benchmark::State& state) {
  const Table& table = shared(false);
  Keys keys;
  std::size_t sum = 0;
  for (auto _ : state) {
    table.read(keys.at(keys.next() % entries), start,
               [&](const Table::View& view) { sum += static_cast<unsigned char>(view.value[0]); });
  }
  benchmark::DoNotOptimize(sum);
}
BENCHMARK(read_in_place);

void get_many(benchmark::State& state) {
  const Table& table = shared(false);
  Keys keys;
  const auto size = static_cast<std::size_t>(state.range(0));
  std::vector<std::string> names(size);
  std::vector<std::string_view> views(size);
  std::size_t sum = 0;
  for (auto _ : state) {
    for (std::size_t i = 0; i < size; ++i) {
      views[i] = names[i] = std::string(keys.at(keys.next() % entries));
    }
    table.get_many(views, start, [&](std::size_t, const Table::View& view) {
      sum += static_cast<unsigned char>(view.value[0]);
    });
  }
  benchmark::DoNotOptimize(sum);
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(get_many)->Arg(16)->Arg(64);

void get_beside_a_writer(benchmark::State& state) {
  Table& table = shared(false);
  std::atomic<bool> over = false;
  std::thread writer([&] {
    Keys keys;
    std::uint64_t stamp = std::uint64_t{1} << 50;
    auto due = std::chrono::steady_clock::now();
    while (!over) {
      for (int i = 0; i < 500; ++i) {
        const std::size_t at = keys.next() % entries;
        table.put(keys.at(at), dot_of(at), value_at(++stamp, never_expires));
      }
      due += std::chrono::milliseconds(10);
      while (std::chrono::steady_clock::now() < due) std::this_thread::yield();  // 50,000 a second.
    }
  });
  Keys keys;
  for (auto _ : state) benchmark::DoNotOptimize(table.get(keys.at(keys.next() % entries), start));
  over = true;
  writer.join();
}
BENCHMARK(get_beside_a_writer);

void put_over(benchmark::State& state) {
  const bool expiring = state.range(0) != 0;
  Table& table = shared(expiring);
  Keys keys;
  static std::uint64_t stamp = std::uint64_t{1} << 51;
  for (auto _ : state) {
    const std::size_t at = keys.next() % entries;
    ++stamp;
    const Expiry expiry =
        expiring ? start + std::chrono::microseconds(3'600'000'000 + stamp % 1'000'000'000)
                 : never_expires;
    table.put(keys.at(at), dot_of(at), value_at(stamp, expiry));
  }
}
BENCHMARK(put_over)->ArgName("expiring")->Arg(0)->Arg(1);

void touch(benchmark::State& state) {
  Table& table = shared(true);
  Keys keys;
  static std::uint64_t stamp = std::uint64_t{1} << 52;
  for (auto _ : state) {
    const std::size_t at = keys.next() % entries;
    ++stamp;
    table.touch(keys.at(at), dot_of(at),
                {{stamp, node::BootId{77}},
                 start + std::chrono::microseconds(3'600'000'000 + stamp % 1'000'000'000)});
  }
}
BENCHMARK(touch);

void insert(benchmark::State& state) {
  for (auto _ : state) {
    benchmark::DoNotOptimize(filled(state.range(0) != 0));
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(entries));
}
BENCHMARK(insert)
    ->ArgName("expiring")
    ->Arg(0)
    ->Arg(1)
    ->Iterations(1)
    ->Unit(benchmark::kMillisecond);

void expire_all(benchmark::State& state) {
  auto table = filled(true);
  std::size_t called = 0;
  std::size_t longest_calls = 0;
  Timestamp now = start + std::chrono::hours(1);
  table->expire(start, SIZE_MAX, [](std::string_view) {});
  for (auto _ : state) {
    for (; called < entries; now += std::chrono::milliseconds(50)) {
      const std::size_t before = called;
      table->expire(now, 1000, [&](std::string_view key) {
        ++called;
        table->remove(std::string(key), table->created_dots(key).front());
      });
      longest_calls = std::max(longest_calls, called - before);
    }
  }
  state.counters["most_in_one_call"] = static_cast<double>(longest_calls);
  state.SetItemsProcessed(static_cast<std::int64_t>(called));
}
BENCHMARK(expire_all)->Iterations(1)->Unit(benchmark::kMillisecond);

void first_scan(benchmark::State& state) {
  auto table = filled(false);
  for (auto _ : state) table->scan("", [](std::string_view) { return false; });
}
BENCHMARK(first_scan)->Iterations(1)->Unit(benchmark::kMillisecond);

void insert_ordered(benchmark::State& state) {
  auto table = filled(false);
  table->scan("", [](std::string_view) { return false; });
  Keys keys;
  std::size_t at = entries;
  for (auto _ : state) {
    table->put(keys.at(at), dot_of(at), value_at(at, never_expires));
    ++at;
  }
}
BENCHMARK(insert_ordered)->Iterations(200'000);

void rows(benchmark::State& state) {
  const Table& table = shared(false);
  Table copy({});
  Keys keys;
  std::size_t at = 0;
  for (auto _ : state) {
    const std::string_view key = keys.at(at++ % entries);
    benchmark::DoNotOptimize(copy.merge_row(key, table.row(key)));
  }
}
BENCHMARK(rows)->Iterations(500'000);

/// As a copy is sent: bucket by bucket, each with what lies anywhere.
void scan_rows(benchmark::State& state) {
  const Table& table = shared(false);
  std::size_t bytes = 0;
  for (auto _ : state) {
    for (std::uint32_t bucket = 0; bucket < Table::buckets; ++bucket) {
      table.scan_rows(bucket, [&](std::string_view key, std::string_view row) {
        bytes += key.size() + row.size();
      });
    }
  }
  benchmark::DoNotOptimize(bytes);
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * entries));
}
BENCHMARK(scan_rows)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace muster::cache

BENCHMARK_MAIN();
