// SPDX-License-Identifier: MIT
//
// Who a node is.  A name outlives restarts; a boot id is one life of one process; seniority orders
// the living.
#pragma once

#include <compare>
#include <cstdint>
#include <string>

#include "muster/discovery/node_name.h"

namespace muster::node {

/// 64 random bits drawn at each start of a node; 0 is nobody.  A restarted node, a reused address
/// and a node that comes back with an old directory are told apart by it.
struct BootId {
  std::uint64_t value = 0;

  [[nodiscard]] bool valid() const { return value != 0; }
  friend auto operator<=>(const BootId&, const BootId&) = default;
};

/// 16 hexadecimal digits.
[[nodiscard]] std::string to_string(BootId boot);

/// The smaller, the older.  The ordinal is given at admission (largest known + 1), never from
/// uptime or a clock; a restart makes a node the youngest.  Of two boots of one name the one with
/// the larger seniority is the newer.
struct Seniority {
  std::uint32_t ordinal = 0;
  BootId boot;

  friend auto operator<=>(const Seniority&, const Seniority&) = default;
};

struct Member {
  NodeName name;
  BootId boot;
  std::uint32_t ordinal = 0;

  [[nodiscard]] Seniority seniority() const { return {ordinal, boot}; }
  friend bool operator==(const Member&, const Member&) = default;
};

}  // namespace muster::node
