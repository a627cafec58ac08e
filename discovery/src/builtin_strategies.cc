// SPDX-License-Identifier: MIT
#include "builtin_strategies.h"

#include "erlang_hosts_machine.h"
#include "local_epmd_machine.h"
#include "static_list_machine.h"

namespace muster::discovery {
namespace {

using namespace std::chrono_literals;
using Make = StrategyRegistry::Make;

constexpr Duration least_period = 10ms;

Make read_epmd(Fields& options) {
  PeerSet peers;
  (void)options.strings("hosts");  // Reports what is no text.
  const Settings* hosts = options.find("hosts");
  const auto take = [&](const Settings& host) {
    if (host.kind() != Settings::Kind::scalar) return;
    auto name = NodeName::parse(host.text());
    if (name)
      peers.insert(Peer{*name});
    else
      options.problems().add(host, options.path_of("hosts") + ": " + name.error().text());
  };
  if (hosts) take(*hosts);
  if (hosts)
    for (const Settings& host : hosts->items()) take(host);
  const Duration timeout = options.duration("timeout", forever, least_period);
  return [=](StrategySink& sink, const StrategyContext&) {
    return std::make_unique<StaticListMachine>(peers, timeout, sink);
  };
}

Make read_none(Fields&) {
  return [](StrategySink& sink, const StrategyContext&) {
    return std::make_unique<StaticListMachine>(PeerSet(), forever, sink);
  };
}

Make read_erlang_hosts(Fields& options) {
  const ErlangHostsMachine::Options read{
      .file = options.string("file"),
      .timeout = options.duration("timeout", forever, least_period)};
  return [=](StrategySink& sink, const StrategyContext& context) {
    return std::make_unique<ErlangHostsMachine>(read, context, sink);
  };
}

Make read_local_epmd(Fields& options) {
  const Duration interval = options.duration("polling_interval", 5s, least_period);
  return [=](StrategySink& sink, const StrategyContext& context) {
    return std::make_unique<LocalEpmdMachine>(interval, context, sink);
  };
}

}  // namespace

void add_builtin_strategies(StrategyRegistry& registry) {
  registry.add("epmd", read_epmd);
  registry.add("erlang_hosts", read_erlang_hosts);
  registry.add("local_epmd", read_local_epmd);
  registry.add("none", read_none);
  add_etcd_strategy(registry);
  add_gossip_strategy(registry);
  add_rancher_strategy(registry);
  add_kubernetes_strategy(registry);
  add_dns_strategies(registry);
  add_peer_list_strategies(registry);
}

}  // namespace muster::discovery
