// SPDX-License-Identifier: MIT
//
// Looks at a data.mdb before LMDB does.  LMDB believes every page: one flipped bit in a page's
// header or in a list of free pages and it reads beyond the map, aborts, or writes over what is in
// use.  Here every page that the latest meta page leads to is looked at, within bounds, and every
// page must be used once at most.
//
// What it does not see is a changed byte in a key or value; each row's checksum shows that.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "muster/discovery/result.h"

namespace muster::cache {

/// What is damaged; none: nothing, or no LMDB file at all (LMDB itself says so well enough).
[[nodiscard]] Result<std::optional<std::string>> find_damage(const std::filesystem::path& data);

}  // namespace muster::cache
