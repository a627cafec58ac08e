// SPDX-License-Identifier: MIT
//
// A user's discover(), called again and again.  Pure.
#pragma once

#include <memory>

#include "polling_machine.h"

namespace muster::discovery {

class PollerMachine : public PollingMachine {
 public:
  struct Options {
    Duration interval = std::chrono::seconds(5);
    Duration deadline = std::chrono::seconds(5);
  };

  PollerMachine(std::shared_ptr<const DiscoverCall> call, Options options, StrategySink& sink)
      : PollingMachine(options.interval, sink),
        call_(std::move(call)),
        deadline_(options.deadline) {}

 private:
  [[nodiscard]] Question question() const override {
    return Discover{.call = call_, .within = deadline_};
  }
  [[nodiscard]] Pass read(const Answer& answer) override {
    const auto& peers = std::get<Discovered>(answer).peers;
    return peers ? Pass::list(*peers) : Pass::unknown(peers.error().text());
  }

  const std::shared_ptr<const DiscoverCall> call_;
  const Duration deadline_;
};

}  // namespace muster::discovery
