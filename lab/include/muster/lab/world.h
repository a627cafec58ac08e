// SPDX-License-Identifier: MIT
//
// A cluster in one thread: N simulated nodes that run the production machines, a network that lies,
// disks that lose, clients that write down what they were told.  One seed, one world, to the byte.
//
//   World world(seed, {.nodes = 3});
//   world.start_all();
//   EXPECT_TRUE(world.run_until([&] { return world.meshed(); }, 5s));
//   world.cut_into({{0}, {1, 2}});
//   world.put(0, "session", "key");
//   EXPECT_THAT(world.quiet(), IsEmpty());   // heals, waits, checks everything that is promised
//
// Threads: one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "muster/lab/agenda.h"
#include "muster/lab/history.h"
#include "muster/lab/network.h"
#include "muster/lab/random.h"
#include "muster/lab/sessions.h"
#include "muster/lab/sim_node.h"
#include "muster/lab/trace.h"

namespace muster::lab {

struct WorldOptions {
  /// Whom a node is told of: everybody, the first node, or its neighbour in a ring.
  enum class Contacts : std::uint8_t { all, first, ring };

  std::size_t nodes = 3;
  Contacts contacts = Contacts::all;
  Quality quality;
  SimNodeOptions node;
  bool keep_trace = false;
  /// By how much two nodes may differ about what has expired, and a client about both.
  Duration clock_tolerance = std::chrono::seconds(3);
};

class World {
 public:
  World(std::uint64_t seed, WorldOptions options);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  [[nodiscard]] std::uint64_t seed() const { return seed_; }
  [[nodiscard]] std::size_t size() const { return nodes_.size(); }
  [[nodiscard]] SimNode& node(NodeIndex index) { return *nodes_[index]; }
  [[nodiscard]] const SimNode& node(NodeIndex index) const { return *nodes_[index]; }
  [[nodiscard]] Agenda& agenda() { return agenda_; }
  [[nodiscard]] Network& network() { return network_; }
  [[nodiscard]] Trace& trace() { return trace_; }
  [[nodiscard]] Random& random() { return random_; }
  [[nodiscard]] History& history() { return history_; }
  [[nodiscard]] const History& history() const { return history_; }
  [[nodiscard]] const WorldOptions& options() const { return options_; }
  [[nodiscard]] Instant now() const { return agenda_.now(); }
  [[nodiscard]] NodeIndex index_of(const NodeName& name) const;
  [[nodiscard]] const cache::TableDefinition& table(const std::string& name) const;

  // Time.  Throws where events follow each other without end.
  void run_for(Duration span);
  /// True as soon as `condition` holds, looked at every few milliseconds; false after `limit`.
  bool run_until(const std::function<bool()>& condition, Duration limit,
                 Duration every = std::chrono::milliseconds(10));

  // Faults.
  void start(NodeIndex index);
  void start_all();
  void crash(NodeIndex index, Crash kind = Crash::keep, bool power = false);
  void leave(NodeIndex index);
  /// Crashes it; its directory is what it was when SimNode::back_up() was called last.
  void restore(NodeIndex index);
  /// As an operator at `by` would; refused or not is for the node to say.
  void forget(NodeIndex by, NodeIndex whom);
  [[nodiscard]] bool was_forgotten(NodeIndex index) const { return forgotten_.contains(index); }
  void pause(NodeIndex index);
  void resume(NodeIndex index);
  void cut(NodeIndex a, NodeIndex b) { network_.cut(host(a), host(b)); }
  void heal(NodeIndex a, NodeIndex b) { network_.heal(host(a), host(b)); }
  /// Each group an island; nodes that are in no group are alone.
  void cut_into(const std::vector<std::vector<NodeIndex>>& groups);
  void heal_all() { network_.heal_all(); }

  // Clients.  Each returns the operation's id in history(); a value is made where none is given.
  std::size_t put(NodeIndex node, const std::string& table, std::string_view key,
                  std::optional<Duration> ttl = {},
                  cache::Write::If condition = cache::Write::If::always);
  std::size_t take(NodeIndex node, const std::string& table, std::string_view key);
  std::size_t remove(NodeIndex node, const std::string& table, std::string_view key);
  std::size_t touch(NodeIndex node, const std::string& table, std::string_view key, Duration ttl);
  /// One batch: all keys of it or none.
  std::vector<std::size_t> write(NodeIndex node, const std::string& table,
                                 const std::vector<std::string>& puts,
                                 const std::vector<std::string>& deletes);
  /// A client that stays on this node reads; what it saw before must still hold.
  void get(NodeIndex node, const std::string& table, std::string_view key);
  /// Another looks whether it sees half a batch.
  void look_at_batches(NodeIndex node);
  /// What a client at this node reads now, from the local copy; none: a miss, or not ready.
  [[nodiscard]] std::optional<std::string> read(NodeIndex node, const std::string& table,
                                                std::string_view key) const;

