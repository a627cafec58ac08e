// SPDX-License-Identifier: MIT
#include "faults.h"

#include <algorithm>
#include <csignal>

namespace muster::testing {

namespace {

void cut(Switch::Matrix& passes, std::size_t a, std::size_t b) {
  passes[a][b] = passes[b][a] = false;
}

}  // namespace

const char* said(Fault fault) {
  switch (fault) {
    case Fault::halves:
      return "two halves";
    case Fault::one_way:
      return "one node is not heard";
    case Fault::bridge:
      return "two halves and a bridge";
    case Fault::ring:
      return "a ring";
    case Fault::frozen:
      return "a frozen node";
    case Fault::killed:
      return "a killed node";
    case Fault::cable:
      return "a pulled cable";
    case Fault::resets:
      return "connections reset";
  }
  return "";
}

void Faults::begin(Fault fault) {
  fault_ = fault;
  victim_ = any_node();
  switch (fault) {
    case Fault::halves:
      return cut_in_two(false);
    case Fault::one_way:
      return cut_one_way();
    case Fault::bridge:
      return cut_in_two(true);
    case Fault::ring:
      return leave_a_ring();
    case Fault::frozen:
      return nodes_.process(victim_).signal(SIGSTOP);
    case Fault::killed:
      return nodes_.kill_hard(victim_);
    case Fault::cable:
      return hosts_.cable(victim_, false);
    case Fault::resets:
      return hosts_.reset_connections(victim_);
  }
}

void Faults::end() {
  hosts_.heal();
  for (std::size_t node = 0; node < nodes_.size(); ++node) {
    nodes_.process(node).signal(SIGCONT);
    nodes_.start(node);
  }
}

bool Faults::silences(std::size_t node) const {
  return node == victim_ && (fault_ == Fault::frozen || fault_ == Fault::killed);
}

Fault Faults::any_fault() {
  constexpr Fault all[] = {Fault::halves, Fault::one_way, Fault::bridge, Fault::ring,
                           Fault::frozen, Fault::killed,  Fault::cable,  Fault::resets};
  return all[random_() % std::size(all)];
}

std::vector<std::size_t> Faults::in_random_order() {
  std::vector<std::size_t> order(hosts_.size());
  for (std::size_t node = 0; node < order.size(); ++node) order[node] = node;
  std::shuffle(order.begin(), order.end(), random_);
  return order;
}

/// Two halves; with `bridge` the first node of the order sees both.
void Faults::cut_in_two(bool bridge) {
  const auto order = in_random_order();
  auto passes = hosts_.all_passes();
  const std::size_t first = bridge ? 1 : 0;
  const std::size_t left = (order.size() - first + 1) / 2;
  for (std::size_t i = first; i < first + left; ++i)
    for (std::size_t k = first + left; k < order.size(); ++k) cut(passes, order[i], order[k]);
  hosts_.set(passes);
}

void Faults::cut_one_way() {
  auto passes = hosts_.all_passes();
  for (std::size_t to = 0; to < hosts_.size(); ++to)
    if (to != victim_) passes[victim_][to] = false;
  hosts_.set(passes);
}

void Faults::leave_a_ring() {
  const auto order = in_random_order();
  auto passes = hosts_.all_passes();
  for (std::size_t i = 0; i < order.size(); ++i)
    for (std::size_t k = i + 2; k < order.size(); ++k)
      if (i != 0 || k + 1 != order.size()) cut(passes, order[i], order[k]);
  hosts_.set(passes);
}

}  // namespace muster::testing
