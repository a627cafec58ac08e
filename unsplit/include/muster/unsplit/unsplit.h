// SPDX-License-Identifier: MIT
//
// The unsplit service: construct it beside a cache, before the cache starts, and splits heal.
//
//   muster::cache::Cache cache(node, ...);
//   muster::unsplit::Unsplit unsplit(cache, {.flush_tables = {.names = {"carts"}}}, log);
//
// Without it tables that were written on both sides of a split stay apart, and every surface says
// so.
//
// Threads: any, for all members; the work is done on the node's strand.
// Stop:    co_await stop() before the cache is stopped; the destructor expects that nothing runs
// any more.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "muster/discovery/log.h"
#include "muster/discovery/result.h"
#include "muster/unsplit/unsplit_machine.h"

namespace muster::cache {
class Cache;
}

namespace muster::unsplit {

class Unsplit {
 public:
  Unsplit(cache::Cache& cache, UnsplitOptions options, Log log);
  ~Unsplit();
  Unsplit(const Unsplit&) = delete;
  Unsplit& operator=(const Unsplit&) = delete;

  /// What was healed or refused, newest last; bounded.
  [[nodiscard]] boost::asio::awaitable<std::vector<Heal>> heals() const;
  /// Sums since the start, by table.
  using Totals = std::map<std::string, HealTotals, std::less<>>;
  [[nodiscard]] boost::asio::awaitable<Totals> totals() const;
  /// Values that heals set aside on this node and that still matter.
  [[nodiscard]] boost::asio::awaitable<std::vector<JournalEntry>> journal(std::string table) const;
  /// Puts a journal record's value again; refused when the key holds a newer value, was deleted or
  /// has expired.
  [[nodiscard]] boost::asio::awaitable<Result<void>> replay(std::string table, std::string row);

  /// Called on the node's strand with each heal and refusal.  Add handlers before the cache starts.
  void on_heal(std::function<void(const Heal&)> handler);

  [[nodiscard]] boost::asio::awaitable<void> stop();

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace muster::unsplit
