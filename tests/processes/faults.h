// SPDX-License-Identifier: MIT
//
// What can happen to nodes on hosts, at random places from a seed, one fault at a time.
//
// Threads: one.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "hosted_nodes.h"
#include "namespaces.h"

namespace muster::testing {

enum class Fault { halves, one_way, bridge, ring, frozen, killed, cable, resets };
[[nodiscard]] const char* said(Fault fault);

class Faults {
 public:
  Faults(Switch& hosts, HostedNodes& nodes, std::uint64_t seed)
      : hosts_(hosts), nodes_(nodes), random_(seed) {}

  void begin(Fault fault);
  /// All is as before: cut hosts are linked, frozen nodes go on, dead ones are started again.
  void end();
  /// Whether the fault that was begun last keeps this node from answering its own clients.
  [[nodiscard]] bool silences(std::size_t node) const;

  [[nodiscard]] Fault any_fault();
  [[nodiscard]] std::uint64_t any_number() { return random_(); }

 private:
  [[nodiscard]] std::size_t any_node() { return random_() % hosts_.size(); }
  [[nodiscard]] std::vector<std::size_t> in_random_order();
  void cut_in_two(bool bridge);
  void cut_one_way();
  void leave_a_ring();

  Switch& hosts_;
  HostedNodes& nodes_;
  std::mt19937_64 random_;
  Fault fault_{};
  std::size_t victim_ = 0;
};

}  // namespace muster::testing
