// SPDX-License-Identifier: MIT
//
// Rows in the order in which a store keeps them.  Threads: none.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "muster/cache/rows.h"

namespace muster::cache {

/// How a key begins, as a number that sorts like it: nearly every comparison ends there.
[[nodiscard]] std::uint64_t front_of(std::string_view key);

/// By space and key, the last of each key alone.
void sort_latest(std::vector<Row>& rows);

}  // namespace muster::cache
