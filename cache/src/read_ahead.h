// SPDX-License-Identifier: MIT
//
// Reading many rows on two threads: one finds and checks them, ahead of the other, which uses them.
// A load is bound by memory that was never touched before, and most of that is the finder's.
#pragma once

#include <functional>
#include <string_view>

namespace muster::cache {

using UseRow = std::function<void(std::string_view key, std::string_view value)>;
/// Runs `find` on a thread of its own, and `use` on this one for each row that `find` hands over,
/// in order and a bounded number of rows behind.  What rows refer to stays where it is until this
/// returns.  When `use` throws, so does this, after `find` has ended; `find` throws nothing.
/// Returns what `find` returned.
int read_ahead(const std::function<int(const UseRow& hand_over)>& find, const UseRow& use);

}  // namespace muster::cache
