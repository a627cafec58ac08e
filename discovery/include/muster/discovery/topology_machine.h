// SPDX-License-Identifier: MIT
//
// Turns the passes of several topologies into connects and disconnects.  Pure: plumbing, telemetry
// and log are a sink.
//
//   - A listed peer that is not linked is dialled, in parallel with others, with backoff of its
//   own, whatever the period
//     of its strategy; a linked one is left alone.  This node itself is never dialled.
//   - A node is disconnected only when a pass says so (Pass::disconnects) and no topology lists it
//   any more.  Unknown
//     passes change nothing.  From three peers up, a pass that drops more than half waits for a
//     second, equal answer.
//   - One note per change of state with its reason, one reminder an hour while a peer cannot be
//   reached.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "muster/discovery/backoff.h"
#include "muster/discovery/plumbing.h"
#include "muster/discovery/strategy_machine.h"

namespace muster::discovery {

/// One attempt and its end, for telemetry.
struct ConnectEvent {
  enum class What { connect, disconnect };
  What what = What::connect;
  bool ok = false;
  NodeName node = {};
  std::string topology = {};
  std::string reason = {};  ///< "refused", ...; empty where ok.
  Duration duration = {};
};

struct PeerStatus {
  enum class State { waiting, dialling, linked, failing, left };
  NodeName name = {};
  std::string address = {};  ///< "ADDRESS:PORT" where the strategy knows it.
  State state = State::waiting;
  std::string reason = {};  ///< Of the last failure while not linked.
  Instant since = {};       ///< Of the state.
};
[[nodiscard]] std::string_view to_string(PeerStatus::State state);

struct TopologyStatus {
  std::string name = {};
  std::string strategy = {};                 ///< Filled in by topologies.h.
  std::optional<Pass::Kind> last_pass = {};  ///< Nothing before the first.
  std::string unknown_reason = {};           ///< While the last pass is unknown.
  Instant last_pass_at = {};
  Duration took = {};
  bool paused = false;
  bool holds_back_drop = false;  ///< A pass that dropped more than half waits for a second one.
  std::vector<PeerStatus> peers = {};
  std::map<std::string, std::uint64_t> counters = {};
};

using AttemptId = std::uint64_t;

class TopologySink {
 public:
  virtual ~TopologySink() = default;
  /// Answered by connected() with the same id; later, never from within.
  virtual void connect(AttemptId id, const Peer& peer, Duration within) = 0;
  virtual void disconnect(AttemptId id, const NodeName& name) = 0;  ///< Answered by disconnected().
  virtual std::set<NodeName> list_nodes() = 0;
  virtual void happened(const ConnectEvent& event) = 0;
  virtual void note(const std::string& topology, Level level, std::string text) = 0;
};

class TopologyMachine {
 public:
  struct Options {
    NodeName self = {};
    std::uint64_t seed = 0;
    Backoff::Limits redial = {};
    Duration dial_deadline = std::chrono::seconds(5);
    Duration check_every =
        std::chrono::seconds(1);  ///< Looks whether listed peers are still linked.
    Duration remind_every = std::chrono::hours(1);
    Duration dial_who_left_every = std::chrono::minutes(1);
    std::size_t most_dials = 64;  ///< At a time.
  };

  TopologyMachine(Options options, TopologySink& sink);

  void add(const std::string& topology);
  /// Its peers are no longer redialled unless another topology lists them; links stay.
  void remove(const std::string& topology);
  /// Its peers are neither dialled nor disconnected meanwhile.
  void pause(const std::string& topology, bool paused);
  /// Its peers that are not linked are dialled at once, whatever their backoff.
  void refresh(Now now, const std::string& topology);
  /// A peer said good-bye: it is dialled seldom, and without a word, until it is linked again.
  void left(Now now, const NodeName& peer);

  void pass(Now now, const std::string& topology, Pass pass);
  void connected(Now now, AttemptId id, const DialOutcome& outcome);
  void disconnected(Now now, AttemptId id, const DialOutcome& outcome);
  void links_changed(Now now);  ///< Somebody came or went: do not wait for the next check.
  void wake(Now now);
  [[nodiscard]] Instant next_wake() const;

  [[nodiscard]] std::vector<TopologyStatus> status() const;
  void check_invariants() const;

 private:
  using Names = std::set<NodeName>;
  enum class Standing { fresh, linked, failing };

  struct Topology {
    std::map<NodeName, Peer> listed = {};
    bool paused = false;
    std::optional<Names> held = {};  // The drop that waits for a second, equal answer.
    std::optional<Pass::Kind> last = {};
    std::string reason = {};
    Instant last_at = {};
    Duration took = {};
    std::map<std::string, std::uint64_t> counters = {};
  };
  struct Target {
    Peer peer = {};
    Standing standing = Standing::fresh;
    bool left = false;
    Instant since = {};
    DialOutcome last_failure = {};
    Backoff backoff = {};
    Instant next_dial = {};
    Instant remind_at = never;
    std::optional<AttemptId> dial = {};
  };
  struct Attempt {
    NodeName name = {};
    std::string topology = {};
    bool disconnects = false;
    Instant started = {};
  };
  struct Unwanted {
    std::string topology = {};
    bool failed = false;
    Backoff backoff = {};
    Instant next_try = {};
  };

  void take_list(Now now, const std::string& name, Topology& topology, Pass& pass);
  bool holds_back(const std::string& name, Topology& topology, const Pass& pass,
                  const Names& names);
  void drop(Now now, const std::string& name, Topology& topology, const Names& keep,
            bool disconnects);
  void refresh_target(Now now, const NodeName& name);
  void reconcile(Now now);
  void look_at(Now now, const NodeName& name, Target& target, const Names& linked);
  void dial(Now now, const NodeName& name, Target& target);
  AttemptId begin(Attempt attempt);
  std::optional<Attempt> finish(AttemptId id);
  void dial_ended(Now now, const Attempt& attempt, Target& target, const DialOutcome& outcome);
  void dial_failed(Now now, const Attempt& attempt, Target& target, const DialOutcome& outcome);
  void cut_unwanted(Now now, const Names& linked);
  void expire_attempts(Now now);
  void tell(Now now, const Attempt& attempt, const DialOutcome& outcome);
  [[nodiscard]] std::string topology_of(const NodeName& name) const;  // The first that lists it.
  [[nodiscard]] bool is_paused(const NodeName& name) const;           // All that list it are.

  const Options options_;
  TopologySink& sink_;
  std::mt19937_64 random_;
  AttemptId last_attempt_ = 0;
  Instant next_check_ = never;
  std::map<std::string, Topology> topologies_;
  std::map<NodeName, Target> targets_;  // All that any topology lists, without this node.
  std::map<AttemptId, Attempt> attempts_;
  Names busy_;  // The names in attempts_: one attempt per name at a time.
  std::map<NodeName, Unwanted> unwanted_;
};

}  // namespace muster::discovery
