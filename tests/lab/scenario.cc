// SPDX-License-Identifier: MIT
//
// Seeds, replay and traces of the scenario tests; see scenario.h.
#include "scenario.h"

#include <csignal>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iostream>

namespace muster::lab {

namespace {

constexpr std::size_t tail_bytes = 60'000;

World* on_stage = nullptr;
std::uint64_t seed_on_stage = 0;

std::uint64_t number_from(const char* variable) {
  const char* text = std::getenv(variable);  // NOLINT(concurrency-mt-unsafe): one thread
  return text == nullptr ? 0 : std::strtoull(text, nullptr, 10);
}

void tell_replay() {
  const testing::TestInfo* test = testing::UnitTest::GetInstance()->current_test_info();
  const std::string name =
      test == nullptr ? "*" : std::string(test->test_suite_name()) + "." + test->name();
  std::cerr << "\nreplay: MUSTER_SEED=" << seed_on_stage << " "
            << std::filesystem::read_symlink("/proc/self/exe").string()
            << " --gtest_filter=" << name << "\n";
}

}  // namespace

void tell_trace() {
  if (!replaying() || on_stage == nullptr) return;
  if (const char* file = std::getenv("MUSTER_TRACE")) on_stage->trace().write(file);
  const std::string text = on_stage->trace().text();
  std::cerr << text.substr(text.size() > tail_bytes ? text.size() - tail_bytes : 0) << std::flush;
}

namespace {

// An assertion of a machine ends the process: say at which seed.
extern "C" void say_where(int signal) {
  std::signal(signal, SIG_DFL);
  tell_trace();
  tell_replay();
  std::raise(signal);
}

}  // namespace

bool replaying() { return number_from("MUSTER_SEED") != 0; }

Stage::Stage(std::uint64_t seed, WorldOptions options)
    : world_(seed, [&options] {
        options.keep_trace |= replaying();
        return options;
      }()) {
  if (number_from("MUSTER_FRAMES") != 0) world_.trace().keep_frames();
  on_stage = &world_;
}

Stage::~Stage() {
  if (testing::Test::HasFailure() || std::uncaught_exceptions() != 0) tell_trace();
  on_stage = nullptr;
}

void for_each_seed(std::size_t count, const std::function<void(std::uint64_t)>& scenario,
                   const char* count_variable, std::vector<std::uint64_t> found_bugs) {
  std::signal(SIGABRT, say_where);
  if (const std::uint64_t wanted = number_from(count_variable)) count = wanted;
  std::vector<std::uint64_t> seeds = std::move(found_bugs);
  for (std::uint64_t seed = 1; seed <= count; ++seed) seeds.push_back(seed);
  if (const std::uint64_t seed = number_from("MUSTER_SEED")) seeds = {seed};
  for (const std::uint64_t seed : seeds) {
    seed_on_stage = seed;
    try {
      scenario(seed);
    } catch (const std::exception& problem) {
      ADD_FAILURE() << problem.what();
    }
    if (!testing::Test::HasFailure()) continue;
    tell_replay();
    return;
  }
}

namespace {

std::string brief_key(std::size_t number) { return "brief" + std::to_string(number); }

/// Chance of its own, so that worlds are else what they are without it.
Random chance_of(const World& world, std::size_t number) {
  return Random(world.seed() * 1'000'003 + number);
}

/// A key of its own.
void put_once(World& world, const Traffic& traffic, NodeIndex node, std::size_t number) {
  Random random = chance_of(world, number);
  if (!random.chance(traffic.brief)) {
    const std::string key = "only" + std::to_string(number) + "n" + std::to_string(node);
    world.put(node, traffic.table, key);
    return;
  }
  const Duration soon = random.between(std::chrono::seconds(1), std::chrono::seconds(20));
  const Duration late = std::chrono::minutes(10);
  world.put(node, traffic.table, brief_key(number), random.chance(0.5) ? soon : late);
}

/// True when it was one of those.
bool one_more(World& world, const Traffic& traffic, NodeIndex node, std::size_t number) {
  Random& random = world.random();
  const double dice = random.unit();
  if (dice >= traffic.reads + traffic.takes + traffic.if_present) return false;
  const std::string hot = "hot" + std::to_string(random.index(traffic.hot_keys));
  const std::string plain = "plain" + std::to_string(random.index(traffic.hot_keys));
  const std::uint64_t kind = random.below(4);
  if (!world.node(node).up() || world.node(node).cache() == nullptr) return true;
  if (dice >= traffic.reads + traffic.takes) {
    world.put(node, traffic.table, hot, {}, cache::Write::If::present);
  } else if (dice >= traffic.reads) {
    world.take(node, traffic.table, hot);
  } else if (kind == 0) {
    world.put(node, traffic.table, plain);
  } else if (kind == 1) {
    world.look_at_batches(node);
  } else if (Random own = chance_of(world, number); own.chance(traffic.brief)) {
    world.get(node, traffic.table, brief_key(number - own.below(100)));
  } else {
    world.get(node, traffic.table, kind == 2 ? plain : hot);
  }
  return true;
}

void one_operation(World& world, const Traffic& traffic, std::size_t number) {
  Random& random = world.random();
  const NodeIndex node = random.index(world.size());
  const bool more = traffic.reads + traffic.takes + traffic.if_present > 0;
  if (more && one_more(world, traffic, node, number)) return;
  const bool unique = random.chance(traffic.unique);
  const std::string hot = "hot" + std::to_string(random.index(traffic.hot_keys));
  const double dice = random.unit();
  const bool expires = random.chance(traffic.expiring);
  const Duration ttl = random.between(std::chrono::seconds(1), std::chrono::seconds(20));
  if (!world.node(node).up() || world.node(node).cache() == nullptr) return;
  if (unique) {
    put_once(world, traffic, node, number);
  } else if (dice < traffic.removes) {
    world.remove(node, traffic.table, hot);
  } else if (dice < traffic.removes + traffic.touches) {
    world.touch(node, traffic.table, hot, ttl);
  } else if (dice < traffic.removes + traffic.touches + traffic.batches) {
    const std::string pair = "pair" + std::to_string(number);
    const std::string left = "hot" + std::to_string(random.index(traffic.hot_keys)) + "x";
    const bool whole = more && random.chance(0.7);  // keys that nothing else writes
    world.write(node, traffic.table, {whole ? pair + "b" : hot, pair}, {left});
  } else {
    world.put(node, traffic.table, hot, expires ? std::optional(ttl) : std::nullopt);
  }
}

}  // namespace

void drive(World& world, Duration span, const Traffic& traffic) {
  std::size_t number = world.history().all().size() * 1000;
  for (Instant when = world.now(); when < world.now() + span;) {
    when += world.random().between(Duration(1), 2 * traffic.gap);
    world.agenda().at(when,
                      [&world, traffic, mine = ++number] { one_operation(world, traffic, mine); });
  }
}

void load(World& world, std::size_t count, const std::string& table) {
  for (std::size_t key = 0; key < count; ++key) {
    NodeIndex node = world.random().index(world.size());
    while (!world.node(node).up()) node = (node + 1) % world.size();
    world.put(node, table, "load" + std::to_string(world.history().all().size()));
    if (key % 16 == 15) world.run_for(std::chrono::milliseconds(1));
  }
  world.run_for(std::chrono::seconds(3));
}

bool start_cluster(World& world) {
  world.start_all();
  return world.run_until([&] { return world.converged(); }, std::chrono::seconds(10));
}

std::string joined(const std::vector<std::string>& problems) {
  std::string text;
  for (const std::string& problem : problems) text += problem + "\n";
  return text;
}

std::multiset<std::string> journals(World& world) {
  std::multiset<std::string> values;
  for (NodeIndex index = 0; index < world.size(); ++index)
    if (world.node(index).up())
      for (const auto& entry : world.node(index).healer()->journal("session"))
        values.insert(entry.value);
  return values;
}

NodeIndex oldest_of(World& world) {
  return world.index_of(world.node(0).machine()->island().front().name);
}

std::set<std::string> journal(World& world) {
  const auto values = journals(world);
  return {values.begin(), values.end()};
}

cache::TableDefinition table_named(const std::string& name, cache::OnSplit on_split) {
  cache::TableDefinition table;
  table.name = name;
  table.on_split = on_split;
  return table;
}

WorldOptions world_of(std::size_t nodes, cache::OnSplit on_split) {
  WorldOptions options;
  options.nodes = nodes;
  options.node.tables = {table_named("session", on_split)};
  return options;
}

WorldOptions nodes_only(std::size_t nodes) {
  WorldOptions options;
  options.nodes = nodes;
  options.node.with_cache = false;
  return options;
}

}  // namespace muster::lab
