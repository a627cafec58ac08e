// SPDX-License-Identifier: MIT
//
// Hosts of a test: network namespaces on one bridge, which lies in a namespace of its own, so that
// a test can cut them apart as switches and firewalls do.  They have no names and end with their
// owner, however the test ends.
//
// Threads: any; a thread that wants sockets of a host enters it.
#pragma once

#include <cstddef>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "process.h"

namespace muster::testing {

class Namespace {
 public:
  Namespace();
  ~Namespace();
  Namespace(const Namespace&) = delete;
  Namespace& operator=(const Namespace&) = delete;

  [[nodiscard]] bool works() const { return error_ == 0; }
  [[nodiscard]] const std::string& path() const { return path_; }
  /// A command line, in there.
  Finished run(const std::string& line) const;
  /// As `run`; a failed expectation where it does not succeed.
  void must(const std::string& line) const;
  /// Put before a command, so that its process lives in there.
  [[nodiscard]] std::vector<std::string> enter() const;

 private:
  std::promise<void> end_;
  std::string path_;
  int error_ = 0;
  std::thread keeper_;
};

/// The calling thread is in a namespace for as long as this lives: its new sockets belong there.
class Inside {
 public:
  explicit Inside(const Namespace& space);
  ~Inside();
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

 private:
  int home_;
};

/// Hosts 10.77.0.1, .2 ... and what is between them.  Faults replace each other until heal().
class Switch {
 public:
  explicit Switch(std::size_t hosts);

  /// Empty, or why there are no hosts: for GTEST_SKIP.
  [[nodiscard]] const std::string& missing() const { return missing_; }
  [[nodiscard]] const Namespace& host(std::size_t index) const { return *hosts_[index]; }
  [[nodiscard]] std::size_t size() const { return hosts_.size(); }
  [[nodiscard]] static std::string address(std::size_t index) {
    return "10.77.0." + std::to_string(index + 1);
  }

  /// What `from` sends does not reach `to` where `passes[from][to]` is false.
  using Matrix = std::vector<std::vector<bool>>;
  [[nodiscard]] Matrix all_passes() const;
  void set(const Matrix& passes);
  void cable(std::size_t index, bool plugged);
  /// Every connection of the host breaks, at both ends.
  void reset_connections(std::size_t index);
  void heal();

 private:
  std::string missing_;
  Namespace bridge_;
  std::vector<std::unique_ptr<Namespace>> hosts_;
};

}  // namespace muster::testing
