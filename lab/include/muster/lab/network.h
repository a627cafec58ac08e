// SPDX-License-Identifier: MIT
//
// Hosts, and a network between them that delays, loses, repeats and cuts.  A datagram may be lost,
// doubled or overtaken.  A connection is like TCP: what was sent arrives once, in order per lane,
// or not at all; a cut makes it wait, and it arrives after the heal unless its end was closed
// meanwhile; loss makes it late.  A cut has a direction.
//
// A process that ends closes its connections (the peer is told, once the path is open); a host
// that loses power tells nobody: its peers hear of it when something of theirs reaches the host
// after it is back.  A paused host loses nothing: all that is for it waits.
//
// Invariants: nothing is delivered to an end that was closed; a host's handler is called only while
// the host is up and not paused.  Not modelled: one-way cuts let any amount pass the open way.
// Threads: one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "muster/discovery/time.h"
#include "muster/lab/agenda.h"
#include "muster/lab/random.h"
#include "muster/lab/trace.h"

namespace muster::lab {

using HostId = std::uint32_t;
using Payload = std::shared_ptr<const std::string>;

/// One end of a connection; the two ends of one differ in the lowest bit.
struct End {
  std::uint64_t value = 0;
  [[nodiscard]] End other() const { return {value ^ 1}; }
  friend auto operator<=>(const End&, const End&) = default;
};

/// What runs on a host.
class Process {
 public:
  virtual ~Process() = default;
  /// Somebody opened a connection to this host; it is up.
  virtual void accepted(End end, HostId from) = 0;
  /// One that this host opened is up.
  virtual void established(End end) = 0;
  virtual void received(End end, std::string_view bytes) = 0;
  /// By the other side, or it never came up; not called for one's own close().
  virtual void closed(End end, std::string_view reason) = 0;
  virtual void datagram(HostId from, std::string_view bytes) = 0;
};

struct Quality {
  Duration delay = std::chrono::microseconds(200);  ///< One way.
  Duration jitter = std::chrono::microseconds(100);
  double loss = 0;
  double duplication = 0;
  std::uint64_t bytes_per_second = 0;  ///< 0: no limit.
};

class Network {
 public:
  Network(Agenda& agenda, Trace& trace, std::uint64_t seed);

  HostId add_host(std::string name);
  [[nodiscard]] std::size_t hosts() const { return hosts_.size(); }
  [[nodiscard]] const std::string& name(HostId host) const { return hosts_[host].name; }

  // Processes.  Null: nobody listens; connections to it are refused while the host is up.
  void start(HostId host, Process* process);
  /// The process ends (crash or exit); the host goes on and tells its peers.
  void stop(HostId host);
  /// The host goes dark until start().
  void power_off(HostId host);
  void pause(HostId host);
  void resume(HostId host);
  [[nodiscard]] bool up(HostId host) const { return hosts_[host].process != nullptr; }
  [[nodiscard]] bool paused(HostId host) const { return hosts_[host].paused; }
  /// Runs `action` on the host: now, or when it resumes; never when its process ends before.
  void on_host(HostId host, Action action);

  // Datagrams.
  void send(HostId from, HostId to, Payload bytes);

  // Connections.
  enum class Lane : std::uint8_t { urgent, bulk };
  End dial(HostId from, HostId to);
  void send(End end, Lane lane, Payload bytes);
  void close(End end);
  /// Bytes that were sent and have not arrived, beyond what a socket's buffer would take.
  [[nodiscard]] std::size_t queued(End end) const;
  [[nodiscard]] bool open(End end) const;
  /// Open, and this end has heard from the other.
  [[nodiscard]] bool established(End end) const;
  [[nodiscard]] HostId host_of(End end) const;
  [[nodiscard]] HostId peer_of(End end) const { return host_of(end.other()); }

