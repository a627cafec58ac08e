// SPDX-License-Identifier: MIT
//
// Clients of the Redis port that stay on one node each, write without pause, and write down what
// they were told: every acknowledged key of their own, every read that went back in time, how long
// a write waited.
//
// Threads: one per client; what it found is read after stop(), or under its lock.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "namespaces.h"

namespace muster::testing {

class PinnedClient {
 public:
  /// `others`: how many clients there are; it reads their counters as well.
  PinnedClient(const Namespace& host, std::uint16_t port, std::size_t number, std::size_t others);
  ~PinnedClient();
  PinnedClient(const PinnedClient&) = delete;
  PinnedClient& operator=(const PinnedClient&) = delete;

  /// Returns when its current operation is answered.
  void rest();
  void go_on();

  /// Of clients that rest.
  [[nodiscard]] const std::vector<std::string>& acknowledged() const { return acknowledged_; }
  [[nodiscard]] const std::vector<std::string>& violations() const { return violations_; }
  [[nodiscard]] std::uint64_t refused() const { return refused_; }
  /// Of the writes since the last call.
  [[nodiscard]] std::chrono::milliseconds take_longest_write();

 private:
  enum class State { running, resting, ending };

  void work();
  void one_round();
  std::string write(const std::string& key, const std::string& value);
  void read_own();
  void read_others();
  void violation(const std::string& text);
  std::string ask(const std::vector<std::string>& command);
  [[nodiscard]] std::string counter() const;

  const Namespace& host_;
  const std::uint16_t port_;
  const std::size_t number_;
  const std::size_t others_;

  std::mutex lock_;
  std::condition_variable changed_;
  State state_ = State::running;
  bool rests_ = false;

  struct Connection;
  std::unique_ptr<Connection> connection_;
  std::uint64_t count_ = 0;       ///< Writes of unique keys.
  std::uint64_t generation_ = 0;  ///< Of its counter: a new one where an answer was lost.
  std::uint64_t written_ = 0;     ///< The counter's last acknowledged value.
  std::uint64_t tried_ = 0;       ///< The largest that may have been written.
  std::map<std::string, std::uint64_t> seen_;
  std::vector<std::string> acknowledged_;
  std::vector<std::string> violations_;
  std::uint64_t refused_ = 0;
  std::chrono::milliseconds longest_write_{};
  std::thread thread_;  // Last: it uses all of the above.
};

}  // namespace muster::testing
