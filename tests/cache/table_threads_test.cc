// SPDX-License-Identifier: MIT
//
// Readers on other threads while the owner writes: each read sees one whole value, never a torn or
// freed one.  Run under ThreadSanitizer this is the proof of the table's locking.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <thread>

#include "muster/cache/table.h"

namespace muster::cache {
namespace {

constexpr Timestamp start{std::chrono::seconds(1'700'000'000)};
constexpr std::size_t keys = 500;

std::string key_of(std::size_t i) { return "session:" + std::to_string(i); }

/// A value that can be checked: one character, repeated, whose number depends on it.
std::string value_of(std::uint64_t random) {
  return std::string(1 + random % 200, static_cast<char>('a' + random % 200 % 26));
}

bool is_whole(std::string_view value) {
  return !value.empty() && value.front() == static_cast<char>('a' + (value.size() - 1) % 26) &&
         value.find_first_not_of(value.front()) == std::string_view::npos;
}

/// What the owner does all day.
void write(Table& table, std::mt19937_64& random, std::uint64_t clock) {
  const std::string key = key_of(random() % keys);
  const Dot dot{{node::BootId{1 + random() % 2}, 0}, 1 + random() % 2};
  const Stamp stamp{clock, node::BootId{1}};
  const Timestamp now = start + std::chrono::milliseconds(clock / 100);
  const std::string value = value_of(random());
  const Expiry expiry =
      random() % 2 == 0 ? never_expires : now + std::chrono::milliseconds(random() % 50);
  switch (random() % 8) {
    case 0:
      table.remove(key, dot);
      break;
    case 1:
      table.touch(key, dot, {stamp, expiry});
      break;
    case 2:
      table.expire(now, 100, [](std::string_view) {});
      break;
    case 3:
      if (clock % 1000 == 0) table.clear();
      break;
    default:
      table.put(key, dot, {stamp, random() % 2, expiry, value});
  }
}

void read_until(const Table& table, std::uint64_t seed, const std::atomic<bool>& over,
                std::atomic<std::uint64_t>& torn) {
  std::mt19937_64 random(seed);
  std::array<std::string, 20> names;
  std::array<std::string_view, 20> views;
  while (!over) {
    for (std::size_t i = 0; i < names.size(); ++i) views[i] = names[i] = key_of(random() % keys);
    if (const auto value = table.get(views[0], start); value && !is_whole(*value)) ++torn;
    if (const auto found = table.find(views[1], start); found && !is_whole(found->value)) ++torn;
    table.get_many(views, start, [&](std::size_t, const Table::View& view) {
      if (!is_whole(view.value)) ++torn;
    });
    if (table.count() > keys || table.bytes() == 0) ++torn;
  }
}

/// A disk that commits in an instant.
class LockedRows final : public ValueSource {
 public:
  Result<std::string> row(std::string_view key) const override {
    const std::scoped_lock guard(lock_);
    const auto found = rows_.find(key);
    return found == rows_.end() ? std::string() : found->second;
  }
  void store_and_drop(Table& table, const std::string& key) {
    std::string row = table.row(key);
    {
      const std::scoped_lock guard(lock_);
      if (row.empty()) {
        rows_.erase(key);
      } else {
        rows_[key] = std::move(row);
      }
    }
    table.drop_value(key);
  }

 private:
  mutable std::mutex lock_;
  std::map<std::string, std::string, std::less<>> rows_;
};

void read_while_writing(bool drops) {
  constexpr std::uint64_t seed = 4;
  Table table({});
  const auto source = std::make_shared<LockedRows>();
  table.set_source(source);
  std::atomic<bool> over = false;
  std::atomic<std::uint64_t> torn = 0;
  std::array<std::thread, 4> readers;
  for (std::size_t i = 0; i < readers.size(); ++i) {
    readers[i] = std::thread([&, i] { read_until(table, seed + i, over, torn); });
  }
  std::mt19937_64 random(seed);
  for (std::uint64_t clock = 1; clock <= 60'000; ++clock) {
    write(table, random, clock);
    if (drops) source->store_and_drop(table, key_of(random() % keys));
  }
  over = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(torn, 0u) << "seed " << seed;
}

TEST(TableThreadsTest, ReadersSeeWholeValuesWhileTheOwnerWrites) { read_while_writing(false); }

TEST(TableThreadsTest, ReadersSeeWholeValuesWhileTheyMoveToDisk) { read_while_writing(true); }

}  // namespace
}  // namespace muster::cache