  // What is.
  [[nodiscard]] bool meshed()
      const;  ///< All that are up are linked, and agree on island and oldest.
  [[nodiscard]] bool ready() const;  ///< All that are up, all tables.
  /// All that are up: meshed, ready, equal lines and digests.
  [[nodiscard]] bool converged() const;
  [[nodiscard]] std::string picture() const;  ///< For people, of who sees what.
  /// Of two copies of a table, row by row.
  [[nodiscard]] std::string differences(NodeIndex a, NodeIndex b, const std::string& table) const;

  /// The second phase: faults end, everybody that did not leave is up; then, within `limit`, what
  /// is promised must hold.  Returns what does not.
  std::vector<std::string> quiet(Duration limit = std::chrono::seconds(60));
  /// What happened, and what was looked at: a check that never looks finds nothing.
  [[nodiscard]] const std::map<std::string, std::size_t>& counted() const { return counted_; }
  void count(const std::string& what) { ++counted_[what]; }
  /// What was found wrong so far, while it ran.
  [[nodiscard]] const std::vector<std::string>& violations() const { return violations_; }

 private:
  [[nodiscard]] HostId host(NodeIndex index) const { return nodes_[index]->host(); }
  [[nodiscard]] PeerSet contacts_of(NodeIndex index) const;
  void advance(Instant end);
  void answered(std::size_t id, const Result<cache::Written>& result);
  void held(Operation& operation, const std::vector<NodeName>& named);
  /// Where its path ends: how much of it is pruned is its own affair.
  [[nodiscard]] cache::LineId line_of(NodeIndex index, const std::string& table) const;
  void check_holders(const Operation& operation);
  void check_readers(const Operation& put);
  [[nodiscard]] bool in_touch(NodeIndex a, NodeIndex b, Instant since) const;
  /// Surely not expired yet, whatever the clocks.
  [[nodiscard]] bool lives(const Operation& put) const;
  void limit_wait(const Operation& operation);
  struct Batch {
    std::string table;
    std::vector<std::string> puts;  ///< Encoded keys.
  };
  void submit(NodeIndex node, std::vector<std::size_t> ids, cache::Write write);
  void judge_read(NodeIndex node, const std::string& table, const std::string& key,
                  const std::optional<cache::Table::Found>& found, Instant invoked);
  [[nodiscard]] static std::optional<Instant> latest_expiry(
      const Operation& put, const std::vector<const Operation*>& same_key);
  void check_service(std::vector<std::string>& problems);
  void violation(std::string text);
  void alarm(NodeIndex at, const cache::CacheEvent& event);
  Operation& record(Operation::Kind kind, NodeIndex node, const std::string& table,
                    std::string_view key);

  const std::uint64_t seed_;
  const WorldOptions options_;
  Random random_;
  Agenda agenda_;
  Trace trace_;
  Network network_;
  History history_;
  Sessions sessions_;
  std::deque<Batch> batches_;
  std::set<std::pair<NodeIndex, std::string>> taken_;
  std::vector<std::string> violations_;
  std::map<std::string, std::size_t> counted_;
  Instant lines_met_{};  ///< When a fork was last met, or healed.
  std::map<NodeName, NodeIndex> by_name_;
  std::vector<std::unique_ptr<SimNode>> nodes_;
  std::set<NodeIndex> forgotten_;
  std::map<std::pair<NodeIndex, NodeIndex>, Instant> linked_;  ///< Since when the first sees it.
  std::vector<Instant> started_;                               ///< When each was last started ...
  std::vector<Instant> disturbed_;  ///< ... or resumed: a put may have waited for that, too.
};

/// What a checker judges: a world that is quiet.  Each names what it found, empty when all is well.
class Checker {
 public:
  explicit Checker(World& world) : world_(world) {}
  std::vector<std::string> all();

 private:
  using Contents = std::map<std::string, std::string>;  ///< Encoded key -> value.

  void readiness();
  void agreement();
  void contents(const std::string& table);
  void equal_contents(const std::string& table);
  void journals(const std::string& table);
  void judge_put(const Operation& put, const std::vector<const Operation*>& same_key);
  void judge_reuse(const Operation& put, const std::vector<const Operation*>& same_key);
  void judge_condition(const Operation& put, const std::vector<const Operation*>& same_key);
  [[nodiscard]] bool gone_by(const Operation& operation) const;
  void judge_absence(const std::string& key, const std::vector<const Operation*>& same_key);
  void judge_visible(const std::string& key, const std::string& value,
                     const std::vector<const Operation*>& same_key);
  [[nodiscard]] bool merges(const std::string& table) const;
  [[nodiscard]] Contents visible(const SimNode& node, const std::string& table, Timestamp at) const;
  void problem(std::string text);

  World& world_;
  std::vector<std::string> problems_;
  Contents contents_;
  std::multimap<std::string, std::string> journal_;  ///< Value -> node that holds its record.
};

}  // namespace muster::lab
