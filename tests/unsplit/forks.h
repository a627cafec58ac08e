// SPDX-License-Identifier: MIT
// Paths and forks made of literals, for tests of the rules.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>

#include "muster/cache/healer.h"

namespace muster::unsplit::testing {

inline cache::Line line(cache::LineId id, std::uint32_t ordinal, std::uint64_t boot,
                        std::uint32_t view = 1, std::uint64_t time = 0) {
  cache::Line made;
  made.id = id;
  made.namer = {.ordinal = ordinal, .boot = {boot}};
  made.view = view;
  made.stamp = {.time = time, .boot = {boot}};
  return made;
}

inline cache::Path path(std::initializer_list<cache::Line> lines) {
  cache::Path made;
  cache::LineId parent = 0;
  for (cache::Line each : lines) {
    each.parent = parent;
    parent = each.id;
    made.push_back(each);
  }
  return made;
}

inline cache::Fork fork_of(const cache::Path& ours, const cache::Path& theirs) {
  cache::Fork fork;
  fork.peer.name = NodeName::parse("b@127.0.0.1").value();
  fork.peer.boot = {77};
  fork.table = "session";
  fork.ours = ours;
  fork.theirs = theirs;
  while (fork.common < ours.size() && fork.common < theirs.size() &&
         ours[fork.common].id == theirs[fork.common].id)
    ++fork.common;
  if (fork.common == 0) fork.context = cache::SplitContext::never_met;
  return fork;
}

}  // namespace muster::unsplit::testing
