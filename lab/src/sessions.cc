// SPDX-License-Identifier: MIT
//
// The order of what one node showed; see sessions.h.
#include "muster/lab/sessions.h"

#include <fmt/format.h>

#include <algorithm>

namespace muster::lab {

std::optional<std::string> Sessions::saw(std::size_t node, const std::string& table,
                                         const std::string& key,
                                         const std::optional<std::string>& value, Instant invoked,
                                         Instant completed) {
  auto& values = seen_[{node, table, key}];
  if (!value) {
    for (const auto& [other, seen] : values)
      if (seen.last_completed < invoked)
        return fmt::format("a client of n{} read {} of {}, later a miss", node, other, key);
    return std::nullopt;
  }
  const auto known = values.find(*value);
  if (known == values.end()) {
    values.emplace(*value, Seen{completed, invoked, completed});
    return std::nullopt;
  }
  Seen& mine = known->second;
  std::optional<std::string> wrong;
  for (const auto& [other, seen] : values) {
    const bool between = seen.last_invoked > mine.first_completed && seen.last_completed < invoked;
    if (other == *value || !between) continue;
    wrong = fmt::format("a client of n{} went back: {} of {}, then {}, then {} again", node, *value,
                        key, other, *value);
  }
  mine.last_invoked = std::max(mine.last_invoked, invoked);
  mine.last_completed = std::max(mine.last_completed, completed);
  return wrong;
}

void Sessions::forget(std::size_t node) {
  std::erase_if(seen_, [&](const auto& each) { return std::get<0>(each.first) == node; });
}

void Sessions::forget(const std::string& table) {
  std::erase_if(seen_, [&](const auto& each) { return std::get<1>(each.first) == table; });
}

void Sessions::forget(const std::string& table, const std::string& key) {
  std::erase_if(seen_, [&](const auto& each) {
    return std::get<1>(each.first) == table && std::get<2>(each.first) == key;
  });
}

}  // namespace muster::lab
