// SPDX-License-Identifier: MIT
//
// The strategies that come with muster, their options and defaults (those of libcluster where it
// has them).
#pragma once

#include "muster/discovery/strategy_registry.h"

namespace muster::discovery {

void add_builtin_strategies(StrategyRegistry& registry);

// Its parts, one per family.
void add_etcd_strategy(StrategyRegistry& registry);
void add_gossip_strategy(StrategyRegistry& registry);
void add_rancher_strategy(StrategyRegistry& registry);
void add_kubernetes_strategy(StrategyRegistry& registry);
void add_dns_strategies(StrategyRegistry& registry);
void add_peer_list_strategies(StrategyRegistry& registry);

}  // namespace muster::discovery
