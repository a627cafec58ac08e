// SPDX-License-Identifier: MIT
#include "heap_ahead.h"

#include <gtest/gtest.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

namespace muster::cache {
namespace {

constexpr std::size_t step = std::size_t{8} << 20;

/// The last whole huge page of the heap, which malloc has handed to nobody yet.
bool last_page_is_there() {
  constexpr std::uintptr_t piece = std::uintptr_t{2} << 20;
  const auto end = reinterpret_cast<std::uintptr_t>(::sbrk(0));
  unsigned char there = 0;
  ::mincore(reinterpret_cast<void*>(end / piece * piece - 4096), 4096, &there);
  return (there & 1U) != 0;
}

TEST(HeapAhead, WhereAHeapGrowsFastWhatComesNextIsTouchedAlready) {
  ASSERT_EQ(::mallopt(M_TOP_PAD, static_cast<int>(step)), 1);
  HeapAhead heap;
  std::vector<std::unique_ptr<char[]>> blocks;
  const auto grow = [&](std::size_t bytes) {
    for (std::size_t grown = 0; grown < bytes; grown += 1'000) {
      blocks.push_back(std::unique_ptr<char[]>(new char[1'000]));
      heap.look();
    }
  };
  grow(std::size_t{64} << 20);
  const char* before = static_cast<const char*>(::sbrk(0));
  while (::sbrk(0) == before) grow(1'000);  // A fresh step: nothing of it was handed out.
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!last_page_is_there() && std::chrono::steady_clock::now() < limit) {
    std::this_thread::yield();
  }
  EXPECT_TRUE(last_page_is_there());
}

}  // namespace
}  // namespace muster::cache
