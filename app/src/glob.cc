// SPDX-License-Identifier: MIT
#include "glob.h"

#include <algorithm>

namespace muster::app {
namespace {

struct Class {
  bool matches = false;
  std::size_t end = 0;  // Behind the ']', or the end of the pattern where there is none.
};

/// The class at `at`, which stands behind '['; the rules are those of Redis's stringmatchlen.
Class match_class(std::string_view pattern, std::size_t at, char c) {
  const bool negated = at < pattern.size() && pattern[at] == '^';
  if (negated) ++at;
  bool found = false;
  const auto byte = static_cast<unsigned char>(c);
  while (true) {
    if (at + 1 < pattern.size() && pattern[at] == '\\') {
      ++at;
      found |= pattern[at] == c;
    } else if (at >= pattern.size() || pattern[at] == ']') {
      break;
    } else if (at + 2 < pattern.size() && pattern[at + 1] == '-') {
      auto first = static_cast<unsigned char>(pattern[at]);
      auto last = static_cast<unsigned char>(pattern[at + 2]);
      if (first > last) std::swap(first, last);
      at += 2;
      found |= byte >= first && byte <= last;
    } else {
      found |= pattern[at] == c;
    }
    ++at;
  }
  return {found != negated, std::min(at + 1, pattern.size())};
}

/// Matches one character of the text by the pattern at `at`; moves behind what it used.
bool match_one(std::string_view pattern, std::size_t& at, char c) {
  if (pattern[at] == '?') {
    ++at;
    return true;
  }
  if (pattern[at] == '[') {
    const Class result = match_class(pattern, at + 1, c);
    at = result.end;
    return result.matches;
  }
  if (pattern[at] == '\\' && at + 1 < pattern.size()) ++at;
  return pattern[at++] == c;
}

}  // namespace

bool glob_matches(std::string_view pattern, std::string_view text, std::size_t& steps) {
  std::size_t p = 0, t = 0;
  // Only the last star needs to be tried again: an earlier one that took more could not help.
  std::size_t star = pattern.npos, star_text = 0;
  while (t < text.size()) {
    if (steps == 0) return false;
    --steps;
    if (p < pattern.size() && pattern[p] == '*') {
      star = ++p;
      star_text = t;
      continue;
    }
    std::size_t next = p;
    if (p < pattern.size() && match_one(pattern, next, text[t])) {
      // A class may be long: its length counts.
      steps -= std::min(steps, next - p - 1);
      p = next;
      ++t;
      continue;
    }
    steps -= std::min(steps, next - p);
    if (star == pattern.npos) return false;
    p = star;
    t = ++star_text;
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace muster::app
