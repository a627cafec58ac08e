// SPDX-License-Identifier: MIT
//
// Something that happens once; any number of coroutines wait for it.  Threads: the strand only.
#pragma once

#include <list>

#include "asio_types.h"
#include "muster/discovery/time.h"

namespace muster::node {

class Happening {
 public:
  explicit Happening(const Strand& strand) : strand_(strand) {}
  Happening(const Happening&) = delete;
  Happening& operator=(const Happening&) = delete;

  void set() {
    happened_ = true;
    for (Timer* waiter : waiters_) waiter->cancel();
  }
  [[nodiscard]] bool happened() const { return happened_; }
  /// True when it has happened, false after `patience` without.
  [[nodiscard]] asio::awaitable<bool> wait(Duration patience = Duration::max()) {
    if (happened_) co_return true;
    Timer timer(strand_);
    if (patience == Duration::max()) {
      timer.expires_at(never);
    } else {
      timer.expires_after(patience);
    }
    waiters_.push_back(&timer);
    (void)co_await timer.async_wait(await_tuple);
    waiters_.remove(&timer);
    co_return happened_;
  }

 private:
  Strand strand_;
  bool happened_ = false;
  std::list<Timer*> waiters_;
};

}  // namespace muster::node
