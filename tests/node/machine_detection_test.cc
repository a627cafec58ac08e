// SPDX-License-Identifier: MIT
//
// How fast the silent are noticed, and who is accused falsely, measured over sizes, loss, pauses
// and starvation.  Prints a table, a line each; larger meshes on demand:
//
//   MUSTER_DETECTION=3,10,100 node_machine_tests --gtest_filter=NodeDetection.*
//
// (100 nodes take some seconds a line, 1,000 ten minutes and more, and 11 GB; libjemalloc helps.)
// Of more than 100 nodes no more are strained at a time than of 100.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <sstream>

#include "node/machine_net.h"

namespace muster::node::test {
namespace {

constexpr std::size_t strained_together = 100;
/// No pause that is shorter may be taken for a death.
constexpr Duration deadline = 1500ms;

enum class Strain { none, pauses, starved };

struct Case {
  std::size_t nodes;
  double loss;
  Strain strain;
};

const char* said(Strain strain) {
  return strain == Strain::none ? "" : strain == Strain::pauses ? "pauses" : "a third starved";
}

std::vector<std::size_t> sizes(const std::string& otherwise) {
  const char* const asked = std::getenv("MUSTER_DETECTION");
  std::stringstream text(asked == nullptr ? otherwise : asked);
  std::vector<std::size_t> all;
  for (std::string one; std::getline(text, one, ',');) all.push_back(std::stoul(one));
  return all;
}

struct Seen {
  std::vector<Duration> latencies;  ///< Of each observer, for each victim.
  int missed = 0;
  int false_alarms = 0;
  std::string first_false_alarm;
  double probes = 0;  ///< A second, of one node.
};

class Mesh {
 public:
  Mesh(std::uint64_t seed, const Case& what) : what_(what), net_(seed), until_(what.nodes) {
    what.nodes > strained_together ? start_anew() : find_each_other();
    EXPECT_TRUE(net_.run_until([this] { return net_.meshed(); }, 60s));
    net_.run(gathering_ + 10s);
    net_.lose(what.loss);
    net_.run(2s);
    for (std::size_t i = 0; i < net_.size(); ++i) read_.push_back(net_.host(i).events.size());
    dead_.resize(what.nodes);
  }

  Seen measure() {
    const bool large = what_.nodes > strained_together;
    const Duration calm = large ? 8s : what_.nodes > 10 ? 15s : 30s;
    const std::uint64_t before = probes();
    live(calm);
    seen_.probes = static_cast<double>(probes() - before) /
                   std::chrono::duration<double>(calm).count() / static_cast<double>(net_.size());
    const std::size_t victims = large ? 1 : std::min<std::size_t>(net_.size() - 2, 3);
    for (std::size_t victim = 1; victim <= victims; ++victim) kill(victim);
    return seen_;
  }

 private:
  void find_each_other() {
    for (std::size_t i = 0; i < what_.nodes; ++i) {
      net_.boot(net_.add("n" + std::to_string(i)));
      if (i > 0) net_.connect(i, net_.random(i));
    }
  }
  /// All stopped, and start again: they remember each other, and forming the mesh, which is not
  /// what is measured, costs least.
  void start_anew() {
    gathering_ = 25s;
    NodeState remembered;
    for (std::size_t i = 0; i < what_.nodes; ++i) {
      net_.add("n" + std::to_string(i),
               [this](NodeOptions& options) { options.gather_news = gathering_; });
      remembered.membership.nodes[net_.host(i).options.name] = {.admissions = 1, .newest = {}};
      remembered.peers.insert(net_.host(i).options.advertised);
    }
    for (std::size_t i = 0; i < what_.nodes; ++i) {
      net_.host(i).disk = remembered;
      net_.host(i).forgetful = true;
      net_.boot(i);
    }
  }
  [[nodiscard]] std::uint64_t probes() {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < net_.size(); ++i) sum += net_[i].counters().probes;
    return sum;
  }
  void live(Duration span) {
    for (const Duration end = net_.elapsed() + span; net_.elapsed() < end; net_.run(10ms)) strain();
    note({}, net_.elapsed());
  }
  /// Who is paused runs again when its time has come; others are paused.
  void strain() {
    const std::size_t crowd = std::max<std::size_t>(net_.size() / strained_together, 1);
    for (std::size_t i = 0; i < net_.size(); ++i) {
      if (dead_[i]) continue;
      if (net_.host(i).paused) {
        if (net_.elapsed() >= until_[i]) net_.resume(i);
      } else if (what_.strain == Strain::starved && i % (3 * crowd) == 0 && net_.random(2) == 0) {
        rest(i, 100ms + std::chrono::milliseconds(net_.random(160)));
      } else if (what_.strain == Strain::pauses && net_.random(600 * crowd) == 0) {
        rest(i, 50ms + std::chrono::milliseconds(net_.random((deadline - 150ms) / 1ms)));
      }
    }
  }
  void rest(std::size_t i, Duration span) {
    net_.pause(i);
    until_[i] = net_.elapsed() + span;
  }
  void kill(std::size_t victim) {
    const Duration from = net_.elapsed();
    dead_[victim] = true;
    net_.pause(victim);
    const std::size_t before = seen_.latencies.size();
    for (const Duration end = from + 8s; net_.elapsed() < end; net_.run(10ms)) strain();
    note(victim, from);
    const auto alive = static_cast<std::size_t>(std::ranges::count(dead_, false));
    seen_.missed += static_cast<int>(alive) - static_cast<int>(seen_.latencies.size() - before);
  }
  [[nodiscard]] bool is_dead(const NodeName& name) {
    for (std::size_t i = 0; i < net_.size(); ++i) {
      if (net_.host(i).options.name == name) return dead_[i];
    }
    return false;
  }
  /// What was reported since the last look.
  void note(std::optional<std::size_t> victim, Duration from) {
    for (std::size_t i = 0; i < net_.size(); ++i) {
      const auto& host = net_.host(i);
      for (std::size_t& k = read_[i]; k < host.events.size(); ++k) {
        const NodeEvent& event = host.events[k];
        if (dead_[i] || event.kind != NodeEvent::Kind::nodedown) continue;
        if (victim && event.node.name == net_.host(*victim).options.name) {
          seen_.latencies.push_back(host.event_times[k] - from);
        } else if (!is_dead(event.node.name) && seen_.false_alarms++ == 0) {
          seen_.first_false_alarm = host.options.name.text() + ": " + event.detail;
        }
      }
    }
  }

