// SPDX-License-Identifier: MIT
#include "heap_ahead.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace muster::cache {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr std::size_t heap_least = std::size_t{8} << 20;  ///< Unless it grew by that much: nothing.
constexpr std::size_t piece = std::size_t{2} << 20;       ///< A huge page.
constexpr auto often = 500us;
constexpr auto quiet_after = 200ms;
constexpr auto fast = 150ms;  ///< From one step to the next; what grows slowly need not be helped.

const char* heap_end() { return static_cast<const char*>(::sbrk(0)); }

const char* next_piece(const char* from) {
  return from + (piece - reinterpret_cast<std::uintptr_t>(from) % piece) % piece;
}

}  // namespace

HeapAhead::HeapAhead() : base_(heap_end()), seen_(base_), touched_(next_piece(base_)) {}

void HeapAhead::look() {
  const char* end = heap_end();
  if (end == seen_) return;
  const bool grew = end > seen_;
  seen_ = end;
  if (!grew) return;
  const Clock::time_point now = Clock::now();
  if (now - std::exchange(grew_, now) < fast && end > base_ + heap_least) expect();
}

void HeapAhead::expect() {
  {
    const std::scoped_lock lock(mutex_);
    growing_ = true;
  }
  if (!thread_.joinable()) {
    thread_ = std::jthread([this](const std::stop_token& stop) { work(stop); });
  }
  changed_.notify_one();
}

void HeapAhead::work(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (changed_.wait(lock, stop, [this] { return growing_; })) {
    growing_ = false;
    Clock::time_point grew = Clock::now();
    while (!stop.stop_requested() && Clock::now() - grew < quiet_after) {
      lock.unlock();
      const bool touched = touch_next();
      lock.lock();
      if (touched) {
        grew = Clock::now();
      } else {
        changed_.wait_for(lock, stop, often, [this] { return growing_; });
        growing_ = false;
      }
    }
  }
}

/// False: all is touched that is there.
bool HeapAhead::touch_next() {
  const char* end = heap_end();
  touched_ = std::min(touched_, end);
  const std::ptrdiff_t left = end - touched_;
  if (left < std::ptrdiff_t{piece} || end < base_ + heap_least) return false;
  // What is given back meanwhile is an error that matters to nobody.
  ::madvise(const_cast<char*>(touched_), piece, MADV_POPULATE_WRITE);
  touched_ += piece;
  return true;
}

}  // namespace muster::cache
