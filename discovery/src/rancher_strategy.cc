// SPDX-License-Identifier: MIT
//
// The options of `rancher`.
#include "builtin_strategies.h"
#include "http/http_url.h"
#include "rancher_machine.h"

namespace muster::discovery {
namespace {

using namespace std::chrono_literals;

StrategyRegistry::Make read_rancher(Fields& options) {
  RancherMachine::Options read;
  const bool is_given = options.require("node_basename");
  read.node_basename = options.string("node_basename");
  if (is_given && !NodeName::parse(read.node_basename + "@127.0.0.1"))
    options.reject("node_basename", "must be what stands before the @ of a node's name, not '" +
                                        read.node_basename.substr(0, 60) + "'");
  read.interval = options.duration("polling_interval", read.interval, 10ms, 24h);
  read.deadline = options.duration("deadline", read.deadline, 10ms, 1h);
  read.metadata_url = options.string("metadata_url", read.metadata_url);
  while (read.metadata_url.ends_with('/')) read.metadata_url.pop_back();
  if (const auto url = HttpUrl::parse(read.metadata_url); !url)
    options.reject("metadata_url", "cannot be used: " + url.error().text());
  return [=](StrategySink& sink, const StrategyContext& context) {
    return std::make_unique<RancherMachine>(read, context, sink);
  };
}

}  // namespace

void add_rancher_strategy(StrategyRegistry& registry) { registry.add("rancher", read_rancher); }

}  // namespace muster::discovery