  const Case what_;
  Net net_;
  Duration gathering_{};
  std::vector<Duration> until_;
  std::vector<bool> dead_;
  std::vector<std::size_t> read_;  ///< Events that were looked at.
  Seen seen_;
};

long long percentile(const std::vector<Duration>& sorted, double part) {
  const auto rank = static_cast<std::size_t>(part * static_cast<double>(sorted.size()));
  return sorted[std::min(rank, sorted.size() - 1)] / 1ms;
}

/// Measures over seeds and prints the line.
Seen row(const Case& what) {
  const std::size_t seeds = what.nodes <= 3 ? 20 : what.nodes <= 10 ? 5 : 1;
  Seen all;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    Mesh mesh(seed, what);
    const Seen seen = mesh.measure();
    all.latencies.insert(all.latencies.end(), seen.latencies.begin(), seen.latencies.end());
    all.missed += seen.missed;
    if (all.false_alarms == 0) all.first_false_alarm = seen.first_false_alarm;
    all.false_alarms += seen.false_alarms;
    all.probes += seen.probes / static_cast<double>(seeds);
  }
  std::ranges::sort(all.latencies);
  if (all.latencies.empty()) return all;
  std::printf("| %5zu | %4.0f %% | %-15s | %6lld | %6lld | %6lld | %12d | %8.0f |\n", what.nodes,
              what.loss * 100, said(what.strain), percentile(all.latencies, 0.5),
              percentile(all.latencies, 0.99), percentile(all.latencies, 1), all.false_alarms,
              all.probes);
  std::fflush(stdout);
  return all;
}

void head() {
  std::printf(
      "| nodes |   loss | strain          | p50 ms | p99 ms | max ms | false alarms | "
      "probes/s |\n");
}

/// All are noticed, by p99 within `at_most` milliseconds, and nobody else is accused.
void expect_noticed(Strain strain, long long at_most) {
  head();
  for (const std::size_t nodes : sizes("3,10,30")) {
    SCOPED_TRACE(testing::Message() << nodes << " nodes " << said(strain));
    const Seen seen = row({nodes, 0, strain});
    EXPECT_EQ(seen.missed, 0);
    EXPECT_EQ(seen.false_alarms, 0) << seen.first_false_alarm;
    EXPECT_LE(seen.probes, 130);
    ASSERT_FALSE(seen.latencies.empty());
    EXPECT_LE(percentile(seen.latencies, 0.99), at_most);
  }
}

TEST(NodeDetection, TheSilentAreNoticedInTimeAndNobodyElseIsAccused) {
  expect_noticed(Strain::none, 2000);
}

// Who was short of time itself, or knows the dead as slow, waits longer.
TEST(NodeDetection, WhoPausesForLessThanTheDeadlineIsNotAccused) {
  expect_noticed(Strain::pauses, 5000);
}

TEST(NodeDetection, WhoIsStarvedIsNotAccused) { expect_noticed(Strain::starved, 5000); }

TEST(NodeDetection, LossMakesItLater) {
  head();
  for (const std::size_t nodes : sizes("3,10")) {
    for (const double loss : {0.01, 0.05, 0.1, 0.2, 0.3}) {
      SCOPED_TRACE(testing::Message() << nodes << " nodes, loss " << loss);
      const Seen seen = row({nodes, loss, Strain::none});
      EXPECT_EQ(seen.missed, 0);
      if (loss <= 0.1) {
        EXPECT_EQ(seen.false_alarms, 0) << seen.first_false_alarm;
      }
      ASSERT_FALSE(seen.latencies.empty());
      EXPECT_LE(percentile(seen.latencies, 0.99), 5000);
    }
  }
}

}  // namespace
}  // namespace muster::node::test
