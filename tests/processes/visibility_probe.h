// SPDX-License-Identifier: MIT
//
// Writes on one node and reads what was acknowledged on the others in turn, until it is there: how
// often the answer was still the old one, and how long it took.
//
// Threads: one of its own; what it knows is read while it rests, `seen` and `stale` at any time.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "client_thread.h"

namespace muster::testing {

class VisibilityProbe {
 public:
  VisibilityProbe(const Switch& hosts, std::uint16_t port, std::size_t home);
  ~VisibilityProbe();
  VisibilityProbe(const VisibilityProbe&) = delete;
  VisibilityProbe& operator=(const VisibilityProbe&) = delete;

  void rest() { thread_->rest(); }
  void go_on() { thread_->go_on(); }

  /// Acknowledged keys, with value_of().
  [[nodiscard]] const std::vector<std::string>& kept() const { return kept_; }
  /// Since the last call: from each acknowledgement to the first read on another node.
  [[nodiscard]] std::vector<std::chrono::milliseconds> take_times() {
    return std::exchange(times_, {});
  }
  /// How many were read at last, and how many answers came before that without them.
  [[nodiscard]] std::uint64_t seen() const { return seen_; }
  [[nodiscard]] std::uint64_t stale() const { return stale_; }

 private:
  struct Awaited {
    std::string key;
    std::size_t node;
    std::chrono::steady_clock::time_point acknowledged;
  };

  void one_round();
  void write_the_next();
  void look();
  std::string ask(std::size_t node, const std::vector<std::string>& command);

  const Switch& hosts_;
  const std::uint16_t port_;
  const std::size_t home_;

  struct Connection;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::uint64_t count_ = 0;
  std::optional<Awaited> awaited_;
  std::vector<std::string> kept_;
  std::vector<std::chrono::milliseconds> times_;
  std::atomic<std::uint64_t> seen_{};
  std::atomic<std::uint64_t> stale_{};
  std::unique_ptr<ClientThread> thread_;  // Last: it uses all of the above.
};

}  // namespace muster::testing
