// SPDX-License-Identifier: MIT
#include "muster/unsplit/policy.h"

#include <algorithm>
#include <cassert>
#include <tuple>

namespace muster::unsplit {

using cache::OnSplit;

std::string_view to_string(Rule rule) {
  switch (rule) {
    case Rule::oldest:
      return "oldest";
    case Rule::largest:
      return "largest";
    case Rule::merge:
      return "merge";
    case Rule::custom:
      return "custom";
    case Rule::none:
      return "none";
    case Rule::unexpected:
      return "unexpected";
  }
  return "?";
}

Rule rule_for(const cache::TableDefinition& table, const FlushTables& flush) {
  switch (table.on_split) {
    case OnSplit::oldest:
      return Rule::oldest;
    case OnSplit::merge:
      return Rule::merge;
    case OnSplit::largest:
      return Rule::largest;
    case OnSplit::majority:
      return Rule::largest;  // The smaller island could not write; whoever could, stays.
    case OnSplit::custom:
      return Rule::custom;
    case OnSplit::none:
      return Rule::none;
    case OnSplit::automatic:
      break;
  }
  const bool listed = table.name == "session" || flush.all ||
                      std::ranges::find(flush.names, table.name) != flush.names.end();
  return listed ? Rule::oldest : Rule::unexpected;
}

bool ours_is_older(const cache::Fork& fork) {
  const cache::Line& ours = fork.our_sibling();
  const cache::Line& theirs = fork.their_sibling();
  assert(ours.id != theirs.id);
  if (fork.common ==
      0)  // Two roots: clusters that never met; ordinals of different clusters say nothing.
    return std::tie(ours.stamp, ours.id) < std::tie(theirs.stamp, theirs.id);
  return std::tie(ours.namer, ours.id) < std::tie(theirs.namer, theirs.id);
}

bool ours_is_larger(const cache::Fork& fork) {
  const cache::Line& ours = fork.our_sibling();
  const cache::Line& theirs = fork.their_sibling();
  if (fork.common == 0 || ours.view == theirs.view) return ours_is_older(fork);
  return ours.view > theirs.view;
}

}  // namespace muster::unsplit
