// SPDX-License-Identifier: MIT
//
// UDP heartbeats: who is heard is listed.  Pure.  Announces at 0, 100 and 300 ms, then every
// interval; a newcomer is answered at once, at most every 100 ms.  Bad datagrams are counted and
// skipped: damaged, under another secret, too old or too new, seen before.
//
// Silence proves nothing: passes never disconnect, and a peer stays listed for a minute or 60
// intervals without a word. A node that does not hear itself says so, names the interface, and
// opens the group anew now and then.
//
// Invariants: a stream's counter only grows; every listed peer was heard within `forget_after`; at
// most 4,096 streams.
#pragma once

#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>

#include "gossip_wire.h"
#include "muster/discovery/backoff.h"
#include "muster/discovery/strategy_machine.h"

namespace muster::discovery {

class GossipMachine : public StrategyMachine {
 public:
  struct Options {
    std::uint16_t port = 45892;
    std::string bind = "0.0.0.0";
    std::string group = "233.252.1.32";
    std::string interface = {};  ///< Empty: the node's bind address.
    int hops = 1;
    bool broadcast = false;
    std::string secret = {};  ///< Empty: the node's cookie.
    Duration interval = std::chrono::seconds(1);
  };

  GossipMachine(Options options, const StrategyContext& context, StrategySink& sink);

  void start(Now now) override;
  void wake(Now now) override;
  [[nodiscard]] Instant next_wake() const override;
  void datagram(Now now, std::string_view bytes) override;
  void answer(Now now, QuestionId id, const Answer& answer) override;
  [[nodiscard]] std::map<std::string, std::uint64_t> counters() const override { return counters_; }
  void check_invariants() const override;

 private:
  struct Known {
    Peer peer;
    std::uint64_t boot_id = 0;
    Instant last_heard = {};
  };
  struct Stream {
    std::uint32_t counter = 0;
    Instant last_heard = {};
  };

  void open(Now now);
  void announce(Now now);
  void listen_for_myself(Now now);
  void forget(Now now);
  void heartbeat(Now now, const Heartbeat& heartbeat);
  bool accept(Now now, const Heartbeat& heartbeat);
  bool is_fresh(Now now, const Heartbeat& heartbeat);
  void meet(Now now, const Heartbeat& heartbeat);
  void namesake(const Heartbeat& heartbeat);
  void report();
  [[nodiscard]] Duration forget_after() const;
  [[nodiscard]] std::string place() const;

  const Options options_;
  const StrategyContext context_;
  StrategySink& sink_;
  GossipCodec codec_;
  std::mt19937_64 random_;
  const std::uint64_t stream_;  // Of what we send.
  std::uint32_t sent_ = 0;
  int sent_rhythm_ = 0;  // How far into 0, 100, 300 ms.

  QuestionId opening_ = 0;
  bool is_open_ = false;
  bool is_deaf_ = false;
  bool heard_myself_ = false;
  Backoff reopen_backoff_;
  Instant open_at_ = never;      // When to open the group anew.
  Instant announce_at_ = never;  // The next heartbeat of the rhythm ...
  Instant greet_at_ = never;     // ... and the next for a newcomer.
  Instant last_sent_ = {};
  Instant deaf_at_ = never;  // Without a word of our own until then, we are deaf.

  std::map<NodeName, Known> peers_;
  std::map<std::uint64_t, Stream> streams_;
  std::set<std::string> complained_;  // One note per clock, namesake and foreign secret.
  std::map<std::string, std::uint64_t> counters_;
};

}  // namespace muster::discovery
