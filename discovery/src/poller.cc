// SPDX-License-Identifier: MIT
#include "muster/discovery/poller.h"

#include "poller_machine.h"

namespace muster::discovery {

void add_poller(StrategyRegistry& registry, std::string name,
                std::function<DiscoverFunction(Fields& options)> read) {
  using namespace std::chrono_literals;
  registry.add(
      std::move(name), [read = std::move(read)](Fields& options) -> StrategyRegistry::Make {
        PollerMachine::Options polling;
        polling.interval = options.duration("polling_interval", polling.interval, 10ms, 24h);
        polling.deadline = options.duration("deadline", polling.deadline, 10ms, 1h);
        const auto call = std::make_shared<const DiscoverCall>(read(options));
        return [=](StrategySink& sink, const StrategyContext&) {
          return std::make_unique<PollerMachine>(call, polling, sink);
        };
      });
}

}  // namespace muster::discovery
