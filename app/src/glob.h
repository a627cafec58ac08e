// SPDX-License-Identifier: MIT
//
// Patterns of KEYS and SCAN as Redis has them: * ? [a-c] [^x] and backslash.  Iterative, with a
// bound on steps: a pattern made to be slow ends early and matches nothing.
#pragma once

#include <cstddef>
#include <string_view>

namespace muster::app {

/// `steps` is shared by all matches of one command and counts down; at 0 nothing matches any more.
[[nodiscard]] bool glob_matches(std::string_view pattern, std::string_view text,
                                std::size_t& steps);

constexpr std::size_t glob_steps_max = 2'000'000;  ///< A few milliseconds.

}  // namespace muster::app
