// SPDX-License-Identifier: MIT
//
// Could one register, whose operations happen one at a time, each at some moment between its call
// and its answer, have given all these answers?  The search of Wing and Gong: whichever operation
// was called before any remaining one was answered may be the next; what was tried is remembered.
//
// Threads: any.  It is meant for a few clients at a time: the more overlap, the longer it takes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace muster::testing {

/// On one key.  Moments are of any clock that all clients share.
struct RegisterOperation {
  enum class Kind { set, get, erase };
  Kind kind = Kind::get;
  /// What was written; what was read, none where there was none.
  std::optional<std::string> value;
  /// Of `erase`: whether there was one.
  bool erased = false;
  std::int64_t called = 0;
  std::int64_t answered = 0;
};

/// A register that is empty at first.
[[nodiscard]] bool linearizable(std::vector<RegisterOperation> history);

}  // namespace muster::testing
