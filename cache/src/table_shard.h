// SPDX-License-Identifier: MIT
//
// One of the 4096 shards of a table: open addressing over 8 byte slots, each an entry's address
// with 16 bits of its key's hash on top.  The place of a slot follows from those 16 bits alone, so
// growing, shrinking and closing gaps touch no entry, and a shard is small: nothing here ever
// stalls.
//
// Threads: one owner changes it, anybody reads.  The owner needs no lock to read; it takes the lock
// to change what readers see.  The lock gives a waiting owner precedence and is held for one entry.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "muster/cache/table.h"
#include "table_entry.h"

namespace muster::cache {

/// Many readers, or the one owner.
class ShardLock {
 public:
  void lock_shared() {
    while ((state_.fetch_add(1, std::memory_order_acquire) & writing) != 0) back_off();
  }
  void unlock_shared() { state_.fetch_sub(1, std::memory_order_release); }
  void lock() {
    if (state_.fetch_or(writing, std::memory_order_acquire) != 0) wait_for_readers();
  }
  void unlock() { state_.fetch_and(~writing, std::memory_order_release); }

 private:
  static constexpr std::uint32_t writing = 1U << 31;
  void back_off();
  void wait_for_readers();
  std::atomic<std::uint32_t> state_ = 0;
};

class Shard {
 public:
  using Slot = std::uint64_t;  ///< 0: free.

  Shard() = default;
  ~Shard();
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;

  /// The slot that holds `key`; nullptr: none.  `tag` is 16 bits of the key's hash.
  [[nodiscard]] const Slot* find(std::uint32_t tag, std::string_view key) const;
  [[nodiscard]] static Entry* entry_of(Slot slot) {
    return reinterpret_cast<Entry*>(slot & ((Slot{1} << 48) - 1));
  }
  [[nodiscard]] const Slot* begin() const { return slots_.load(std::memory_order_relaxed); }
  [[nodiscard]] const Slot* end() const { return begin() + capacity(); }
  [[nodiscard]] std::size_t slot_bytes() const { return capacity() * sizeof(Slot); }
  [[nodiscard]] std::uint32_t count() const { return count_; }

  /// All of the entry, for who will read it soon.
  static void prefetch(Slot slot);
  void prefetch(std::uint32_t tag) const;  ///< The owner.

  // For readers that come in a batch; both are hints and may be wrong.
  void prefetch_slots(std::uint32_t tag) const;
  void prefetch_entries(std::uint32_t tag) const;

  // The owner.  These lock where they must.
  /// Room for so many in all.
  void reserve(std::size_t count);
  void insert(std::uint32_t tag, Entry::Owned entry);
  /// The old entry is handed back: links lead to it, and it is freed without the lock.
  [[nodiscard]] Entry::Owned replace(const Slot* slot, Entry::Owned entry);
  [[nodiscard]] Entry::Owned erase(const Slot* slot);
  void clear();

  ShardLock mutable lock;
  Table::Digest digest;  ///< The owner's alone.

 private:
  [[nodiscard]] std::uint32_t capacity() const { return capacity_.load(std::memory_order_relaxed); }
  [[nodiscard]] static std::uint32_t home(std::uint32_t tag, std::uint32_t capacity) {
    return static_cast<std::uint32_t>(std::uint64_t{tag} * capacity >> 16);
  }
  [[nodiscard]] static std::uint32_t tag_of(Slot slot) {
    return static_cast<std::uint32_t>(slot >> 48);
  }
  static void place(Slot* slots, std::uint32_t capacity, Slot slot);
  void resize(std::uint32_t capacity);
  void close_gap(std::uint32_t gap);

  // Atomic for the sake of prefetching, which looks at them without the lock.
  std::atomic<Slot*> slots_ = nullptr;
  std::atomic<std::uint32_t> capacity_ = 0;
  std::uint32_t count_ = 0;
};

}  // namespace muster::cache
