// SPDX-License-Identifier: MIT
//
// The replies of one connection in the order of its requests, some of which are still awaited: a
// reply that is known goes behind all that came before; one that must wait takes a ticket, and what
// comes after it waits with it.
//
// Invariant: `ready` holds exactly the replies before the first open ticket.  Threads: one.
#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace muster::app {

class ReplyQueue {
 public:
  using Ticket = std::uint64_t;

  /// Where a reply that is known now is appended.
  [[nodiscard]] std::string& tail() { return open() == 0 ? ready_ : slots_.back().after; }
  /// Reserves the next place for a reply that will come.
  Ticket defer() {
    slots_.emplace_back();
    return first_ + (slots_.size() - head_) - 1;
  }
  /// True when something became ready by it.
  bool fulfil(Ticket ticket, std::string_view reply) {
    assert(ticket >= first_ && ticket - first_ < open());
    Slot& slot = slots_[head_ + static_cast<std::size_t>(ticket - first_)];
    assert(!slot.done);
    if (ticket != first_) {
      slot.reply.assign(reply);
      slot.done = true;
      return false;
    }
    ready_ += reply;
    ready_ += slot.after;
    ++head_;
    ++first_;
    advance();
    return true;
  }

  [[nodiscard]] const std::string& ready() const { return ready_; }
  /// Hands over all that is ready; `into` is empty and keeps its memory for the next turn.
  void take_ready(std::string& into) {
    assert(into.empty());
    std::swap(ready_, into);
  }
  [[nodiscard]] std::size_t open() const { return slots_.size() - head_; }

 private:
  struct Slot {
    std::string reply;
    std::string after;
    bool done = false;
  };

  /// Over all that waited behind what has become ready.
  void advance() {
    while (open() > 0 && slots_[head_].done) {
      ready_ += slots_[head_].reply;
      ready_ += slots_[head_].after;
      ++head_;
      ++first_;
    }
    if (open() == 0) {
      slots_.clear();
      head_ = 0;
    } else if (head_ >= 1024) {  // Never quiet: give the memory of what has gone back now and then.
      slots_.erase(slots_.begin(), slots_.begin() + static_cast<std::ptrdiff_t>(head_));
      head_ = 0;
    }
  }

  std::string ready_;
  std::vector<Slot> slots_;
  std::size_t head_ = 0;
  Ticket first_ = 0;
};

}  // namespace muster::app
