// SPDX-License-Identifier: MIT
// Untrusted: files written by people.  Any text is settings or an Error with a place; what is
// settings can be read as topologies without harm.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "muster/discovery/settings.h"
#include "muster/discovery/settings_reader.h"
#include "muster/discovery/strategy_registry.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const muster::discovery::StrategyRegistry registry;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)muster::parse_duration(text);
  const auto settings = muster::Settings::parse(text, "fuzz");
  if (!settings) return 0;
  muster::Problems problems;
  if (const auto* topologies = settings->find("topologies")) {
    (void)muster::discovery::read_topologies(*topologies, "topologies", registry, problems);
  }
  return 0;
}
