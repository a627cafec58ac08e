// SPDX-License-Identifier: MIT
//
// `--link-port`: 0 (any), one port, or a range for firewalls.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "muster/discovery/result.h"

namespace muster::node {

struct PortRange {
  std::uint16_t first = 0;
  std::uint16_t last = 0;

  /// "0", "4370" or "4370-4380".
  static Result<PortRange> parse(std::string_view text);
  [[nodiscard]] std::string text() const;
  friend bool operator==(const PortRange&, const PortRange&) = default;
};

}  // namespace muster::node
