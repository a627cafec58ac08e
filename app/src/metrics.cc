// SPDX-License-Identifier: MIT
#include "metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

namespace muster::app {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

class Families {
 public:
  using Labels = std::vector<std::pair<std::string, std::string>>;

  void gauge(const std::string& name, const std::string& help, double value, Labels labels = {}) {
    add(MetricType::Gauge, name, help, std::move(labels)).gauge.value = value;
  }
  void counter(const std::string& name, const std::string& help, double value, Labels labels = {}) {
    add(MetricType::Counter, name, help, std::move(labels)).counter.value = value;
  }
  [[nodiscard]] std::string text() const {
    return prometheus::TextSerializer().Serialize(families_);
  }

 private:
  ClientMetric& add(MetricType type, const std::string& name, const std::string& help,
                    Labels labels) {
    MetricFamily* family = nullptr;
    for (MetricFamily& each : families_)
      if (each.name == name) family = &each;
    if (!family) {
      family = &families_.emplace_back();
      family->name = name;
      family->help = help;
      family->type = type;
    }
    ClientMetric& metric = family->metric.emplace_back();
    for (auto& [label, value] : labels) metric.label.push_back({label, value});
    return metric;
  }

  std::vector<MetricFamily> families_;
};

void add_table(Families& families, const cache::TableStatus& table) {
  const Families::Labels labels{{"table", table.definition.name}};
  const auto number = [](auto value) { return static_cast<double>(value); };
  families.gauge("muster_table_ready", "1 when the local copy may be read.",
                 table.readiness == cache::Readiness::ready ? 1 : 0, labels);
  families.gauge("muster_table_entries", "Keys held.", number(table.entries), labels);
  families.gauge("muster_table_bytes", "Memory of the local copy.", number(table.bytes), labels);
  families.gauge("muster_table_replicas", "Nodes of the island that run the table.",
                 number(table.replicas.size()), labels);
  families.gauge("muster_table_apart", "Peers whose copies are on a sibling line, unhealed.",
                 number(table.apart.size()), labels);
  families.gauge("muster_table_journal", "Values set aside that still matter.",
                 number(table.journal), labels);
  families.counter("muster_table_puts_total", "Puts applied.", number(table.puts), labels);
  families.counter("muster_table_deletes_total", "Deletes applied.", number(table.deletes), labels);
  families.counter("muster_table_expired_total", "Entries expired.", number(table.expired), labels);
  families.counter("muster_table_splits_total", "Sibling lines met.", number(table.splits), labels);
  families.counter("muster_table_set_aside_total", "Values set aside by heals.",
                   number(table.set_aside), labels);
}

}  // namespace

std::string metrics_text(const MetricsInput& input) {
  Families families;
  families.gauge("muster_info", "Version and name.", 1,
                 {{"version", MUSTER_VERSION}, {"node", input.node}});
  families.gauge("muster_uptime_seconds", "Since the port was opened.",
                 std::chrono::duration<double>(input.uptime).count());
  if (input.view) {
    families.gauge("muster_nodes_connected", "Peers with a direct link.",
                   static_cast<double>(input.view->connected.size()));
    families.gauge("muster_nodes_in_island", "Nodes of the island, this one included.",
                   static_cast<double>(input.view->island.size()));
  }
  for (const cache::TableStatus& table : input.tables) add_table(families, table);
  for (const discovery::TopologyStatus& topology : input.topologies) {
    families.gauge("muster_topology_peers", "Peers listed.",
                   static_cast<double>(topology.peers.size()), {{"topology", topology.name}});
    families.gauge("muster_topology_known", "1 when the last pass gave a list.",
                   topology.last_pass && *topology.last_pass != discovery::Pass::Kind::unknown,
                   {{"topology", topology.name}});
    for (const auto& [name, count] : topology.counters)
      families.counter("muster_topology_events_total", "Counted by strategy and topology.",
                       static_cast<double>(count), {{"topology", topology.name}, {"event", name}});
  }
  return families.text();
}

}  // namespace muster::app