  // Faults.
  void quality(const Quality& all) { quality_ = all; }
  void quality(HostId a, HostId b, const Quality& of_pair);
  void cut_one_way(HostId from, HostId to);
  void heal_one_way(HostId from, HostId to);
  void cut(HostId a, HostId b);
  void heal(HostId a, HostId b);
  /// Hosts with different numbers cannot talk; one number per host.
  void islands(const std::vector<int>& number);
  void heal_all();
  [[nodiscard]] bool passes(HostId from, HostId to) const;
  /// Since when; never while it is cut.
  [[nodiscard]] Instant passes_since(HostId from, HostId to) const;
  /// How late TCP may notice that a cut is healed.
  static constexpr Duration retransmit_late = std::chrono::seconds(1);
  /// Every connection between the two breaks at both ends: a middlebox that forgot them.
  void reset_between(HostId a, HostId b);

  // Clocks: what a host believes the time to be.
  /// A jump, also while the host runs.
  void skew(HostId host, Duration wall_offset);
  [[nodiscard]] Duration skew(HostId host) const;
  /// From now on its wall clock gains so much per second (or loses: below zero).
  void drift(HostId host, double gain);
  [[nodiscard]] Now now(HostId host) const;
  /// Where an instant of the host's own monotonic clock lies on the agenda.
  [[nodiscard]] Instant on_agenda(HostId host, Instant local) const;

  struct Counters {
    std::uint64_t frames = 0, bytes = 0, datagrams = 0, lost = 0, doubled = 0, dials = 0,
                  refused = 0, resets = 0;
  };
  [[nodiscard]] const Counters& counters() const { return counters_; }

  static constexpr std::size_t socket_buffer = std::size_t{128} << 10;

 private:
  struct Host {
    std::string name;
    Process* process = nullptr;
    std::uint32_t life = 0;  ///< Of its process; what was meant for an older one is dropped.
    bool paused = false;
    bool dark = false;
    std::deque<Action> inbox;  ///< While paused.
    Duration skew{};           ///< At `drifts_since`.
    double drift = 0;
    Instant drifts_since{};
    Duration epoch{};  ///< Monotonic clocks of two hosts have nothing in common.
    std::set<std::uint64_t> connections;
  };
  enum class Kind : std::uint8_t { frame, dial, establish, close };
  struct Packet {
    Kind kind = Kind::frame;
    Payload bytes = {};
    const char* reason = "";
  };
  /// What is under way to an end.
  struct Inbound {
    Instant last_urgent{};
    Instant last_bulk{};
    std::size_t in_flight = 0;
    std::vector<Packet> waiting;  ///< Stopped by a cut, in order.
    bool flushing = false;
  };
  struct Connection {
    HostId hosts[2] = {0, 0};  ///< Of the dialling end, of the other.
    bool open[2] = {false, false};
    bool established[2] = {false, false};
    Inbound inbound[2];
  };

  [[nodiscard]] static std::uint32_t side(End end) { return end.value & 1; }
  [[nodiscard]] bool blocked(const Connection& connection, End to) const;
  [[nodiscard]] Connection* connection(End end) const;
  [[nodiscard]] const Quality& between(HostId from, HostId to) const;
  [[nodiscard]] Duration travel(HostId from, HostId to, std::size_t bytes);
  void put_under_way(End to, Lane lane, Packet packet);
  void arrive(End to, Packet packet);
  void deliver(End to, Packet packet);
  void hand_over(End to, const Packet& packet);
  void accept(End to);
  void flush(End to);
  void shut(End end);
  void tell_closed(End to, const char* reason);
  void wake_waiting(HostId from, HostId to);
  void drain(HostId host);
  void note(std::string_view what, HostId a, HostId b);

  Agenda& agenda_;
  Trace& trace_;
  Random random_;
  std::deque<Host> hosts_;
  std::vector<std::vector<bool>> cut_;        ///< [from][to]
  std::vector<std::vector<Instant>> healed_;  ///< The same: when last; the beginning: never cut.
  Quality quality_;
  std::map<std::pair<HostId, HostId>, Quality> pair_quality_;
  std::vector<std::unique_ptr<Connection>> connections_;  ///< Null once both ends are closed.
  Counters counters_;
};

}  // namespace muster::lab
