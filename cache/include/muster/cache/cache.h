// SPDX-License-Identifier: MIT
//
// The replicated tables of a node, to embed: storage thread, timers and completions around the
// CacheMachine.
//
//   cache::Cache cache(node, settings, log);      // settings.tables, settings.directory
//   co_await cache.open();                        // after node.open(), before node.start()
//   unsplit::Unsplit unsplit(cache, {}, log);     // heals splits; between open() and start()
//   co_await cache.start();                       // after node.start()
//   co_await cache.wait_for_tables(15s);
//   auto written = co_await cache.put("session", Key("sid"), "alice");
//   auto found = cache.find_local("session", "sid");   // any thread, without the loop
//   co_await cache.stop();                        // before node.stop()
//
// Threads: the machine lives on the node's strand.  Awaitables may be awaited from any executor and
// complete there; the *_blocking calls are for threads that do not run the node's executor alone,
// and are an error at once on its strand.
// Errors: sentences that say what to do (directory in use, foreign or newer files, disk full, table
// not ready).
// Stop: stop() from any thread, more than once; when it completes what was written is durable,
// nothing of ours runs any more, and calls still open have completed with an error.  A disk that is
// full, has failed, or hangs for longer than `disk_patience` does not keep it.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "muster/cache/cache_machine.h"
#include "muster/discovery/log.h"
#include "muster/discovery/result.h"

namespace muster::node {
class Node;
}

namespace muster::cache {

struct CacheSettings {
  std::vector<TableDefinition> tables = {TableDefinition{}};
  /// Where disc_copies live; created 0700.  Empty: only ram_copies are possible.
  std::filesystem::path directory = {};
  CacheOptions machine = {};
  std::size_t calls_max = 200'000;  ///< That are open at a time; more are refused.
  Duration disk_patience = std::chrono::seconds(10);  ///< Of stop(), with each commit.
};

class Cache {
 public:
  Cache(node::Node& node, CacheSettings settings, Log log);
  ~Cache();
  Cache(const Cache&) = delete;
  Cache& operator=(const Cache&) = delete;

  /// Opens the directory and loads what it holds; from here on machine() exists.
  boost::asio::awaitable<Result<void>> open();
  boost::asio::awaitable<Result<void>> start();
  /// Until all tables are ready; an Error after `progress` without any.
  boost::asio::awaitable<Result<void>> wait_for_tables(
      Duration progress = std::chrono::seconds(15));
  /// Before the node leaves for good: waits until the others have all that this node has, at most
  /// `limit`; then an error that says who lacks it.  Stop writing first.  A node that stops without
  /// it hands nothing off: what only it has is missing until it returns.
  boost::asio::awaitable<Result<void>> hand_off(Duration limit = std::chrono::seconds(2));
  boost::asio::awaitable<void> stop();

  // Operations; see CacheMachine for what they mean.
  boost::asio::awaitable<Result<Written>> put(std::string table, Key key, std::string value,
                                              std::optional<Duration> ttl = {});
  boost::asio::awaitable<Result<Written>> write(std::string table, Write write,
                                                WriteOptions options = {});
  boost::asio::awaitable<Result<Written>> erase(std::string table, Key key,
                                                WriteOptions options = {});
  boost::asio::awaitable<Result<Written>> touch(std::string table, Key key,
                                                std::optional<Duration> ttl,
                                                WriteOptions options = {});
  boost::asio::awaitable<Result<Taken>> take(std::string table, Key key, WriteOptions options = {});
  /// From the local copy, or from a ready member while this one is not ready.
  boost::asio::awaitable<Result<std::optional<std::string>>> get(std::string table, Key key);
  boost::asio::awaitable<Result<std::vector<std::pair<Key, std::string>>>> all(
      std::string table, Pattern pattern, std::size_t limit = 10'000);
  boost::asio::awaitable<Result<void>> create_table(TableDefinition definition);

  Result<Written> write_blocking(std::string table, Write write, WriteOptions options = {});
  Result<std::optional<std::string>> get_blocking(std::string table, Key key);

  // Local reads: any thread, without the loop, after open(); only what this node's copy holds,
  // ready or not.  Many keys at once: table(name)->get_many(keys, time(), ...).
  [[nodiscard]] std::optional<Table::Found> find_local(std::string_view table,
                                                       std::string_view key) const;
  [[nodiscard]] std::shared_ptr<const Table> table(std::string_view name) const;
  [[nodiscard]] bool ready() const;
  /// Cluster time, which decides whether an entry has expired.
  [[nodiscard]] Timestamp time() const;

  boost::asio::awaitable<std::vector<TableStatus>> status() const;

  using EventHandler = std::function<void(Now, const CacheEvent&)>;
  /// Called on the strand, in order.  Add handlers before start().
  void on_event(EventHandler handler);
  /// Of `written` and `deleted` as well: each change of a key, own and others', once.
  void on_change(EventHandler handler);

  // For layers above; on the node's strand, after open().
  [[nodiscard]] node::Node& node() const;
  [[nodiscard]] CacheMachine& machine();

 private:
  class Impl;
  template <class T>
  static boost::asio::awaitable<T> on_strand(Impl& impl, boost::asio::awaitable<T> work);

  std::shared_ptr<Impl> impl_;
};

}  // namespace muster::cache
