// SPDX-License-Identifier: MIT
//
// What happened lately, for the page and for those who listen: the last events, numbered, and a way
// to wait for the next.  A listener that is slow misses events and sees it by their numbers.
//
// Threads: the node's strand.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <deque>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "muster/discovery/time.h"

namespace muster::app {

class EventHub {
 public:
  static constexpr std::size_t kept = 200;

  struct Event {
    std::uint64_t number = 0;
    Timestamp at{};
    std::string kind;    ///< "nodeup", "healed", ...
    std::string topic;   ///< "node" or "table NAME".
    std::string detail;  ///< A sentence.
  };

  void add(Timestamp at, std::string kind, std::string topic, std::string detail) {
    events_.push_back({++last_, at, std::move(kind), std::move(topic), std::move(detail)});
    if (events_.size() > kept) events_.pop_front();
    for (auto* timer : waiting_) timer->cancel();
  }
  [[nodiscard]] const std::deque<Event>& events() const { return events_; }
  [[nodiscard]] std::uint64_t last() const { return last_; }

  /// While it lives, `timer` is cancelled at each event.
  class Listening {
   public:
    Listening(EventHub& hub, boost::asio::steady_timer& timer) : hub_(hub), timer_(&timer) {
      hub_.waiting_.insert(timer_);
    }
    ~Listening() { hub_.waiting_.erase(timer_); }
    Listening(const Listening&) = delete;
    Listening& operator=(const Listening&) = delete;

   private:
    EventHub& hub_;
    boost::asio::steady_timer* timer_;
  };

 private:
  std::deque<Event> events_;
  std::uint64_t last_ = 0;
  std::set<boost::asio::steady_timer*> waiting_;
};

}  // namespace muster::app
