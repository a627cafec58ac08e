// SPDX-License-Identifier: MIT
//
// A discovery strategy answers one question for as long as it runs: which peers exist now?  It
// connects to nobody; it reports passes, and the topology (topology_machine.h) turns them into
// wishes.
//
// A strategy is a machine: start, wake, datagrams and answers come in with the time; reports,
// datagrams, questions and notes go out into a StrategySink.  topologies.h performs them with real
// sockets and files, the lab with simulated ones.  A strategy asks (strategy_questions.h) with an
// id of its own making and gets each answer once, with that id; a stream of HTTP lines says when it
// has ended.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "muster/discovery/log.h"
#include "muster/discovery/peer.h"
#include "muster/discovery/strategy_questions.h"
#include "muster/discovery/time.h"

namespace muster::discovery {

/// How one look around ended: with a list, a known empty list, or unknown.  Unknown never
/// disconnects anybody.
struct Pass {
  enum class Kind { list, known_empty, unknown };

  static Pass list(PeerSet peers);  ///< Known empty where `peers` is empty.
  static Pass unknown(std::string reason);

  Kind kind = Kind::unknown;
  PeerSet peers = {};
  std::string reason = {};  ///< Why it is unknown; of a list: what it lacks.
  /// Whether a peer that is missing from it is to be disconnected, too.  False for sources that
  /// hear of peers rather than list them (gossip, port mappers): there, missing means no more than
  /// "no longer redialled".
  bool disconnects = true;
  Duration took = {};  ///< From the first question to the last answer.
};

/// What a strategy may want to know of the node that it serves.
struct StrategyContext {
  std::string topology = {};
  NodeName self = {};
  std::string cookie = {};      ///< The secret of those that configure none.
  std::string cluster_id = {};  ///< Told to peers; at most 64 bytes.
  std::uint64_t boot_id = 0;    ///< Random at each start of the node.
  /// Look, and say nothing of ourselves: no heartbeat, no key (`muster discover`).
  bool listens_only = false;
  std::string bind_address = "127.0.0.1";  ///< Where links and gossip listen.
  std::string link_address = "127.0.0.1";  ///< Where peers reach us, port of our links ...
  std::uint16_t link_port = 0;             ///< ... told by gossip; 0: by the port mapper.
  std::uint16_t mapper_port = 4369;        ///< Of every host's port mapper.
  std::filesystem::path directory = ".";   ///< Where relative files are searched ...
  std::filesystem::path home = {};         ///< ... and where after that; may be empty.
  std::uint64_t seed = 0;  ///< Of all chance; different for each start of a strategy.
};

/// Where a strategy's effects go.  Calls are performed later: none calls back into the machine.
class StrategySink {
 public:
  virtual ~StrategySink() = default;
  virtual void report(Pass pass) = 0;
  virtual void ask(QuestionId id, Question question) = 0;
  virtual void withdraw(QuestionId id) = 0;  ///< No answer to it is wanted any more.
  virtual void send(
      std::string datagram) = 0;  ///< To the group; lost without a word where it is not open.
  virtual void note(
      Level level, std::string text) = 0;  ///< For the log: on a change of state, never per packet.
};

class StrategyMachine {
 public:
  virtual ~StrategyMachine() = default;

  virtual void start(Now now) = 0;  ///< Once, first.
  virtual void wake(Now now) = 0;   ///< At next_wake() or later; harmless earlier.
  [[nodiscard]] virtual Instant next_wake() const = 0;
  virtual void datagram(Now, std::string_view /*bytes*/) {}
  virtual void answer(Now, QuestionId, const Answer&) {}
  /// Last, in an orderly stop: what is asked here (a lease given back) is performed for at most a
  /// second; its answers do not come any more.
  virtual void stop(Now) {}

  /// For status and metrics: what was sent, heard, skipped and why; names only ever added to.
  [[nodiscard]] virtual std::map<std::string, std::uint64_t> counters() const { return {}; }
  virtual void check_invariants() const {}
};

}  // namespace muster::discovery
