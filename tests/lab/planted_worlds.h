// SPDX-License-Identifier: MIT
//
// Worlds in which one rule of the cache decides.  Each returns what does not hold.
#pragma once

#include <cstdint>
#include <string>

namespace muster::lab {

/// Two clusters that never met, each of which has pruned what others began before.
std::string clusters_that_pruned(std::uint64_t seed);
/// A put that a fork takes away while it waits was deleted before.
std::string deleted_before_the_fork(std::uint64_t seed);
/// The oldest, which wrote alone, restarts and meets those that wrote without it.
std::string oldest_that_restarts(std::uint64_t seed);
/// A cut node prolongs what the others, which forget it, see expire.
std::string touch_of_the_forgotten(std::uint64_t seed);

}  // namespace muster::lab
