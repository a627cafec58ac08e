// SPDX-License-Identifier: MIT
//
// UDP heartbeats: who is heard is listed.  Pure.  Announces at 0, 100 and 300 ms, then every
// interval; a newcomer is answered at once, at most every 100 ms.  Bad datagrams are counted and
// skipped: damaged, under another secret, too old or too new, seen before.
//
// Two formats, one at a time: our own (gossip_wire.h), and libcluster's (libcluster_wire.h), which
// tells a name and nothing else: no time, no replay guard, no address.  Several secrets while one
// is replaced: the first sends, all receive.
//
// Silence proves nothing: passes never disconnect, and a peer stays listed for a minute or 60
// intervals without a word. A node that does not hear itself says so, names the interface, and
// opens the group anew now and then; also 100 ms after the interface has changed.
//
// Invariants: a stream's counter only grows; every listed peer was heard within `forget_after`; at
// most 4,096 streams and as many peers.
#pragma once

#include <deque>
#include <map>
#include <random>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "gossip_wire.h"
#include "libcluster_wire.h"
#include "muster/discovery/backoff.h"
#include "muster/discovery/strategy_machine.h"

namespace muster::discovery {

class GossipMachine : public StrategyMachine {
 public:
  enum class Format { muster, libcluster };
  struct Options {
    Format format = Format::muster;
    std::uint16_t port = 45892;
    std::string bind = "0.0.0.0";
    std::string group = "233.252.1.32";
    std::string interface = {};  ///< Empty: the node's bind address.
    int hops = 1;
    bool broadcast = false;
    std::vector<std::string> secrets = {};  ///< None: the node's cookie; nothing for libcluster.
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

  void open();
  void beat(Now now);
  void announce(Now now);
  [[nodiscard]] std::string encoded(Now now);
  void listen_for_myself(Now now);
  void forget(Now now);
  void refuse(BadDatagram bad);
  void heard_itself(Now now);
  void heartbeat(Now now, const Heartbeat& heartbeat);
  void heartbeat(Now now, const LibclusterHeartbeat& heartbeat, std::string_view bytes);
  bool accept(Now now, const Heartbeat& heartbeat);
  bool is_fresh(Now now, const Heartbeat& heartbeat);
  void meet(Now now, const Peer& peer, std::uint64_t boot_id, bool under_old_secret);
  void greet(Now now);
  bool first_complaint(const std::string& about);
  void namesake(const std::string& which, const std::string& where);
  void report(Now now);
  void report_soon(Now now);
  [[nodiscard]] Duration forget_after() const;
  [[nodiscard]] std::string place() const;

  const Options options_;
  const StrategyContext context_;
  StrategySink& sink_;
  const std::string origin_;  // Of all that is derived for what we send; no other start has it.
  std::variant<GossipCodec, LibclusterCodec> codec_;
  std::mt19937_64 random_;
  const std::uint64_t stream_;  // Of what we send.
  std::uint32_t sent_ = 0;
  std::deque<std::string> last_sent_bytes_;  // A few, in libcluster's format.
  int sent_rhythm_ = 0;                      // How far into 0, 100, 300 ms.

  QuestionId opening_ = 0;
  bool is_open_ = false;
  bool is_deaf_ = false;
  bool heard_myself_ = false;
  Backoff reopen_backoff_;
  Instant open_at_ = never;      // When to open the group anew ...
  Instant changed_at_ = never;   // ... and when since its interface has changed.
  Instant announce_at_ = never;  // The next heartbeat of the rhythm ...
  Instant greet_at_ = never;     // ... and the next for a newcomer.
  Instant report_at_ = never;    // News that came too soon after the last report.
  Instant last_report_ = {};
  Instant last_sent_ = {};
  Instant deaf_at_ = never;  // Without a word of our own until then, we are deaf.

  std::map<NodeName, Known> peers_;
  std::map<std::uint64_t, Stream> streams_;
  std::set<std::string> complained_;  // One note per clock, namesake and foreign secret.
  std::map<std::string, std::uint64_t> counters_;
};

}  // namespace muster::discovery
