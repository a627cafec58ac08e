// SPDX-License-Identifier: MIT
#include "expiry_wheel.h"

#include <algorithm>
#include <bit>
#include <cassert>

namespace muster::cache {

void TimerNode::unlink() {
  if (link == nullptr) return;
  *link = next;
  if (next != nullptr) next->link = link;
  next = nullptr;
  link = nullptr;
}

std::uint64_t ExpiryWheel::tick_of(Expiry expiry) {
  const auto since_epoch = expiry.time_since_epoch().count();
  return since_epoch < 0 ? 0 : static_cast<std::uint64_t>(since_epoch);
}

unsigned ExpiryWheel::digit(unsigned level) const {
  return static_cast<unsigned>(now_ >> (level * digit_bits)) % slots;
}

void ExpiryWheel::add(TimerNode& node) {
  assert(!node.linked());
  const std::uint64_t tick = std::max(tick_of(node.expiry), now_);
  const std::uint64_t differing = tick ^ now_;
  const unsigned level =
      differing == 0 ? 0 : (63U - static_cast<unsigned>(std::countl_zero(differing))) / digit_bits;
  const unsigned slot = static_cast<unsigned>(tick >> (level * digit_bits)) % slots;
  TimerNode*& head = levels_[level].heads[slot];
  node.next = head;
  node.link = &head;
  if (head != nullptr) head->link = &node.next;
  head = &node;
  levels_[level].occupied[slot / 64] |= std::uint64_t{1} << (slot % 64);
}

/// The first slot of `level`, from the current one on, that holds a node; `slots` when none does.
unsigned ExpiryWheel::first_slot(unsigned level) const {
  Level& here = levels_[level];
  const unsigned current = digit(level);
  for (unsigned word = current / 64; word < slots / 64; ++word) {
    std::uint64_t bits = here.occupied[word];
    if (word == current / 64) bits &= ~std::uint64_t{0} << (current % 64);
    for (; bits != 0; bits &= bits - 1) {
      const unsigned slot = word * 64 + static_cast<unsigned>(std::countr_zero(bits));
      if (here.heads[slot] != nullptr) return slot;
      here.occupied[word] &= ~(std::uint64_t{1} << (slot % 64));
    }
  }
  return slots;
}

ExpiryWheel::Place ExpiryWheel::first() const {
  // A current slot above level 0 is being handed on, and that comes before all else.
  for (unsigned level = 1; level < levels; ++level) {
    const unsigned slot = digit(level);
    if (levels_[level].heads[slot] != nullptr) return {level, slot, now_};
  }
  for (unsigned level = 0; level < levels; ++level) {
    const unsigned slot = first_slot(level);
    if (slot == slots) continue;
    const unsigned shift = level * digit_bits;
    const unsigned above = shift + digit_bits;
    const std::uint64_t high = above >= 64 ? 0 : now_ >> above << above;
    return {level, slot, std::max(now_, high | (std::uint64_t{slot} << shift))};
  }
  return {};
}

TimerNode* ExpiryWheel::pop(Expiry at, std::size_t& steps) {
  const std::uint64_t until = std::max(tick_of(at), now_);
  const Expiry due{std::chrono::microseconds(until)};
  while (steps > 0) {
    const Place place = first();
    if (place.level == levels || place.start > until) {
      now_ = until;
      return nullptr;
    }
    now_ = place.start;
    TimerNode& node = *levels_[place.level].heads[place.slot];
    node.unlink();
    --steps;
    if (node.expiry <= due) return &node;
    add(node);
  }
  return nullptr;
}

Expiry ExpiryWheel::next() const {
  const Place place = first();
  return place.level == levels ? never_expires : Expiry(std::chrono::microseconds(place.start));
}

void ExpiryWheel::clear() {
  for (Level& level : levels_) level = Level{};
}

}  // namespace muster::cache
