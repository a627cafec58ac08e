// SPDX-License-Identifier: MIT
// Passes in, wishes out.  topology_dialling.cc holds the other half of the class: wishes in, dials
// out.
#include "muster/discovery/topology_machine.h"

#include <algorithm>
#include <cassert>

namespace muster::discovery {
namespace {

std::string counted(std::size_t count, const char* what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

}  // namespace

TopologyMachine::TopologyMachine(Options options, TopologySink& sink)
    : options_(std::move(options)), sink_(sink), random_(options_.seed) {}

void TopologyMachine::add(const std::string& topology) {
  [[maybe_unused]] const bool added = topologies_.try_emplace(topology).second;
  assert(added);
}

void TopologyMachine::remove(const std::string& name) {
  const auto found = topologies_.find(name);
  assert(found != topologies_.end());
  const auto listed = std::move(found->second.listed);
  topologies_.erase(found);
  for (const auto& [peer, unused] : listed) refresh_target(Now{}, peer);
}

void TopologyMachine::pause(const std::string& topology, bool paused) {
  topologies_.at(topology).paused = paused;
}

void TopologyMachine::refresh(Now now, const std::string& topology) {
  for (const auto& [peer, unused] : topologies_.at(topology).listed) {
    Target& target = targets_.at(peer);
    target.backoff.reset();
    target.next_dial = now.mono;
  }
  reconcile(now);
}

void TopologyMachine::left(Now now, const NodeName& peer) {
  const auto found = targets_.find(peer);
  if (found == targets_.end()) return;
  Target& target = found->second;
  target.left = true;
  target.remind_at = never;
  target.next_dial = after(now.mono, options_.dial_who_left_every);
}

void TopologyMachine::pass(Now now, const std::string& name, Pass pass) {
  const auto found = topologies_.find(name);
  if (found == topologies_.end()) return;  // Its last words, after it was removed.
  Topology& topology = found->second;
  const bool was_unknown = topology.last == Pass::Kind::unknown;
  topology.last_at = now.mono;
  topology.took = pass.took;
  topology.last = pass.kind;
  if (pass.kind == Pass::Kind::unknown) {
    ++topology.counters["unknown_passes"];
    if (!was_unknown || topology.reason != pass.reason)
      sink_.note(name, Level::warn, "does not know its peers: " + pass.reason);
    topology.reason = std::move(pass.reason);
  } else {
    ++topology.counters[pass.kind == Pass::Kind::list ? "list_passes" : "empty_passes"];
    topology.reason.clear();
    take_list(now, name, topology, pass);
    if (was_unknown)
      sink_.note(name, Level::info,
                 "knows its peers again: " + counted(topology.listed.size(), "peer"));
  }
  reconcile(now);
}

void TopologyMachine::take_list(Now now, const std::string& name, Topology& topology, Pass& pass) {
  Names names;
  for (const Peer& peer : pass.peers)
    if (peer.name != options_.self && !peer.name.empty()) names.insert(peer.name);
  if (holds_back(name, topology, pass, names))
    topology.held = names;
  else {
    topology.held.reset();
    drop(now, name, topology, names, pass.disconnects);
  }
  for (const Peer& peer : pass.peers) {
    if (!names.contains(peer.name)) continue;
    Peer& listed = topology.listed[peer.name];
    // One pass may name a peer twice; the entry that has an address says more.
    if (!peer.address.empty() || listed.address.empty()) listed = peer;
    unwanted_.erase(peer.name);
    refresh_target(now, peer.name);
  }
}

bool TopologyMachine::holds_back(const std::string& name, Topology& topology, const Pass& pass,
                                 const Names& names) {
  if (!pass.disconnects || topology.listed.size() < 3) return false;
  const auto kept = static_cast<std::size_t>(std::ranges::count_if(
      topology.listed, [&](const auto& entry) { return names.contains(entry.first); }));
  const std::size_t dropped = topology.listed.size() - kept;
  if (dropped * 2 <= topology.listed.size()) return false;
  if (topology.held == names) return false;
  if (!topology.held)
    sink_.note(name, Level::warn,
               "this pass would drop " + std::to_string(dropped) + " of " +
                   counted(topology.listed.size(), "peer") +
                   "; it waits for a second, equal answer");
  ++topology.counters["held_back_passes"];
  return true;
}

void TopologyMachine::drop(Now now, const std::string& name, Topology& topology, const Names& keep,
                           bool disconnects) {
  std::vector<NodeName> dropped;
  for (const auto& [peer, unused] : topology.listed)
    if (!keep.contains(peer)) dropped.push_back(peer);
  for (const NodeName& peer : dropped) {
    topology.listed.erase(peer);
    refresh_target(now, peer);
    if (disconnects && !targets_.contains(peer))
      unwanted_.try_emplace(peer, Unwanted{.topology = name});
  }
}

/// Brings the target in line with what the topologies list: gone, new, or with a better address.
void TopologyMachine::refresh_target(Now now, const NodeName& name) {
  const Peer* best = nullptr;
  for (const auto& [unused, topology] : topologies_) {
    const auto listed = topology.listed.find(name);
    if (listed == topology.listed.end()) continue;
    if (!best || (best->address.empty() && !listed->second.address.empty())) best = &listed->second;
  }
  if (!best) {
    targets_.erase(name);
    return;
  }
  const auto [it, is_new] = targets_.try_emplace(name);
  Target& target = it->second;
  if (is_new) {
    target.backoff = Backoff(options_.redial);
    target.since = now.mono;
  }
  if (is_new || target.peer != *best) {  // A new address is a new chance.
    target.peer = *best;
    target.next_dial = now.mono;
  }
}

std::vector<TopologyStatus> TopologyMachine::status() const {
  std::vector<TopologyStatus> all;
  for (const auto& [name, topology] : topologies_) {
    TopologyStatus status{.name = name,
                          .last_pass = topology.last,
                          .unknown_reason = topology.reason,
                          .last_pass_at = topology.last_at,
                          .took = topology.took,
                          .paused = topology.paused,
                          .holds_back_drop = topology.held.has_value(),
                          .counters = topology.counters};
    for (const auto& [peer, listed] : topology.listed) {
      const Target& target = targets_.at(peer);
      PeerStatus line{.name = peer, .since = target.since};
      if (!listed.address.empty())
        line.address = listed.address + ":" + std::to_string(listed.port);
      if (target.standing == Standing::linked)
        line.state = PeerStatus::State::linked;
      else if (target.left)
        line.state = PeerStatus::State::left;
      else if (target.standing == Standing::failing)
        line.state = PeerStatus::State::failing;
      else if (target.dial)
        line.state = PeerStatus::State::dialling;
      if (target.standing == Standing::failing) line.reason = target.last_failure.text();
      status.peers.push_back(std::move(line));
    }
    all.push_back(std::move(status));
  }
  return all;
}

void TopologyMachine::check_invariants() const {
  std::size_t dials = 0;
  for (const auto& [name, target] : targets_) {
    assert(name != options_.self);
    assert(!unwanted_.contains(name));
    assert(!topology_of(name).empty());
    assert(target.peer.name == name);
    if (!target.dial) continue;
    ++dials;
    [[maybe_unused]] const auto attempt = attempts_.find(*target.dial);
    assert(attempt != attempts_.end() && attempt->second.name == name);
  }
  assert(dials <= options_.most_dials);
  assert(busy_.size() == attempts_.size());
  for (const auto& [unused, topology] : topologies_)
    for (const auto& [name, peer] : topology.listed) assert(targets_.contains(name));
}

std::string_view to_string(PeerStatus::State state) {
  switch (state) {
    case PeerStatus::State::waiting:
      return "waiting";
    case PeerStatus::State::dialling:
      return "dialling";
    case PeerStatus::State::linked:
      return "linked";
    case PeerStatus::State::failing:
      return "failing";
    case PeerStatus::State::left:
      return "left";
  }
  return "";
}

}  // namespace muster::discovery
