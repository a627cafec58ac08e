// SPDX-License-Identifier: MIT
//
// Tables in a std::map behind the port of the Redis commands: for tests of parser, commands and
// replies alone.  The whole way, with a cache below, is tested by redis_port_test.cc.
#pragma once

#include <array>
#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "redis_store.h"

namespace muster::app {

class MapStore final : public RedisStore {
 public:
  bool ready = true;
  bool hold_writes = false;  ///< They wait in `waiting` until release().
  std::vector<std::function<void()>> waiting;
  std::optional<Result<cache::Written>> answer;  ///< To every write, whatever became of it.
  std::size_t lookups = 0;

  void release() {
    auto due = std::exchange(waiting, {});
    for (auto& each : due) each();
  }

  [[nodiscard]] std::size_t tables() const override { return tables_.size(); }
  [[nodiscard]] std::string_view name(std::size_t table) const override {
    return table == 0 ? "session" : "jobs";
  }
  [[nodiscard]] Timestamp time() const override {
    return std::chrono::time_point_cast<std::chrono::microseconds>(
        std::chrono::system_clock::now());
  }
  [[nodiscard]] bool readable(std::size_t) const override { return ready; }
  [[nodiscard]] std::string why_not(std::size_t) const override {
    return "table 'session' is not ready";
  }

  void lookup(std::size_t table, std::span<const std::string_view> keys, Timestamp at,
              const Visit& visit) override {
    ++lookups;
    for (std::size_t i = 0; i < keys.size(); ++i) {
      const auto* found = find(table, keys[i], at);
      const Entry entry = found ? Entry{found->value, found->expiry} : Entry{};
      visit(i, found ? &entry : nullptr);
    }
  }
  void fetch(std::size_t table, const cache::Key& key, FetchDone done) override {
    std::optional<cache::Table::Found> result;
    if (const auto* found = find(table, key.encoded(), time()))
      result = cache::Table::Found{.value = found->value, .expiry = found->expiry, .stamp = {}};
    done({}, Result<std::optional<cache::Table::Found>>(std::move(result)));
  }
  void write(std::size_t table, cache::Write write, WriteDone done) override {
    cache::Written written{.applied = true, .acknowledged = true, .everywhere = true};
    const Timestamp at = time();
    for (const auto& put : write.puts) {
      const bool there = find(table, put.key.encoded(), at) != nullptr;
      if (write.condition == cache::Write::If::present && !there) written.applied = false;
      if (write.condition == cache::Write::If::absent && there) written.applied = false;
    }
    if (written.applied) {
      for (auto& put : write.puts) {
        Row& row = tables_[table][put.key.encoded()];
        const bool live = row.expiry > at;
        row.value = std::move(put.value);
        if (put.ttl)
          row.expiry = at + std::chrono::duration_cast<std::chrono::microseconds>(*put.ttl);
        else if (!put.keep_expiry || !live)
          row.expiry = cache::never_expires;
      }
      for (const auto& key : write.deletes)
        if (find(table, key.encoded(), at)) {
          tables_[table].erase(key.encoded());
          ++written.deleted;
        }
    }
    finish(std::move(done), std::move(written));
  }
  void touch(std::size_t table, const cache::Key& key, std::optional<Duration> ttl,
             WriteDone done) override {
    const Timestamp at = time();
    const bool there = find(table, key.encoded(), at) != nullptr;
    if (there)
      tables_[table][key.encoded()].expiry =
          ttl && *ttl != forever ? at + std::chrono::duration_cast<std::chrono::microseconds>(*ttl)
                                 : cache::never_expires;
    finish(std::move(done), {.applied = there, .acknowledged = true, .everywhere = true});
  }
  [[nodiscard]] std::size_t count(std::size_t table) const override {
    return tables_[table].size();
  }
  void scan_bucket(std::size_t table, std::uint32_t bucket, const Keys& visit) const override {
    for (const auto& [key, row] : tables_[table])
      if (std::hash<std::string>()(key) % cache::Table::buckets == bucket && row.expiry > time())
        visit(key);
  }

 private:
  struct Row {
    std::string value;
    cache::Expiry expiry = cache::never_expires;
  };
  [[nodiscard]] const Row* find(std::size_t table, std::string_view key, Timestamp at) const {
    const auto found = tables_[table].find(key);
    return found != tables_[table].end() && found->second.expiry > at ? &found->second : nullptr;
  }
  void finish(WriteDone done, cache::Written written) {
    if (answer) return done({}, Result<cache::Written>(*answer));
    if (!hold_writes) return done({}, std::move(written));
    waiting.push_back([done = std::move(done), written] { done({}, cache::Written(written)); });
  }

  std::array<std::map<std::string, Row, std::less<>>, 2> tables_;
};

}  // namespace muster::app
