// SPDX-License-Identifier: MIT
#include "planted_worlds.h"

#include <chrono>

#include "scenario.h"

namespace muster::lab {

using namespace std::chrono_literals;
using cache::OnSplit;

namespace {

/// Of four, all but `oldest` on one side, and both sides have written.
NodeIndex wrote_apart(World& world) {
  if (!start_cluster(world)) throw std::runtime_error("no cluster:\n" + world.picture());
  const NodeIndex oldest = oldest_of(world);
  world.put(oldest, "session", "root");
  world.run_for(1s);
  world.cut_into({{oldest}, {(oldest + 1) % 4, (oldest + 2) % 4, (oldest + 3) % 4}});
  world.run_for(4s);
  world.put(oldest, "session", "key");
  world.put((oldest + 1) % 4, "session", "key");
  world.run_for(2s);
  return oldest;
}

std::string problems_of(World& world, const std::string& more = "") {
  return more + joined(world.quiet());
}

}  // namespace

std::string clusters_that_pruned(std::uint64_t seed) {
  Stage world(seed, world_of(4, OnSplit::merge));
  world->cut_into({{0, 1}, {2, 3}});
  world->start_all();
  world->run_for(5s);
  drive(*world, 8s, {.expiring = 0});
  for (const NodeIndex restarts : {1, 3}) {
    world->run_for(1s);
    world->crash(restarts);
    world->run_for(1s);
    world->start(restarts);
  }
  world->run_for(20s);
  return problems_of(*world);
}

std::string deleted_before_the_fork(std::uint64_t seed) {
  Stage world(seed, world_of(4, OnSplit::oldest));
  const NodeIndex oldest = wrote_apart(*world);
  const NodeIndex writer = (oldest + 1) % 4, deletes = (oldest + 2) % 4, sleeps = (oldest + 3) % 4;
  world->pause(sleeps);  // so that the put waits
  world->put(writer, "session", "signed out");
  world->run_for(20ms);
  world->remove(deletes, "session", "signed out");
  world->run_for(20ms);
  const bool deleted = !world->read(writer, "session", "signed out");
  world->heal_all();
  world->run_for(2s);
  std::string problems = problems_of(*world);
  if (deleted && world->read(oldest, "session", "signed out")) problems += "put again: a logout\n";
  return problems;
}

std::string oldest_that_restarts(std::uint64_t seed) {
  Stage world(seed, world_of(4, OnSplit::oldest));
  const NodeIndex oldest = wrote_apart(*world);
  const auto value = world->read(oldest, "session", "key");
  world->crash(oldest);
  world->run_for(world->random().between(0s, 3s));
  world->heal_all();
  world->start(oldest);
  std::string problems = problems_of(*world);
  for (NodeIndex index = 0; index < world->size(); ++index)
    if (world->read(index, "session", "key") != value) problems += "the senior line lost\n";
  return problems;
}

std::string touch_of_the_forgotten(std::uint64_t seed) {
  Stage world(seed, world_of(3, OnSplit::merge));
  if (!start_cluster(*world)) return "no cluster:\n" + world->picture();
  world->put(0, "session", "key", 6s);
  world->run_for(1s);
  world->cut_into({{0, 1}, {2}});
  world->run_for(3s);
  world->touch(2, "session", "key", 600s);
  world->forget(0, 2);
  world->run_for(world->random().between(20s, 30s));
  return problems_of(*world);
}

}  // namespace muster::lab
