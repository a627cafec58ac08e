// SPDX-License-Identifier: MIT
// The text of /metrics, in the format of Prometheus.  No keys, values or secrets in labels.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "muster/cache/cache_machine.h"
#include "muster/discovery/topology_machine.h"
#include "muster/node/node.h"
#include "muster/unsplit/unsplit_machine.h"

namespace muster::app {

struct MetricsInput {
  std::string node;
  const node::NodeView* view = nullptr;
  std::vector<cache::TableStatus> tables;
  std::vector<discovery::TopologyStatus> topologies;
  bool unsplit = false;  ///< The service runs.
  std::map<std::string, unsplit::HealTotals, std::less<>> heals;
  Duration uptime{};
};

[[nodiscard]] std::string metrics_text(const MetricsInput& input);

}  // namespace muster::app
