// SPDX-License-Identifier: MIT
//
// A thread that lives on one host and does its round again and again; it can be told to rest, so
// that others may look at what it found.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "namespaces.h"

namespace muster::testing {

class ClientThread {
 public:
  /// `round` is called on the thread; the thread ends with this.
  ClientThread(const Namespace& host, std::function<void()> round);
  ~ClientThread();
  ClientThread(const ClientThread&) = delete;
  ClientThread& operator=(const ClientThread&) = delete;

  /// Returns when its current round is over.
  void rest();
  void go_on();

 private:
  enum class State { running, resting, ending };

  void work();

  const Namespace& host_;
  const std::function<void()> round_;
  std::mutex lock_;
  std::condition_variable changed_;
  State state_ = State::running;
  bool rests_ = false;
  std::thread thread_;  // Last: it uses all of the above.
};

}  // namespace muster::testing
