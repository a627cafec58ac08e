// SPDX-License-Identifier: MIT
//
// A real node with a cache on it, for tests over loopback.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "muster/cache/cache.h"
#include "node/test_nodes.h"

namespace muster::cache {

/// A node with a cache, as a program has them; stopped when it goes away.
class Host {
 public:
  Host(node::Loop& loop, std::string_view name, std::filesystem::path directory = {},
       Durability durability = Durability::async, bool others_may_come = true)
      : node(loop, node::settings_of(name)) {
    TableDefinition table;
    table.storage = directory.empty() ? Storage::ram_copies : Storage::disc_copies;
    table.durability = durability;
    CacheSettings settings;
    settings.tables = {table};
    settings.directory = std::move(directory);
    settings.machine.start_alone_after = std::chrono::milliseconds(200);
    settings.disk_patience = std::chrono::milliseconds(500);
    settings.machine.others_may_come = others_may_come;
    cache.emplace(node.node(), std::move(settings), node.book.log());
  }
  ~Host() { stop(); }

  Result<void> open() {
    if (auto opened = run(node.node().open()); !opened) return opened;
    return run(cache->open());
  }
  Result<void> start() {
    if (auto opened = open(); !opened) return opened;
    if (auto started = node.start(); !started) return started;
    return run(cache->start());
  }
  void stop() {
    run(cache->stop());
    node.stop();
  }
  bool ready() {
    const auto waited = run(cache->wait_for_tables(std::chrono::seconds(20)));
    EXPECT_TRUE(waited) << waited.error().text() << "\n" << node.book.all();
    return waited.has_value();
  }
  Result<Written> put(std::string key, std::string value, std::optional<Duration> ttl = {}) {
    return run(cache->put("session", Key(key), std::move(value), ttl));
  }
  std::string get(std::string key) {
    auto found = run(cache->get("session", Key(key)));
    if (!found) return "error: " + found.error().text();
    return found->value_or("(none)");
  }
  template <class T>
  T run(boost::asio::awaitable<T> task) {
    return node.loop().run(std::move(task));
  }

  node::TestNode node;
  std::optional<Cache> cache;
};

}  // namespace muster::cache
