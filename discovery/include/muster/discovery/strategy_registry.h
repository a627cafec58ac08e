// SPDX-License-Identifier: MIT
//
// Strategies by name.  A strategy reads its options when the file is loaded, so that `check` finds
// every mistake without starting anything, and is made when its topology starts.
//
// Your own strategy is one function and one line of registration (poller.h); a machine of its own
// registers here:
//
//   registry.add("my_machine", [](Fields& options) -> StrategyRegistry::Make {
//     const auto interval = options.duration("interval", 1s, 10ms);
//     return [=](StrategySink& sink, const StrategyContext& context) {
//       return std::make_unique<MyMachine>(interval, context, sink);
//     };
//   });
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "muster/discovery/settings_reader.h"
#include "muster/discovery/strategy_machine.h"

namespace muster::discovery {

class StrategyRegistry {
 public:
  /// Makes a machine; called each time its topology starts.
  using Make = std::function<std::unique_ptr<StrategyMachine>(StrategySink& sink,
                                                              const StrategyContext& context)>;
  /// Reads the options.  Problems go to the Fields; unknown keys are reported by the caller.
  using Read = std::function<Make(Fields& options)>;

  StrategyRegistry();  ///< With the built-in ones (discovery/README.md).

  /// Replaces a strategy of the same name.
  void add(std::string name, Read read);
  [[nodiscard]] std::vector<std::string> names() const;

  /// Nothing where there were problems: an unknown name (with the nearest known one) or bad
  /// options.
  std::optional<Make> read(Fields& topology) const;

 private:
  std::map<std::string, Read, std::less<>> strategies_;
};

/// One entry under `topologies:`, checked and ready to start.
struct TopologyPlan {
  std::string name = {};
  std::string strategy = {};
  bool enabled = true;
  bool prune = true;  ///< False: who vanishes from its list stays connected, redialled no more.
  StrategyRegistry::Make make = {};
  std::string text = {};  ///< Strategy and options in one form: equal texts are equal plans.
};

/// Reads `name: {strategy: epmd, enabled: true, prune: true, config: {...}}`, all entries of a map.
/// A null is no topology.
std::vector<TopologyPlan> read_topologies(const Settings& section, const std::string& path,
                                          const StrategyRegistry& registry, Problems& problems);

/// For a program that has no file.
Result<TopologyPlan> plan_topology(const std::string& name, const std::string& strategy,
                                   Settings config, const StrategyRegistry& registry);

}  // namespace muster::discovery
