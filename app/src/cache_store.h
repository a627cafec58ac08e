// SPDX-License-Identifier: MIT
//
// The Redis commands' port onto a cache.  Threads: the node's strand.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "muster/app/parts.h"
#include "muster/discovery/time.h"
#include "redis_store.h"

namespace muster::app {

class CacheStore final : public RedisStore {
 public:
  explicit CacheStore(Parts parts) : parts_(parts) {}

  [[nodiscard]] std::string node_name() const;

  [[nodiscard]] std::size_t tables() const override;
  [[nodiscard]] std::string_view name(std::size_t table) const override;
  [[nodiscard]] Timestamp time() const override;
  [[nodiscard]] bool readable(std::size_t table) const override;
  [[nodiscard]] std::string why_not(std::size_t table) const override;
  void lookup(std::size_t table, std::span<const std::string_view> keys, Timestamp at,
              const Visit& visit) override;
  void fetch(std::size_t table, const cache::Key& key, FetchDone done) override;
  void write(std::size_t table, cache::Write write, WriteDone done) override;
  void touch(std::size_t table, const cache::Key& key, std::optional<Duration> ttl,
             WriteDone done) override;
  [[nodiscard]] std::size_t count(std::size_t table) const override;
  void scan_bucket(std::size_t table, std::uint32_t bucket, const Keys& visit) const override;

 private:
  struct Place {
    std::string name;
    std::shared_ptr<const cache::Table> copy;
  };
  [[nodiscard]] const Place* place(std::size_t table) const;

  Parts parts_;
  mutable std::vector<Place> places_;  // As of the last tables().
  mutable Now now_{};                  // As of the last time(): of all that one read asks for.
};

}  // namespace muster::app
