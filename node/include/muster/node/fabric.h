// SPDX-License-Identifier: MIT
//
// What a node offers to the layers above it (the cache, unsplit, a program's own service): who is
// connected, who is in the island, messages to a peer, named calls, cluster time.  The node machine
// implements it, in production and in the lab alike, so all above is written against this page
// alone.
//
// Words: *connected* = linked directly, both ways, hello done.  *Island* = all that is reachable
// through linked nodes, after the failure detector's deadline.  *Membership* = who was ever
// admitted and has neither left nor been forgotten.
//
// Threads: the node's strand only, like every machine.  Callbacks may come from within any call
// that takes `now`, never from within send() or call().
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "muster/discovery/result.h"
#include "muster/discovery/time.h"
#include "muster/node/identity.h"

namespace muster::node {

/// A payload that several links may share; encoded once.
using Bytes = std::shared_ptr<const std::string>;

/// Tells services apart on the wire.  1 to 15 belong to the node; each layer above declares its own
/// constant.
using ServiceId = std::uint8_t;

/// Bulk never delays what is urgent: a link sends its urgent queue first and cuts bulk into small
/// pieces of time.
enum class Lane : std::uint8_t { urgent, bulk };

enum class DownReason : std::uint8_t { closed, silent, left, disconnected, replaced, shutdown };
[[nodiscard]] std::string_view to_string(DownReason reason);

/// Admission is a counter per name, merged by maximum: odd = admitted, even = left or forgotten.
struct Membership {
  struct Status {
    std::uint32_t admissions = 0;
    Seniority newest;  ///< Of its boots that we have heard of.

    [[nodiscard]] bool admitted() const { return admissions % 2 == 1; }
    friend bool operator==(const Status&, const Status&) = default;
  };
  std::map<NodeName, Status> nodes;
};

/// A layer above, listening.  All calls come in order, one at a time.
class Service {
 public:
  virtual ~Service() = default;

  virtual void connected(Now now, const Member& peer) = 0;
  virtual void disconnected(Now now, const Member& peer, DownReason reason) = 0;
  /// island() or membership() differs from what it was; also called after connected() and
  /// disconnected().
  virtual void island_changed(Now now) = 0;
  /// `payload` is valid during the call.  Only from connected peers, in the order sent per lane.
  virtual void received(Now now, const Member& from, std::string_view payload) = 0;
};

class Fabric {
 public:
  virtual ~Fabric() = default;

  [[nodiscard]] virtual const Member& self() const = 0;
  /// Peers that are connected, in the order in which they were: the list behind `extra_db_nodes`.
  [[nodiscard]] virtual std::vector<Member> connected() const = 0;
  /// Everybody in the island, this node included, oldest first.
  [[nodiscard]] virtual std::vector<Member> island() const = 0;
  [[nodiscard]] virtual const Membership& membership() const = 0;
  /// True when `a` and `b`, both in the island, report a link to each other.
  [[nodiscard]] virtual bool linked(BootId a, BootId b) const = 0;

  /// The island's common clock: this node's wall clock corrected towards the island's median. Never
  /// goes backwards.
  [[nodiscard]] virtual Timestamp cluster_time(Now now) const = 0;

  /// Queues a message on the link to `to`; false when it is not connected.  Messages above
  /// max_payload are an error of the caller (assertion).
  virtual bool send(BootId to, ServiceId service, Lane lane, Bytes payload) = 0;
  /// Bytes queued on the link and not yet taken by the socket.  A caller that streams watches this
  /// and stops streaming to a slow peer (which then catches up later) instead of letting it grow.
  [[nodiscard]] virtual std::size_t queued(BootId to) const = 0;

  using Reply = std::function<void(Now, Result<std::string>)>;
  using Handler = std::function<Result<std::string>(Now, const Member& caller, std::string_view)>;
  /// A named call with a deadline.  `reply` runs exactly once: with the answer, the handler's
  /// error, "no such call", "not connected", or "timed out".
  virtual void call(Now now, BootId to, std::string_view name, std::string request,
                    Duration deadline, Reply reply) = 0;
  virtual void handle(std::string name, Handler handler) = 0;

  /// `listener` must outlive the fabric or be replaced by nullptr.
  virtual void attach(ServiceId service, Service* listener) = 0;

  static constexpr std::size_t max_payload = std::size_t{1} << 20;
};

}  // namespace muster::node
