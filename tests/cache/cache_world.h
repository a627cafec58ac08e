// SPDX-License-Identifier: MIT
//
// A small world for tests of the cache machine: nodes with a fabric, a disk and a machine each,
// links that can be cut, seeded interleaving of everything that is under way, a clock that only
// this world moves.  (The lab has the big worlds, with the real node machine.)
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "muster/cache/cache_machine.h"

namespace muster::cache::testing {

/// What a disk holds: table -> space -> rows.
class MapImage final : public StoreImage {
 public:
  using Rows = std::map<std::string, std::string>;
  std::map<std::string, std::map<Space, Rows>> content = {};

  [[nodiscard]] std::vector<std::string> tables() const override;
  Result<void> for_each(std::string_view table, Space space, const Visit& visit) const override;
  Result<std::optional<std::string>> read(std::string_view table,
                                          std::string_view key) const override;
  [[nodiscard]] bool reads_back(std::string_view) const override { return true; }
  void apply(const StoreBatch& batch);
};

/// Decides as `muster::unsplit` does for `oldest` and `merge`: the senior sibling wins.
class TestHealer final : public Healer {
 public:
  std::set<std::string> flush;  ///< Tables that may be set aside; others stay apart.
  bool flush_all = true;
  std::vector<HealReport> reports;
  std::vector<std::string> aside;

  Verdict judge(Now now, const TableDefinition& table, const Fork& fork) override;
  Record record(Now now, const TableDefinition& table, const SetAside& set_aside,
                bool speaks) override;
  void healed(Now, const HealReport& report) override { reports.push_back(report); }
};

class World {
 public:
  explicit World(std::uint64_t seed = 1);
  ~World();

  struct Node;
  /// A node that was never there, or one that comes back with its disk.
  Node& start(const std::string& name, std::vector<TableDefinition> tables = {TableDefinition{}},
              bool healer = true);
  void crash(const std::string& name);  ///< What the disk had not yet is lost.
  void lose_disk(const std::string& name);
  void forget(const std::string& name);  ///< Left or forgotten: a member no more.
  void readmit(const std::string& name);
  /// As gossip may say before anybody notices that the links of the older one are dead.
  void learn_of_newer_boot(const std::string& name);
  Node& at(const std::string& name);

  void cut(const std::string& a, const std::string& b);
  void link(const std::string& a, const std::string& b);
  /// Links within each group, and between none of them.
  void split(const std::vector<std::vector<std::string>>& groups);
  void heal();
  void freeze(const std::string& name, bool frozen);  ///< Nothing reaches it, nothing leaves it.
  void hold_disk(const std::string& name, bool hold);
  void fail_disk(const std::string& name);
  void set_disk(const std::string& name, DiskState state, const std::string& why);

  bool step();              ///< One random thing that is under way; false: nothing is.
  void run(Duration time);  ///< Until then, all that happens in it.
  void settle();            ///< Long enough for joins, heals and reports.
  [[nodiscard]] Now now() const { return now_; }

  // Clients.
  Result<Written> write(const std::string& node, Write write, WriteOptions options = {},
                        const std::string& table = "session");
  Result<Written> put(const std::string& node, const std::string& key, const std::string& value,
                      std::optional<Duration> ttl = {}, WriteOptions options = {});
  Result<Written> erase(const std::string& node, const std::string& key);
  Result<Written> touch(const std::string& node, const std::string& key, Duration ttl);
  /// "-": not there; "!...": an error.
  std::string get(const std::string& node, const std::string& key,
                  const std::string& table = "session");
  std::string local(const std::string& node, const std::string& key,
                    const std::string& table = "session");
  /// Visible content of a copy, "key=value " in order.
  std::string content(const std::string& node, const std::string& table = "session");
  std::size_t journal(const std::string& node, const std::string& table = "session");
  TableStatus status(const std::string& node, const std::string& table = "session");
  std::string picture();                         ///< Of all nodes, for a failed test.
  std::size_t origins(const std::string& node);  ///< In the vector of its session table.
  std::size_t disk_bytes(const std::string& node);
  int events(const std::string& node, CacheEvent::Kind kind);

  CacheOptions cache_options;
  std::map<std::string, Duration> skew;
  double drop = 0;  ///< Chance that an urgent message disappears (a broken fabric, to be robust).
  std::function<void(std::string&)> mangle;  ///< Each message, on its way.
  std::size_t sent_messages = 0, sent_bytes = 0;
  using Way = std::pair<std::string, std::string>;  ///< From, to.
  std::map<Way, std::size_t> sent_on;
  std::map<Way, std::size_t> clogged;  ///< Bytes that wait there beside those on their way.
  std::size_t most_queued = 0;         ///< That ever waited on one link.
  std::mt19937_64 random;

 private:
  struct Flying;
  [[nodiscard]] std::size_t queued(const Way& way) const;
  void rearm();
  void islands_changed();
  void deliver(const Flying& message);
  void drop_all(std::deque<Flying>& queue);
  void flush_all();

  friend class WorldFabric;
  Now now_;
  std::map<std::string, std::unique_ptr<Node>> nodes_;
  std::map<std::pair<std::string, std::string>, bool> cut_;
  std::map<std::string, MapImage> disks_;
  std::map<std::tuple<std::string, std::string, int>, std::deque<Flying>> flying_;
  node::Membership membership_;
  std::uint32_t next_ordinal_ = 1;
  std::uint64_t next_boot_ = 1;
  std::map<std::pair<std::string, std::string>, BootId> last_boot_;
};

class WorldFabric final : public node::Fabric {
 public:
  WorldFabric(World& world, node::Member self) : world_(world), self_(std::move(self)) {}

  [[nodiscard]] const node::Member& self() const override { return self_; }
  [[nodiscard]] std::vector<node::Member> connected() const override;
  [[nodiscard]] std::vector<node::Member> island() const override;
  [[nodiscard]] const node::Membership& membership() const override { return world_.membership_; }
  [[nodiscard]] bool linked(BootId a, BootId b) const override;
  [[nodiscard]] Timestamp cluster_time(Now now) const override;
  bool send(BootId to, node::ServiceId service, node::Lane lane, node::Bytes payload) override;
  [[nodiscard]] std::size_t queued(BootId to) const override;
  void call(Now now, BootId to, std::string_view name, std::string request, Duration deadline,
            Reply reply) override;
  void handle(std::string name, Handler handler) override { handlers[std::move(name)] = handler; }
  void attach(node::ServiceId service, node::Service* listener) override;

  std::map<std::string, Handler> handlers;
  node::Service* service = nullptr;
  std::vector<std::string> linked_names;  ///< In the order in which they connected.

 private:
  World& world_;
  node::Member self_;
};

struct World::Node final : CacheEffects {
  World* world = nullptr;
  std::string name;
  std::unique_ptr<WorldFabric> fabric;
  TestHealer healer;
  std::unique_ptr<CacheMachine> machine;
  std::deque<StoreBatch> batches;  ///< Given, not yet durable.
  bool frozen = false, hold_disk = false, disk_fails = false;
  std::vector<CacheEvent> events;
  bool all_changes = false;

  [[nodiscard]] bool wants_changes() const override { return all_changes; }
  void store(StoreBatch batch) override { batches.push_back(std::move(batch)); }
  void report(Now, const CacheEvent& event) override { events.push_back(event); }
};

struct World::Flying {
  std::string from, to;
  BootId from_boot, to_boot;
  node::Bytes payload;
  std::string call;  ///< Name of an RPC; empty: a message.
  node::Fabric::Reply reply;
};

}  // namespace muster::cache::testing
