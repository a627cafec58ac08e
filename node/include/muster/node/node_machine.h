// SPDX-License-Identifier: MIT
//
// The node: hello and admission, one link per pair, peer exchange to a full mesh, failure
// detection, islands, named calls, orderly leave.  Pure: sockets, TLS, files and time are outside;
// the Asio shell (node.h) and the lab run this very class.
//
// A link's life: dial() or accepted() -> opened() (the transport is up and the cookie was right) ->
// hello both ways -> connected, or closed() with a reason.  Frames on a link are one byte
// ServiceId, then the payload.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "muster/discovery/peer.h"
#include "muster/discovery/result.h"
#include "muster/discovery/time.h"
#include "muster/node/fabric.h"
#include "muster/node/identity.h"

namespace muster::node {

struct LinkId {
  std::uint64_t value = 0;
  friend auto operator<=>(const LinkId&, const LinkId&) = default;
};

/// Cluster time is never again below this.
struct ClockMark {
  Timestamp time{};              ///< What it was ...
  Instant read_at{};             ///< ... at this reading of the monotonic clock ...
  std::uint64_t host_start = 0;  ///< ... of this start of the computer; 0 = not known.
  friend bool operator==(const ClockMark&, const ClockMark&) = default;
};

/// What a node remembers over restarts; written whole, durable when persist() returns.
struct NodeState {
  std::uint64_t cluster = 0;  ///< Cluster id; 0 = never met or founded one.
  std::uint32_t highest_ordinal = 0;
  ClockMark clock_mark;
  Membership membership;
  PeerSet peers;  ///< Last known addresses, for a cold start.
};

/// Everything a person or a page may want to know, in order, once per change of state.
struct NodeEvent {
  enum class Kind : std::uint8_t {
    nodeup,
    nodedown,
    refused,
    left,
    forgotten,
    island,
    oldest,
    alarm,
  };
  Kind kind;
  Member node;
  DownReason reason = DownReason::closed;  ///< Of nodedown.
  std::string detail;                      ///< A sentence for the log.
};

/// Performs what the machine decides.  Called from within the machine; must not call back into it.
class NodeEffects {
 public:
  virtual ~NodeEffects() = default;

  /// Answer with opened() or closed(); within its dial deadline.
  virtual void dial(LinkId link, const Peer& peer) = 0;
  virtual void transmit(LinkId link, Lane lane, Bytes frame) = 0;
  [[nodiscard]] virtual std::size_t queued(LinkId link) const = 0;
  /// Sends what is queued on the urgent lane, then closes; no closed() follows.  Of a dial that was
  /// not answered yet: gives it up.
  virtual void close(LinkId link) = 0;
  virtual void persist(const NodeState& state) = 0;
  virtual void report(Now now, const NodeEvent& event) = 0;
};

struct NodeOptions {
  NodeName name;
  BootId boot;  ///< Drawn by the shell.
  /// Tells starts of the computer apart, where the monotonic clock begins anew; 0 = not known.
  std::uint64_t host_start = 0;
  Peer advertised;  ///< How others reach us: name, address, link port.
  Duration probe_every = std::chrono::milliseconds(250);
  Duration silent_after =
      std::chrono::milliseconds(1500);             ///< Deadline before suspicion is confirmed.
  Duration forget_after = std::chrono::hours(24);  ///< Of a dead member, by a majority's oldest.
  Duration founds_after =
      std::chrono::seconds(1);  ///< A blank node alone for so long is no newcomer.
  Duration call_deadline_max = std::chrono::seconds(60);
  /// News of links and members is gathered for so long, and 0.2 ms for each link.
  Duration gather_news = std::chrono::milliseconds(20);
  std::size_t links_max = 1024;
  std::string cluster = {};   ///< Optional label: nodes of different labels refuse each other.
  bool allow_faults = false;  ///< cut() and heal() work.
};

/// For metrics; they only grow.
struct NodeCounters {
  std::uint64_t frames_in = 0;
  std::uint64_t frames_malformed = 0;
  std::uint64_t frames_unknown_service = 0;
  std::uint64_t refusals = 0;  ///< By this node or of it.
  std::uint64_t dials = 0;
  std::uint64_t probes = 0;
  std::uint64_t suspicions = 0;
  std::uint64_t stalls = 0;   ///< Times this node itself stood still.
  std::uint64_t repairs = 0;  ///< Views that had to be sent whole again.
};

/// How a connect() ended; the reason is a sentence for people.
struct ConnectOutcome {
  bool connected = false;
  std::string reason;
};

class NodeMachine final : public Fabric {
 public:
  using ConnectDone = std::function<void(Now, const ConnectOutcome&)>;

  NodeMachine(NodeOptions options, NodeState state, std::uint64_t seed, NodeEffects& effects);
  ~NodeMachine() override;

  // What happens to it.
  void start(Now now);
  /// Somebody dialled us; the transport is up.
  [[nodiscard]] LinkId accepted(Now now, std::string_view remote);
  void opened(Now now, LinkId link);
  void received(Now now, LinkId link, std::string_view frame);
  void closed(Now now, LinkId link, std::string_view reason);
  /// May come nearer with every call that takes `now`, call() included.
  [[nodiscard]] Instant next_wake() const;
  void wake(Now now);

  // What is asked of it.
  void connect(Now now, const Peer& peer, ConnectDone done);
  /// Closes the link and does not redial until asked to connect again; false when it was not
  /// connected.
  bool disconnect(Now now, const NodeName& name);
  /// Announces it; links close with reason "left".  Done when left() is true.  The layers above
  /// hand off first what others do not have yet.
  void leave(Now now);
  [[nodiscard]] bool left() const;
  /// Strikes a dead node off the membership; refused without a majority, or while it is in the
  /// island.
  Result<void> forget(Now now, const NodeName& name);
  /// Faults for demos and tests: from now on nothing passes between this node and `name`, silently,
  /// in both directions.
  Result<void> cut(Now now, const NodeName& name);
  void heal(Now now);

  // Fabric.
  [[nodiscard]] const Member& self() const override;
  [[nodiscard]] std::vector<Member> connected() const override;
  [[nodiscard]] std::vector<Member> island() const override;
  [[nodiscard]] const Membership& membership() const override;
  [[nodiscard]] bool linked(BootId a, BootId b) const override;
  [[nodiscard]] Timestamp cluster_time(Now now) const override;
  bool send(BootId to, ServiceId service, Lane lane, Bytes payload) override;
  [[nodiscard]] std::size_t queued(BootId to) const override;
  void call(Now now, BootId to, std::string_view name, std::string request, Duration deadline,
            Reply reply) override;
  void handle(std::string name, Handler handler) override;
  void attach(ServiceId service, Service* listener) override;

  [[nodiscard]] const NodeCounters& counters() const;
  void check_invariants() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace muster::node
