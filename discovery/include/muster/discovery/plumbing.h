// SPDX-License-Identifier: MIT
//
// How a topology connects: an interface that the node implements, and that a program with a
// transport of its own may implement instead.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <string_view>

#include "muster/discovery/peer.h"
#include "muster/discovery/result.h"
#include "muster/discovery/time.h"

namespace muster::discovery {

/// Why a dial failed.  A change from one to another is a change of state and worth a line in the
/// log.
enum class DialProblem {
  none,
  refused,
  timed_out,
  unreachable,
  unresolved,      ///< The host name has no address.
  not_registered,  ///< The host's port mapper does not know the name.
  wrong_cookie,
  other_cluster,
  name_form,            ///< Short names and long names do not mix.
  not_part_of_network,  ///< libcluster's `ignored`: the transport is off.
  other,
};
[[nodiscard]] std::string_view reason_of(
    DialProblem problem);  ///< "refused", "timed out", "wrong cookie" ...

/// How a dial ended.  `detail` says where and what: "127.0.0.1:4370".
struct DialOutcome {
  DialProblem problem = DialProblem::none;
  std::string detail = {};

  [[nodiscard]] bool ok() const { return problem == DialProblem::none; }
  /// "refused (127.0.0.1:4370)"
  [[nodiscard]] std::string text() const;
  /// From an error of the operating system or of Asio.
  static DialOutcome failed(const Error& error);
};

/// Threads: called on the executor of the topologies only; completions may come on any thread, also
/// before the call returns, each exactly once.  After the owner's stop() completions are ignored.
class Plumbing {
 public:
  using Done = std::function<void(DialOutcome)>;

  virtual ~Plumbing() = default;
  /// Ends within `within`, by a time-out at the latest.  ok also where the link was there already.
  virtual void connect(const Peer& peer, Duration within, Done done) = 0;
  virtual void disconnect(const NodeName& name, Done done) = 0;
  /// Everybody that is linked now, whoever asked for it.
  [[nodiscard]] virtual std::set<NodeName> list_nodes() = 0;
};

}  // namespace muster::discovery
