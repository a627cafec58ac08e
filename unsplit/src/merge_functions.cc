// SPDX-License-Identifier: MIT
#include "muster/unsplit/merge_functions.h"

#include <algorithm>
#include <set>
#include <utility>

namespace muster::unsplit {
namespace {

std::string greater_value(const MergeConflict& conflict) {
  return std::max(conflict.lost.value, conflict.kept->value);
}

void add_members(std::string_view list, char separator, std::set<std::string_view>& members) {
  while (!list.empty()) {
    const std::size_t end = std::min(list.find(separator), list.size());
    if (end != 0) members.insert(list.substr(0, end));
    list.remove_prefix(std::min(end + 1, list.size()));
  }
}

}  // namespace

MergeFunction newest_by(NumberField field) {
  return [field = std::move(field)](const MergeConflict& conflict) -> std::optional<std::string> {
    if (!conflict.kept) return conflict.lost.value;
    const auto lost = field(conflict.lost.value), kept = field(conflict.kept->value);
    if (lost == kept) return greater_value(conflict);
    return lost > kept ? conflict.lost.value : conflict.kept->value;  // Nothing is less than any.
  };
}

MergeFunction set_union(char separator) {
  return [separator](const MergeConflict& conflict) -> std::optional<std::string> {
    std::set<std::string_view> members;
    add_members(conflict.lost.value, separator, members);
    if (conflict.kept) add_members(conflict.kept->value, separator, members);
    std::string all;
    for (const std::string_view member : members) {
      if (!all.empty()) all += separator;
      all += member;
    }
    return all;
  };
}

bool descends(const VectorClock& a, const VectorClock& b) {
  return std::ranges::all_of(b, [&](const auto& entry) {
    const auto found = a.find(entry.first);
    return entry.second == 0 || (found != a.end() && found->second >= entry.second);
  });
}

VectorClock merged(VectorClock a, const VectorClock& b) {
  for (const auto& [actor, count] : b) a[actor] = std::max(a[actor], count);
  return a;
}

VectorClock incremented(VectorClock clock, const std::string& actor) {
  ++clock[actor];
  return clock;
}

MergeFunction by_vector_clock(ClockField clock, MergeFunction merge_concurrent) {
  return [clock = std::move(clock), merge_concurrent = std::move(merge_concurrent)](
             const MergeConflict& conflict) -> std::optional<std::string> {
    if (!conflict.kept) return conflict.lost.value;
    const VectorClock lost = clock(conflict.lost.value), kept = clock(conflict.kept->value);
    const bool lost_has_all = descends(lost, kept), kept_has_all = descends(kept, lost);
    if (lost_has_all != kept_has_all)
      return lost_has_all ? conflict.lost.value : conflict.kept->value;
    if (!lost_has_all && merge_concurrent) return merge_concurrent(conflict);
    return greater_value(conflict);
  };
}

}  // namespace muster::unsplit
