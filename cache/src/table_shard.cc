// SPDX-License-Identifier: MIT
#include "table_shard.h"

#include <algorithm>
#include <cassert>
#include <mutex>
#include <shared_mutex>
#include <thread>
#include <utility>

namespace muster::cache {
namespace {

constexpr std::uint32_t slots_in_line = 8;

void pause_a_little(unsigned round) {
  constexpr unsigned spins = 64;
  if (round < spins) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  } else {
    std::this_thread::yield();  // The holder may have lost its processor.
  }
}

}  // namespace

void ShardLock::back_off() {
  state_.fetch_sub(1, std::memory_order_relaxed);
  for (unsigned round = 0; (state_.load(std::memory_order_relaxed) & writing) != 0; ++round) {
    pause_a_little(round);
  }
}

void ShardLock::wait_for_readers() {
  for (unsigned round = 0; state_.load(std::memory_order_acquire) != writing; ++round) {
    pause_a_little(round);
  }
}

Shard::~Shard() { clear(); }

const Shard::Slot* Shard::find(std::uint32_t tag, std::string_view key) const {
  const std::uint32_t size = capacity();
  if (size == 0) return nullptr;
  const Slot* slots = begin();
  for (std::uint32_t at = home(tag, size);; at = at + 1 == size ? 0 : at + 1) {
    if (slots[at] == 0) return nullptr;
    if (tag_of(slots[at]) != tag) continue;
    prefetch(slots[at]);
    if (entry_of(slots[at])->key() == key) return slots + at;
  }
}

/// Its lines together rather than one after the other.
void Shard::prefetch(Slot slot) {
  constexpr std::size_t line = 64, lines = 6;
  const char* block = reinterpret_cast<const char*>(entry_of(slot));
  for (std::size_t at = 0; at < lines; ++at) __builtin_prefetch(block + at * line);
}

void Shard::prefetch(std::uint32_t tag) const {
  const std::uint32_t size = capacity();
  if (size == 0) return;
  const Slot* slots = begin();
  for (std::uint32_t at = home(tag, size); slots[at] != 0; at = at + 1 == size ? 0 : at + 1) {
    if (tag_of(slots[at]) == tag) return prefetch(slots[at]);
  }
}

void Shard::prefetch_slots(std::uint32_t tag) const {
  if (const Slot* slots = begin()) __builtin_prefetch(slots + home(tag, capacity()));
}

void Shard::prefetch_entries(std::uint32_t tag) const {
  const std::shared_lock guard(lock);
  prefetch(tag);
}

void Shard::place(Slot* slots, std::uint32_t capacity, Slot slot) {
  std::uint32_t at = home(tag_of(slot), capacity);
  while (slots[at] != 0) at = at + 1 == capacity ? 0 : at + 1;
  slots[at] = slot;
}

void Shard::resize(std::uint32_t capacity) {
  Slot* fresh = capacity == 0 ? nullptr : new Slot[capacity]();
  Slot* old = slots_.load(std::memory_order_relaxed);
  for (const Slot* slot = begin(); slot != end(); ++slot) {
    if (*slot != 0) place(fresh, capacity, *slot);
  }
  {
    const std::scoped_lock guard(lock);
    slots_.store(fresh, std::memory_order_relaxed);
    capacity_.store(capacity, std::memory_order_relaxed);
  }
  delete[] old;
}

void Shard::reserve(std::size_t count) {
  const std::size_t needed = (count * 5 / 4 + slots_in_line) / slots_in_line * slots_in_line;
  if (needed > capacity()) resize(static_cast<std::uint32_t>(needed));
}

void Shard::insert(std::uint32_t tag, Entry::Owned entry) {
  const std::uint32_t size = capacity();
  if ((count_ + 1) * 5 > size * 4) {
    resize(size + std::max(slots_in_line, size / 4 / slots_in_line * slots_in_line));
  }
  const auto address = reinterpret_cast<std::uintptr_t>(entry.release());
  assert(address >> 48 == 0);
  const std::scoped_lock guard(lock);
  place(slots_.load(std::memory_order_relaxed), capacity(), Slot{address} | Slot{tag} << 48);
  ++count_;
}

Entry::Owned Shard::replace(const Slot* slot, Entry::Owned entry) {
  Slot& here = slots_.load(std::memory_order_relaxed)[slot - begin()];
  const auto address = reinterpret_cast<std::uintptr_t>(entry.release());
  assert(address >> 48 == 0);
  const std::scoped_lock guard(lock);
  return Entry::Owned(entry_of(std::exchange(here, Slot{address} | (here >> 48 << 48))));
}

Entry::Owned Shard::erase(const Slot* slot) {
  Entry::Owned old(entry_of(*slot));
  {
    const std::scoped_lock guard(lock);
    close_gap(static_cast<std::uint32_t>(slot - begin()));
    --count_;
  }
  if (count_ == 0) {
    resize(0);
  } else if (capacity() > 16 && count_ * 4 < capacity()) {
    resize((count_ * 2 + 7) / 8 * 8);
  }
  return old;
}

/// Moves up what a search would no longer find over the gap.
void Shard::close_gap(std::uint32_t gap) {
  Slot* slots = slots_.load(std::memory_order_relaxed);
  const std::uint32_t size = capacity();
  const auto distance = [size](std::uint32_t from, std::uint32_t to) {
    return to >= from ? to - from : to + size - from;
  };
  for (std::uint32_t at = gap;;) {
    at = at + 1 == size ? 0 : at + 1;
    if (slots[at] == 0) break;
    if (distance(home(tag_of(slots[at]), size), at) < distance(gap, at)) continue;
    slots[gap] = slots[at];
    gap = at;
  }
  slots[gap] = 0;
}

void Shard::clear() {
  Slot* old = slots_.load(std::memory_order_relaxed);
  const std::uint32_t size = capacity();
  {
    const std::scoped_lock guard(lock);
    slots_.store(nullptr, std::memory_order_relaxed);
    capacity_.store(0, std::memory_order_relaxed);
    count_ = 0;
  }
  for (std::uint32_t at = 0; at < size; ++at) {
    if (old[at] != 0) Entry::Free()(entry_of(old[at]));
  }
  delete[] old;
  digest = {};
}

}  // namespace muster::cache
