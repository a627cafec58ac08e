// SPDX-License-Identifier: MIT
//
// A hierarchical timer wheel over intrusive nodes: 8 levels of 256 slots, exact to the microsecond
// over all of time.  Adding, removing and moving a node cost the same whatever the wheel holds; a
// node is handed on at most once per level before it is due.
//
// Invariant: a node on level k shares all higher digits (base 256) of its time with the wheel's own
// time, so the lowest occupied level holds what is due first.  A node whose time has passed waits
// in the current slot of level 0; the current slots above it are empty, but for one that pop() is
// handing on.
//
// Threads: one, the owner's.  The wheel owns no nodes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "muster/cache/types.h"

namespace muster::cache {

struct TimerNode {
  Expiry expiry = never_expires;
  TimerNode* next = nullptr;
  TimerNode** link = nullptr;  ///< What points at this node; nullptr: not in a wheel.

  [[nodiscard]] bool linked() const { return link != nullptr; }
  void unlink();
};

class ExpiryWheel {
 public:
  ExpiryWheel() = default;
  ExpiryWheel(const ExpiryWheel&) = delete;
  ExpiryWheel& operator=(const ExpiryWheel&) = delete;

  void add(TimerNode& node);
  /// Takes out one node that is due at `at`; nullptr when there is none or `steps` (counted down)
  /// is used up, in which case next() is not after `at`.
  [[nodiscard]] TimerNode* pop(Expiry at, std::size_t& steps);
  /// No later than the first node's time; never_expires when empty.
  [[nodiscard]] Expiry next() const;
  /// Forgets all nodes without touching them.
  void clear();

 private:
  static constexpr unsigned digit_bits = 8;
  static constexpr unsigned slots = 1U << digit_bits;
  static constexpr unsigned levels = 64 / digit_bits;
  struct Level {
    std::array<TimerNode*, slots> heads{};
    std::array<std::uint64_t, slots / 64> occupied{};  ///< May be set for an empty slot.
  };
  struct Place {
    unsigned level = levels;  ///< `levels`: nowhere.
    unsigned slot = 0;
    std::uint64_t start = 0;
  };

  [[nodiscard]] static std::uint64_t tick_of(Expiry expiry);
  [[nodiscard]] unsigned digit(unsigned level) const;
  [[nodiscard]] Place first() const;
  [[nodiscard]] unsigned first_slot(unsigned level) const;

  std::uint64_t now_ = 0;
  mutable std::array<Level, levels> levels_;  // first() forgets that empty slots were occupied.
};

}  // namespace muster::cache
