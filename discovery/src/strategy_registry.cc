// SPDX-License-Identifier: MIT
#include "muster/discovery/strategy_registry.h"

#include <algorithm>

#include "builtin_strategies.h"

namespace muster::discovery {
namespace {

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

/// Quoted, so that no two trees look alike.
std::string one_form(const Settings& settings) {
  std::string text;
  switch (settings.kind()) {
    case Settings::Kind::null:
      return "null";
    case Settings::Kind::scalar:
      return std::to_string(settings.text().size()) + ":" + settings.text();
    case Settings::Kind::list:
      for (const Settings& item : settings.items()) text += one_form(item) + ",";
      return "[" + text + "]";
    case Settings::Kind::map:
      for (const auto& entry : settings.entries())
        text += one_form(entry.key) + "=" + one_form(entry.value) + ",";
      return "{" + text + "}";
  }
  return text;
}

TopologyPlan plan_of(const std::string& name, Fields& topology, StrategyRegistry::Make make) {
  TopologyPlan plan{.name = name, .strategy = topology.string("strategy")};
  const Settings* config = topology.find("config");
  plan.text = plan.strategy + " " + (config ? one_form(*config) : "");
  plan.make = std::move(make);
  return plan;
}

}  // namespace

StrategyRegistry::StrategyRegistry() { add_builtin_strategies(*this); }

void StrategyRegistry::add(std::string name, Read read) {
  strategies_.insert_or_assign(std::move(name), std::move(read));
}

std::vector<std::string> StrategyRegistry::names() const {
  std::vector<std::string> names;
  for (const auto& [name, unused] : strategies_) names.push_back(name);
  return names;
}

std::optional<StrategyRegistry::Make> StrategyRegistry::read(Fields& topology) const {
  const std::size_t problems_before = topology.problems().lines().size();
  Fields config = topology.fields("config");
  if (!topology.require("strategy")) return std::nullopt;
  const std::string name = topology.string("strategy");
  const auto found = strategies_.find(name);
  if (found == strategies_.end()) {
    const std::string hint = did_you_mean(name, names());
    topology.reject("strategy", "'" + name.substr(0, 60) + "' is unknown" +
                                    (hint.empty() ? "; there are " + listed(names()) : hint));
    return std::nullopt;
  }
  Make make = found->second(config);
  config.finish();
  if (topology.problems().lines().size() > problems_before) return std::nullopt;
  return make;
}

std::vector<TopologyPlan> read_topologies(const Settings& section, const std::string& path,
                                          const StrategyRegistry& registry, Problems& problems) {
  std::vector<TopologyPlan> plans;
  Fields all(section, path, problems);
  for (const auto& entry : section.entries()) {
    const std::string& name = entry.key.text();
    Fields topology = all.fields(name);
    const bool enabled = topology.boolean("enabled", true);
    const bool prune = topology.boolean("prune", true);
    auto make = registry.read(topology);
    topology.finish();
    if (!make) continue;
    plans.push_back(plan_of(name, topology, std::move(*make)));
    plans.back().enabled = enabled;
    plans.back().prune = prune;
    if (!prune) plans.back().text += " prune: false";
  }
  return plans;
}

Result<TopologyPlan> plan_topology(const std::string& name, const std::string& strategy,
                                   Settings config, const StrategyRegistry& registry) {
  const Settings topology = Settings::map({{"strategy", strategy}, {"config", std::move(config)}});
  Problems problems;
  Fields fields(topology, name, problems);
  auto make = registry.read(fields);
  if (!make) return problems.error();
  return plan_of(name, fields, std::move(*make));
}

}  // namespace muster::discovery
