// SPDX-License-Identifier: MIT
//
// Figures at sizes: a mesh forms, the dead are noticed in time, and a node's cost stays bounded.
#include <algorithm>

#include "node/machine_net.h"

namespace muster::node::test {
namespace {

using Kind = NodeEvent::Kind;

struct Detection {
  std::vector<Duration> latencies;
  int missed = 0;
  int false_alarms = 0;
};

void start(Net& net, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) {
    net.boot(net.add("n" + std::to_string(i)));
    if (i > 0) net.connect(i, net.random(i));
  }
  ASSERT_TRUE(net.run_until([&] { return net.meshed(); }, 10s));
}

Detection silence(Net& net, const std::vector<std::size_t>& victims) {
  Detection seen;
  const Duration from = net.elapsed();
  const auto dead = [&](std::size_t i) { return std::ranges::count(victims, i) > 0; };
  std::vector<std::size_t> first(net.size());
  for (std::size_t i = 0; i < net.size(); ++i) first[i] = net.host(i).events.size();
  for (const std::size_t victim : victims) net.pause(victim);
  net.run(5s);
  for (std::size_t i = 0; i < net.size(); ++i) {
    if (dead(i)) continue;
    std::set<NodeName> noticed;
    const auto& host = net.host(i);
    for (std::size_t k = first[i]; k < host.events.size(); ++k) {
      const NodeEvent& event = host.events[k];
      if (event.kind != Kind::nodedown) continue;
      noticed.insert(event.node.name);
      const bool right = std::ranges::any_of(
          victims, [&](std::size_t v) { return net.host(v).options.name == event.node.name; });
      seen.false_alarms += right ? 0 : 1;
      if (right) seen.latencies.push_back(host.event_times[k] - from);
    }
    seen.missed += static_cast<int>(victims.size() - noticed.size());
  }
  std::ranges::sort(seen.latencies);
  return seen;
}

TEST(NodeScale, AMeshNoticesTheSilentWithinTwoSeconds) {
  Net net(1);
  const std::size_t size = 30;
  start(net, size);
  net.run(2s);
  const auto probes = [&] {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < net.size(); ++i) sum += net[i].counters().probes;
    return sum;
  };
  const std::uint64_t before = probes();
  net.run(10s);
  const double per_node = static_cast<double>(probes() - before) / 10 / static_cast<double>(size);
  EXPECT_LT(per_node, 260);
  const Detection seen = silence(net, {3, 15, 27});
  EXPECT_EQ(seen.missed, 0);
  EXPECT_EQ(seen.false_alarms, 0);
  const auto at = [&](double part) {
    const auto index = static_cast<std::size_t>(part * static_cast<double>(seen.latencies.size()));
    return std::chrono::duration_cast<std::chrono::milliseconds>(
               seen.latencies[std::min(index, seen.latencies.size() - 1)])
        .count();
  };
  RecordProperty("p50_ms", static_cast<int>(at(0.5)));
  RecordProperty("p99_ms", static_cast<int>(at(0.99)));
  RecordProperty("probes_per_second", static_cast<int>(per_node));
  std::cout << "detection p50 " << at(0.5) << " ms, p99 " << at(0.99) << " ms, " << per_node
            << " probes/s per node, events " << net.steps() << "\n";
  EXPECT_LE(at(0.99), 2000);
  for (std::size_t i = 0; i < net.size(); ++i) {
    if (i != 3 && i != 15 && i != 27) {
      EXPECT_EQ(net[i].island().size(), size - 3);
    }
    EXPECT_EQ(net[i].counters().repairs, 0u);
  }
}

}  // namespace
}  // namespace muster::node::test
