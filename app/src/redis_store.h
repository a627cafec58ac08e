// SPDX-License-Identifier: MIT
//
// What the Redis commands need of the tables: a port, so that the commands know neither Asio nor
// the cache's life, and are tested without a node.  cache_store.cc implements it.
//
// Keys are in their encoded form (cache/key.h).  Tables are numbered in the order of definition.
// Threads: the node's.  Completions run exactly once, possibly before the call returns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "muster/cache/cache_machine.h"

namespace muster::app {

class RedisStore {
 public:
  virtual ~RedisStore() = default;

  struct Entry {
    std::string_view value;
    cache::Expiry expiry = cache::never_expires;
  };

  [[nodiscard]] virtual std::size_t tables() const = 0;
  [[nodiscard]] virtual std::string_view name(std::size_t table) const = 0;
  /// Cluster time: what expiries are measured by.  Begins a turn: what is asked until the next call
  /// happens at this moment.
  [[nodiscard]] virtual Timestamp time() const = 0;
  /// The local copy may be read.  Where not, fetch() asks a member that has the table.
  [[nodiscard]] virtual bool readable(std::size_t table) const = 0;
  /// Why it is not: "table 'session' is not ready: copying from b@host, 41 %".
  [[nodiscard]] virtual std::string why_not(std::size_t table) const = 0;

  /// Entry or nullptr for each key, in order; the views last as long as the call of `visit`.
  using Visit = std::function<void(std::size_t index, const Entry* found)>;
  virtual void lookup(std::size_t table, std::span<const std::string_view> keys, Timestamp at,
                      const Visit& visit) = 0;
  using FetchDone = cache::CacheMachine::ReadDone;
  virtual void fetch(std::size_t table, const cache::Key& key, FetchDone done) = 0;

  using WriteDone = cache::CacheMachine::WriteDone;
  virtual void write(std::size_t table, cache::Write write, WriteDone done) = 0;
  /// `ttl` none: the table's own.
  virtual void touch(std::size_t table, const cache::Key& key, std::optional<Duration> ttl,
                     WriteDone done) = 0;

  [[nodiscard]] virtual std::size_t count(std::size_t table) const = 0;
  using Keys = std::function<void(std::string_view key)>;
  virtual void scan_bucket(std::size_t table, std::uint32_t bucket, const Keys& visit) const = 0;
};

}  // namespace muster::app
