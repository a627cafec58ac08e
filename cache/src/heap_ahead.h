// SPDX-License-Identifier: MIT
//
// While a heap grows by hundreds of megabytes, a load or a join, much of the time goes into memory
// that nobody has touched yet: the system clears it, and the host of a virtual machine has to find
// it.  A thread of its own touches what malloc will hand out next.  use_huge_pages() sets the step
// in which glibc's heap grows; with any other malloc, or another step, nothing happens here.
//
// Threads: look() and expect() by the owner.  The thread sleeps while the heap does not grow, and
// ends with this.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace muster::cache {

class HeapAhead {
 public:
  HeapAhead();
  HeapAhead(const HeapAhead&) = delete;
  HeapAhead& operator=(const HeapAhead&) = delete;

  /// Often, since it notices growth; costs nothing where there is none.
  void look();
  /// The heap may grow soon, and nobody will look() meanwhile.
  void expect();

 private:
  void work(const std::stop_token& stop);
  bool touch_next();

  const char* const base_;
  const char* seen_;
  std::chrono::steady_clock::time_point grew_;
  const char* touched_;  ///< The thread's: up to here.
  std::mutex mutex_;
  std::condition_variable_any changed_;
  bool growing_ = false;
  std::jthread thread_;  ///< Last: it ends first.
};

}  // namespace muster::cache
