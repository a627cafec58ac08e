// SPDX-License-Identifier: MIT
//
// The tables of this node and the time, for readers on any thread who do not touch the loop.
//
// Threads: publish() and set_time() on the node's strand, the rest anywhere.  Tables are only
// ever added, so a reader needs no lock: it sees the first `count_` of them, whole.
#pragma once

#include <array>
#include <atomic>
#include <cassert>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "muster/cache/cache_machine.h"
#include "muster/cache/table.h"
#include "muster/discovery/clock.h"

namespace muster::cache {

class LocalTables {
 public:
  void publish(const CacheMachine& machine) {
    for (std::string& name : machine.table_names()) {
      if (find(name)) continue;
      const std::size_t next = count_.load(std::memory_order_relaxed);
      assert(next < tables_.size());
      tables_[next] = {std::move(name), nullptr};
      tables_[next].table = machine.table(tables_[next].name);
      count_.store(next + 1, std::memory_order_release);
    }
    ready_.store(machine.ready(), std::memory_order_release);
  }
  /// Cluster time is the monotonic clock and an offset that hardly changes.
  void set_time(Now now, Timestamp cluster_time) {
    offset_.store(cluster_time.time_since_epoch().count() - microseconds(now.mono),
                  std::memory_order_relaxed);
  }

  [[nodiscard]] std::shared_ptr<const Table> find(std::string_view name) const {
    const Named* known = named(name);
    return known == nullptr ? nullptr : known->table;
  }
  /// Without a share in it: valid as long as this object.
  [[nodiscard]] const Table* look(std::string_view name) const {
    const Named* known = named(name);
    return known == nullptr ? nullptr : known->table.get();
  }
  [[nodiscard]] Timestamp time() const {
    const auto offset = offset_.load(std::memory_order_relaxed);
    return Timestamp(std::chrono::microseconds(microseconds(read_mono()) + offset));
  }
  [[nodiscard]] bool ready() const { return ready_.load(std::memory_order_acquire); }

 private:
  struct Named {
    std::string name;
    std::shared_ptr<const Table> table;
  };
  [[nodiscard]] static std::int64_t microseconds(Instant at) {
    return std::chrono::duration_cast<std::chrono::microseconds>(at.time_since_epoch()).count();
  }
  [[nodiscard]] const Named* named(std::string_view name) const {
    const std::size_t count = count_.load(std::memory_order_acquire);
    for (std::size_t i = 0; i < count; ++i) {
      if (tables_[i].name == name) return &tables_[i];
    }
    return nullptr;
  }

  std::array<Named, max_tables> tables_;
  std::atomic<std::size_t> count_ = 0;
  std::atomic<std::int64_t> offset_ = 0;
  std::atomic<bool> ready_ = false;
};

}  // namespace muster::cache
