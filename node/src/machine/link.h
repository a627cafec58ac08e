// SPDX-License-Identifier: MIT
//
// One transport link of the node machine, and the wish to have one.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "machine/watch.h"
#include "muster/discovery/backoff.h"
#include "muster/node/node_machine.h"

namespace muster::node {

/// Life: transport (being dialled, or TLS under way) -> hello (waiting for the peer's) -> welcome
/// (waiting for the peer's) -> connected.
struct Link {
  enum class Stage { transport, hello, welcome, connected };

  LinkId id;
  bool dialled = false;
  NodeName expected;   ///< Whom we dialled.
  std::string remote;  ///< Of an accepted link, for messages.
  Stage stage = Stage::transport;
  Instant give_up = never;  ///< Until connected.
  Member peer;              ///< From its hello on.
  bool welcomed = false;    ///< Our welcome is sent.
  Instant spoke_at{};       ///< When our last word before connected() went out.
  std::shared_ptr<const Member>
      member;                    ///< The peer, once connected; outlives the link in callbacks.
  std::uint64_t connection = 0;  ///< Orders the connected ones.

  Watch watch;
  std::uint32_t incarnation = 0;   ///< Of the peer: how often it has contradicted a suspicion.
  std::vector<BootId> accused_by;  ///< Who told us of a suspicion of it; at most Suspicion::enough.
  std::string evidence;            ///< What others say of a silent peer, for the log.
  int digest_differs = 0;          ///< Probes in a row that showed another digest.

  bool told = false;             ///< All that was known when it came, and what is new since.
  std::uint64_t membership = 0;  ///< The peer's digest of the members, as it last said.
  bool holes = false;            ///< A cut swallowed frames: the stream is not whole any more.

  [[nodiscard]] const NodeName& name() const { return peer.name.empty() ? expected : peer.name; }
  [[nodiscard]] bool connected() const { return stage == Stage::connected; }
};

/// A node that we want to be linked to: asked for by connect(), or admitted and not linked.
struct Wish {
  Peer asked;      ///< As connect() named it.
  LinkId attempt;  ///< Under way; 0 = none.
  Backoff backoff{{.first = std::chrono::milliseconds(100), .most = std::chrono::seconds(10)}};
  std::vector<NodeMachine::ConnectDone> waiting;
};

}  // namespace muster::node
