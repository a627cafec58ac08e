// SPDX-License-Identifier: MIT
//
// The record of a world's clients; see history.h.
#include "muster/lab/history.h"

#include <utility>

namespace muster::lab {

Operation& History::add(Operation operation) {
  operation.id = operations_.size();
  by_key_[{operation.table, operation.key}].push_back(operation.id);
  if (operation.kind == Operation::Kind::put) by_value_[operation.value] = operation.id;
  return operations_.emplace_back(std::move(operation));
}

std::vector<const Operation*> History::of(const std::string& table, const std::string& key) const {
  std::vector<const Operation*> found;
  const auto ids = by_key_.find({table, key});
  if (ids != by_key_.end())
    for (const std::size_t id : ids->second) found.push_back(&operations_[id]);
  return found;
}

std::vector<std::pair<std::string, std::string>> History::keys() const {
  std::vector<std::pair<std::string, std::string>> keys;
  for (const auto& [key, ids] : by_key_) keys.push_back(key);
  return keys;
}

const Operation* History::put_of(const std::string& value) const {
  const auto found = by_value_.find(value);
  return found == by_value_.end() ? nullptr : &operations_[found->second];
}

void History::lost(NodeIndex node, const std::map<std::string, Instant>& durable) {
  for (Operation& operation : operations_) {
    const auto until = durable.find(operation.table);
    // An answer that came late, or never, may be of an operation applied long before.
    if (until != durable.end() && operation.completed < until->second) continue;
    if (!operation.holders.contains(node) && operation.node != node) continue;
    operation.holders.erase(node);
    if (operation.holders.empty()) operation.maybe_lost = true;
  }
}

void History::healed() {
  for (Operation& operation : operations_) operation.again |= !operation.done();
}

void History::settled(const std::set<NodeIndex>& nodes, Instant now) {
  for (Operation& operation : operations_)
    if (operation.applied && !operation.maybe_lost)
      for (const NodeIndex node : nodes) operation.holders.emplace(node, now);
}

bool History::happened_before(const Operation& earlier, const Operation& later) {
  if (!earlier.applied) return false;
  const auto holder = earlier.holders.find(later.node);
  return holder != earlier.holders.end() && holder->second <= later.invoked;
}

}  // namespace muster::lab
