// SPDX-License-Identifier: MIT
//
// Real processes for tests: started, watched, killed.  None outlives its owner, nor the test
// itself.
//
// Threads: one.  Errors: what cannot be (no such program, no fork) is a failed assertion.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace muster::testing {

using Environment = std::map<std::string, std::string>;

class Process {
 public:
  /// Output and errors of the program go to `log`, appended.
  Process(const std::vector<std::string>& command, const Environment& environment,
          std::filesystem::path log, const std::filesystem::path& directory = {});
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  [[nodiscard]] pid_t id() const { return pid_; }
  [[nodiscard]] bool running();
  void signal(int number) const;
  /// The exit status (128 + signal where one killed it); nothing when it still runs at the
  /// deadline.
  std::optional<int> wait(std::chrono::milliseconds within);
  void kill_hard();
  [[nodiscard]] std::string output() const;

 private:
  pid_t pid_ = -1;
  std::filesystem::path log_;
  std::optional<int> status_;
};

struct Finished {
  int status = 0;
  std::string output;
};
/// Runs to its end, 30 s at most.
Finished run(const std::vector<std::string>& command, const Environment& environment = {});

/// A directory that goes away with its owner.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// Ports of 127.0.0.1 that nobody listens on now and that no other test process was given.
std::uint16_t free_port();
/// `count` of them in a row; the first.
std::uint16_t free_ports(int count);

/// Asks again and again, every 20 ms, until it is so.
template <class Condition>
[[nodiscard]] bool eventually(std::chrono::milliseconds within, Condition condition);

void pause_briefly();

template <class Condition>
bool eventually(std::chrono::milliseconds within, Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + within;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    pause_briefly();
  }
  return true;
}

}  // namespace muster::testing
