// SPDX-License-Identifier: MIT
//
// The record of a world's clients; see history.h.
#include "muster/lab/history.h"

#include <utility>

namespace muster::lab {

namespace {

/// One that waits for long may be answered on another line than it was made on.
bool share_a_line(const Operation& a, const Operation& b) {
  const auto has = [&b](std::uint64_t line) {
    return line != 0 && (line == b.line || line == b.asked_on);
  };
  return has(a.line) || has(a.asked_on);
}

}  // namespace

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

void History::held(std::size_t id, const std::set<NodeIndex>& nodes, Instant now) {
  Operation& operation = operations_[id];
  std::set<NodeIndex> heirs;
  for (const NodeIndex node : nodes) {
    const auto left = left_.find(node);
    if (left == left_.end())
      operation.holders.emplace(node, now);
    else
      heirs.insert(left->second.begin(), left->second.end());
  }
  if (!operation.holders.empty()) return;
  for (const NodeIndex heir : heirs) operation.heirs.emplace(heir, now);
  // Nobody may be told that it is safe, if only one has it who has left.
  if (heirs.empty() && !operation.acknowledged) operation.maybe_lost = true;
}

void History::lost(NodeIndex node, const std::map<std::string, Instant>& durable,
                   const std::set<std::string>& stored_first) {
  for (auto& [other, company] : left_) company.erase(node);
  for (Operation& operation : operations_) {
    const auto until = durable.find(operation.table);
    // Nobody was told since when an heir has it: at the latest since the other left.
    const auto heir = operation.heirs.find(node);
    if (heir != operation.heirs.end() &&
        (until == durable.end() || until->second <= heir->second)) {
      operation.heirs.erase(heir);
      if (operation.heirs.empty()) operation.maybe_lost = true;
    }
    // An answer that came late, or never, may be of an operation applied long before.
    if (until != durable.end() && operation.completed < until->second) continue;
    const bool stored = operation.acknowledged && operation.direct && operation.node == node;
    if (stored && stored_first.contains(operation.table)) continue;
    if (!operation.holders.contains(node) && operation.node != node) continue;
    operation.holders.erase(node);
    if (operation.holders.empty() && operation.heirs.empty()) operation.maybe_lost = true;
  }
}

void History::left(NodeIndex node, const std::set<NodeIndex>& in_touch,
                   const std::set<std::string>& unwritten, Instant now) {
  for (auto& [other, behind] : left_) behind.erase(node);
  left_.insert_or_assign(node, in_touch);
  for (Operation& operation : operations_) {
    // What it has set aside it hands to nobody: that is in its journal.
    const auto company = unwritten.contains(operation.table) ? std::set<NodeIndex>() : in_touch;
    const bool heir = operation.heirs.erase(node) != 0;
    if (heir || (operation.holders.size() == 1 && operation.holders.contains(node))) {
      // In company it hands over first what it alone has.
      for (const NodeIndex other : company) operation.heirs.emplace(other, now);
      if (operation.heirs.empty()) operation.maybe_lost = true;
      if (!company.empty()) continue;
    }
    if (!operation.holders.contains(node) && operation.node != node) continue;
    if (!company.empty() && operation.holders.empty()) continue;
    operation.holders.erase(node);
    if (operation.holders.empty()) operation.maybe_lost = true;
  }
}

void History::healed() {
  for (Operation& operation : operations_) operation.again |= !operation.done();
}

void History::settled(const std::set<NodeIndex>& nodes, Instant now) {
  for (Operation& operation : operations_) {
    if (!operation.applied || operation.maybe_lost) continue;
    for (const NodeIndex node : nodes) operation.holders.emplace(node, now);
    operation.heirs.clear();
  }
}

bool History::happened_before(const Operation& earlier, const Operation& later) {
  if (!earlier.applied) return false;
  const auto holder = earlier.holders.find(later.node);
  return holder != earlier.holders.end() && holder->second <= later.invoked;
}

bool History::may_replace(const Operation& earlier, const Operation& later) {
  if (later.done() && !later.applied && !later.unknown) return false;
  if (happened_before(earlier, later)) return true;
  // One that waits for others for long is applied all the while.
  if (earlier.node == later.node && earlier.life == later.life) return earlier.id < later.id;
  return share_a_line(earlier, later) && !happened_before(later, earlier);
}

}  // namespace muster::lab
