// SPDX-License-Identifier: MIT
//
// Random worlds: any faults in any order, clients all the while, then quiet.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "scenario.h"

namespace muster::lab {

/// Beyond cuts, resets, crashes with the disk intact, restarts, pauses and a lossy network, which
/// are always there.
struct Faults {
  bool losses = false;   ///< Crashes lose the tail or all of a disk.
  bool backups = false;  ///< A directory is replaced by what it was earlier.
  bool disks = false;    ///< Slow ones, and ones that fail.
  bool clocks = false;   ///< Off by up to 10 s, jumping, drifting; also while a node is down.
  bool leaves = false;   ///< Nodes leave and come back.
  bool forgets = false;  ///< The dead are struck off, and come back.
  Duration span = std::chrono::seconds(20);
  double gap_share = 1;  ///< Of three seconds between faults.
};

/// Seeds decide size, contacts, quality of the network, and who runs at first; every eighth world
/// has no faults.
/// What happened in all worlds of this process, and what was looked at in them.
using Tally = std::map<std::string, std::size_t>;
Tally& tally();
[[nodiscard]] WorldOptions random_options(std::uint64_t seed, cache::OnSplit rule);
/// Returns what does not hold.
std::string run_random_world(std::uint64_t seed, const WorldOptions& options, const Faults& faults,
                             const Traffic& traffic = {});
/// Those that DESIGN.md promises to survive, chosen by the seed, with all that clients can do.
std::string run_any_world(std::uint64_t seed, cache::OnSplit rule);
/// The same, but of one table, and no member is ever forgotten.
std::string run_plain_world(std::uint64_t seed, cache::OnSplit rule);
/// Of any world, the hash of all that happened in it.
std::uint64_t hash_of_any_world(std::uint64_t seed, cache::OnSplit rule);

}  // namespace muster::lab
