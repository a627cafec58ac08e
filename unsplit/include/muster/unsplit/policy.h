// SPDX-License-Identifier: MIT
//
// Who wins a fork of lines.  Read from the two paths and the table's definition alone, so that
// every node names the same winner at any time, also after the oldest has died or restarted; and
// since paths are totally ordered by it, any number of islands, healing pairwise in any order, ends
// alike.  Source of the rule: the oldest node wins, as in Pow's Unsplit, made independent of who is
// alive at the heal.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "muster/cache/definition.h"
#include "muster/cache/healer.h"

namespace muster::unsplit {

/// Which tables besides `session` may be set aside by `oldest`: none, all, or those listed.
struct FlushTables {
  bool all = false;
  std::vector<std::string> names;
};

/// What applies to a table once `automatic` is resolved.
enum class Rule : std::uint8_t {
  oldest,
  largest,
  merge,
  custom,      ///< A function of the program's own settles each key.
  none,        ///< The owner asked that it stays apart.
  unexpected,  ///< Neither listed in flush_tables nor with a policy of its own: stays apart, and
               ///< that is an error.
};
[[nodiscard]] std::string_view to_string(Rule rule);

[[nodiscard]] Rule rule_for(const cache::TableDefinition& table, const FlushTables& flush);

/// The sibling that wins under `oldest`, `merge` and `custom`: the smaller seniority of its namer;
/// of two roots the older one.
[[nodiscard]] bool ours_is_older(const cache::Fork& fork);
/// Under `largest`: the larger recorded view, then the older.
[[nodiscard]] bool ours_is_larger(const cache::Fork& fork);

}  // namespace muster::unsplit
