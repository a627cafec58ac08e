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
  families.gauge("muster_table_disk_ok", "1 while changes can be stored; 0: disk full or failed.",
                 table.disk == cache::DiskState::good ? 1 : 0, labels);
  families.gauge("muster_table_disk_late_seconds", "Age of the oldest change that is not on disk.",
                 std::chrono::duration<double>(table.disk_late).count(), labels);
  families.gauge("muster_table_replicas", "Nodes of the island that run the table.",
                 number(table.replicas.size()), labels);
  families.gauge("muster_table_apart", "Peers whose copies are on a sibling line, unhealed.",
                 number(table.apart.size()), labels);
  families.gauge("muster_table_writable", "0 while writes are refused, as below a majority.",
                 table.refuses_writes.empty() ? 1 : 0, labels);
  families.gauge("muster_table_journal", "Values set aside that still matter.",
                 number(table.journal), labels);
  families.counter("muster_table_puts_total", "Puts applied.", number(table.puts), labels);
  families.counter("muster_table_deletes_total", "Deletes applied.", number(table.deletes), labels);
  families.counter("muster_table_expired_total", "Entries expired.", number(table.expired), labels);
  families.counter("muster_table_splits_total", "Sibling lines met.", number(table.splits), labels);
  families.counter("muster_table_set_aside_total", "Values set aside by heals.",
                   number(table.set_aside), labels);
}

void add_heals(Families& families, const std::string& table, const unsplit::HealTotals& totals) {
  const Families::Labels labels{{"table", table}};
  const auto number = [](auto value) { return static_cast<double>(value); };
  const auto seconds = [](Duration time) { return std::chrono::duration<double>(time).count(); };
  families.counter("muster_unsplit_heals_total", "Heals that this node took part in.",
                   number(totals.heals), labels);
  families.counter("muster_unsplit_heals_cut_off_total", "Of these, cut off before their end.",
                   number(totals.cut_off), labels);
  families.counter("muster_unsplit_refusals_total", "Forks that may not be healed.",
                   number(totals.refusals), labels);
  families.counter("muster_unsplit_heal_seconds_total", "From contact to healed, summed up.",
                   seconds(totals.took), labels);
  families.counter("muster_unsplit_discarded_total", "Values set aside here.",
                   number(totals.set_aside), labels);
  families.counter("muster_unsplit_merged_total", "Of these, put again by a merge function.",
                   number(totals.merged), labels);
  if (totals.last_winner.empty()) return;
  families.gauge("muster_unsplit_last_heal_seconds", "How long the last heal took.",
                 seconds(totals.last_took), labels);
  families.gauge("muster_unsplit_last_winner", "Who had named the line that won last.", 1,
                 {{"table", table}, {"winner", totals.last_winner}});
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
  families.gauge("muster_unsplit_running", "0: splits stay apart.", input.unsplit ? 1 : 0);
  for (const auto& [table, totals] : input.heals) add_heals(families, table, totals);
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
