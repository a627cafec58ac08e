// SPDX-License-Identifier: MIT
//
// `rancher`: asks the metadata service for the containers of our own service, again and again; a
// node is node_basename@address.  Pure.
//
// Known empty: a service without containers.  Unknown, so that peers stay: no answer in time, any
// status but 200, what cannot be read, or containers none of which has an address.
#pragma once

#include "polling_machine.h"

namespace muster::discovery {

class RancherMachine : public PollingMachine {
 public:
  struct Options {
    std::string node_basename = {};
    Duration interval = std::chrono::seconds(5);  ///< From one answer to the next question.
    std::string metadata_url = "http://rancher-metadata/latest";
    Duration deadline = std::chrono::seconds(5);
  };

  RancherMachine(Options options, const StrategyContext& context, StrategySink& sink)
      : PollingMachine(options.interval, sink, {{"containers_skipped", 0}, {"failures", 0}}),
        options_(std::move(options)),
        self_(context.self) {}

 private:
  [[nodiscard]] Question question() const override;
  [[nodiscard]] Pass read(const Answer& answer) override;

  const Options options_;
  const NodeName self_;
};

}  // namespace muster::discovery
