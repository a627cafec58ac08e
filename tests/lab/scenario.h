// SPDX-License-Identifier: MIT
//
// Runs a scenario over many seeds.  The first seed that fails ends the loop and prints the command
// that replays it alone; replayed alone, it prints what happened.
//
//   MUSTER_SEEDS=500   that many seeds in every test
//   MUSTER_SEED=7      this seed alone, with its trace on failure
//   MUSTER_TRACE=FILE  where the whole trace goes
//   MUSTER_FRAMES=1    with a line for every frame
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "muster/lab/world.h"

namespace muster::lab {

/// While one seed is replayed: what happened on stage so far.
void tell_trace();
/// True while one seed is replayed.
[[nodiscard]] bool replaying();

/// A world that a failing test can be asked about.
class Stage {
 public:
  Stage(std::uint64_t seed, WorldOptions options);
  ~Stage();
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;
  World* operator->() { return &world_; }
  World& operator*() { return world_; }

 private:
  World world_;
};

/// Calls `scenario` with seeds 1 to `count`, or as the environment says, and with those that once
/// found a bug.
void for_each_seed(std::size_t count, const std::function<void(std::uint64_t)>& scenario,
                   const char* count_variable = "MUSTER_SEEDS",
                   std::vector<std::uint64_t> found_bugs = {});

/// One per line, empty when all is well.
[[nodiscard]] std::string joined(const std::vector<std::string>& problems);

/// What the journals of the session table hold, of all nodes that are up: each record, each value.
[[nodiscard]] std::multiset<std::string> journals(World& world);
[[nodiscard]] std::set<std::string> journal(World& world);

/// As node 0 sees it.
[[nodiscard]] NodeIndex oldest_of(World& world);

/// What the tests of this folder usually want.
[[nodiscard]] cache::TableDefinition table_named(const std::string& name, cache::OnSplit on_split);
[[nodiscard]] WorldOptions world_of(std::size_t nodes,
                                    cache::OnSplit on_split = cache::OnSplit::oldest);
/// What clients do while the rest happens.
struct Traffic {
  std::string table = "session";
  Duration gap = std::chrono::milliseconds(40);  ///< Mean, between operations anywhere.
  std::size_t hot_keys = 4;                      ///< Written again and again.
  double unique = 0.4;   ///< Share of puts to a key of its own: nothing may ever lose one.
  double removes = 0.1;  ///< Shares of operations on hot keys.
  double touches = 0.1;
  double expiring = 0.2;  ///< Share of puts with a ttl.
  double batches = 0.1;
  double brief = 0;  ///< Of the puts to a key of its own: with a ttl, of seconds or of minutes.
  // Beside the operations above, of all that happens:
  double reads = 0;       ///< By clients that stay on their node; some look for half a batch.
  double takes = 0;       ///< Of a hot key.
  double if_present = 0;  ///< Puts of a hot key that must be there.
};
/// Schedules it for the next `span`, at nodes that are up when each operation is due.
void drive(World& world, Duration span, const Traffic& traffic = {});
/// Puts `count` keys of their own at random nodes, then waits until they are answered.
void load(World& world, std::size_t count, const std::string& table = "session");
/// Starts all and waits until they are one ready cluster.
[[nodiscard]] bool start_cluster(World& world);

/// Nodes without tables.
[[nodiscard]] WorldOptions nodes_only(std::size_t nodes);

}  // namespace muster::lab
