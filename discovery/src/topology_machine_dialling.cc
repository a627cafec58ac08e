// SPDX-License-Identifier: MIT
// The other half of topology_machine.h: keeps listed peers linked and cuts those that nobody lists
// any more.
#include <algorithm>
#include <cassert>

#include "muster/discovery/settings.h"
#include "muster/discovery/topology_machine.h"

namespace muster::discovery {
namespace {

constexpr Duration grace = std::chrono::seconds(1);  // For plumbing that answers late.

}  // namespace

void TopologyMachine::links_changed(Now now) { reconcile(now); }

void TopologyMachine::wake(Now now) {
  expire_attempts(now);
  if (now.mono >= next_wake()) reconcile(now);
}

Instant TopologyMachine::next_wake() const {
  Instant next = targets_.empty() && unwanted_.empty() ? never : next_check_;
  const bool may_dial = attempts_.size() < options_.most_dials;
  for (const auto& [name, target] : targets_) {
    if (target.standing != Standing::linked && may_dial && !busy_.contains(name) &&
        !is_paused(name))
      next = std::min(next, target.next_dial);
    next = std::min(next, target.remind_at);
  }
  for (const auto& [unused, attempt] : attempts_)
    next = std::min(next, after(attempt.started, options_.dial_deadline + grace));
  return next;
}

void TopologyMachine::reconcile(Now now) {
  next_check_ = after(now.mono, options_.check_every);
  const Names linked = sink_.list_nodes();
  for (auto& [name, target] : targets_) look_at(now, name, target, linked);
  cut_unwanted(now, linked);
}

void TopologyMachine::look_at(Now now, const NodeName& name, Target& target, const Names& linked) {
  if (linked.contains(name)) {
    if (target.standing == Standing::linked) return;
    // Somebody else's dial, or the peer's, was faster.
    if (target.standing == Standing::failing)
      sink_.note(topology_of(name), Level::info, "connected to " + name.text());
    target.standing = Standing::linked;
    target.left = false;
    target.since = now.mono;
    target.remind_at = never;
    return;
  }
  if (target.standing == Standing::linked) {
    // A link that held starts afresh; one that breaks at once must not be redialled in a circle.
    const bool held = now.mono - target.since >= options_.redial.most;
    if (held) target.backoff.reset();
    target.next_dial = target.left ? after(now.mono, options_.dial_who_left_every)
                       : held      ? now.mono
                                   : after(target.since, target.backoff.next(random_()));
    target.standing = Standing::fresh;
    target.since = now.mono;
    sink_.note(topology_of(name), Level::debug, "no longer connected to " + name.text());
  }
  if (now.mono >= target.remind_at) {
    target.remind_at = after(now.mono, options_.remind_every);
    if (!is_paused(name))
      sink_.note(
          topology_of(name), Level::warn,
          "still unable to connect to " + name.text() + ": " + target.last_failure.text() +
              ", for " +
              duration_text(std::chrono::floor<std::chrono::minutes>(now.mono - target.since)));
  }
  if (now.mono >= target.next_dial && !busy_.contains(name) && !is_paused(name))
    dial(now, name, target);
}

void TopologyMachine::dial(Now now, const NodeName& name, Target& target) {
  if (attempts_.size() >= options_.most_dials) return;  // The next result makes room.
  target.dial = begin({.name = name, .topology = topology_of(name), .started = now.mono});
  sink_.connect(*target.dial, target.peer, options_.dial_deadline);
}

AttemptId TopologyMachine::begin(Attempt attempt) {
  busy_.insert(attempt.name);
  attempts_[++last_attempt_] = std::move(attempt);
  return last_attempt_;
}

std::optional<TopologyMachine::Attempt> TopologyMachine::finish(AttemptId id) {
  auto found = attempts_.extract(id);
  if (found.empty()) return std::nullopt;  // Given up meanwhile.
  busy_.erase(found.mapped().name);
  return std::move(found.mapped());
}

void TopologyMachine::connected(Now now, AttemptId id, const DialOutcome& outcome) {
  const bool others_wait = attempts_.size() >= options_.most_dials;
  const auto attempt = finish(id);
  if (!attempt) return;
  tell(now, *attempt, outcome);
  const auto it = targets_.find(attempt->name);
  const bool is_current = it != targets_.end() && it->second.dial == id;
  if (is_current) dial_ended(now, *attempt, it->second, outcome);
  // Not always: plumbing may list the new link a moment later than it tells of it.
  if (others_wait || !is_current) reconcile(now);
}

void TopologyMachine::dial_ended(Now now, const Attempt& attempt, Target& target,
                                 const DialOutcome& outcome) {
  target.dial.reset();
  if (!outcome.ok()) {
    dial_failed(now, attempt, target, outcome);
    return;
  }
  sink_.note(attempt.topology, Level::info, "connected to " + attempt.name.text());
  target.standing = Standing::linked;
  target.left = false;
  target.since = now.mono;
  target.remind_at = never;
}

void TopologyMachine::dial_failed(Now now, const Attempt& attempt, Target& target,
                                  const DialOutcome& outcome) {
  if (target.left) {
    target.next_dial = after(now.mono, options_.dial_who_left_every);
    return;
  }
  const bool news =
      target.standing != Standing::failing || target.last_failure.problem != outcome.problem;
  if (target.standing != Standing::failing) target.since = now.mono;
  target.standing = Standing::failing;
  target.last_failure = outcome;
  target.next_dial = after(now.mono, target.backoff.next(random_()));
  if (!news) return;
  target.remind_at = after(now.mono, options_.remind_every);
  sink_.note(attempt.topology, Level::warn,
             "unable to connect to " + attempt.name.text() + ": " + outcome.text());
}

void TopologyMachine::cut_unwanted(Now now, const Names& linked) {
  std::erase_if(unwanted_, [&](const auto& entry) {
    return !linked.contains(entry.first) && !busy_.contains(entry.first);
  });
  for (auto& [name, unwanted] : unwanted_) {
    if (busy_.contains(name) || now.mono < unwanted.next_try) continue;
    const AttemptId id = begin(
        {.name = name, .topology = unwanted.topology, .disconnects = true, .started = now.mono});
    sink_.disconnect(id, name);
  }
}

void TopologyMachine::disconnected(Now now, AttemptId id, const DialOutcome& outcome) {
  const auto attempt = finish(id);
  if (!attempt) return;
  tell(now, *attempt, outcome);
  const std::string& name = attempt->name.text();
  const auto it = unwanted_.find(attempt->name);
  if (outcome.ok()) {
    sink_.note(attempt->topology, Level::info, "disconnected from " + name);
    if (it != unwanted_.end()) unwanted_.erase(it);
    if (targets_.contains(attempt->name)) reconcile(now);  // Listed again meanwhile.
    return;
  }
  if (it == unwanted_.end()) return;
  Unwanted& unwanted = it->second;
  unwanted.next_try = after(now.mono, unwanted.backoff.next(random_()));
  if (std::exchange(unwanted.failed, true)) return;
  sink_.note(attempt->topology, Level::warn,
             "unable to disconnect from " + name + ": " + outcome.text());
}

void TopologyMachine::expire_attempts(Now now) {
  std::vector<std::pair<AttemptId, bool>> late;
  for (const auto& [id, attempt] : attempts_)
    if (now.mono >= after(attempt.started, options_.dial_deadline + grace))
      late.emplace_back(id, attempt.disconnects);
  const DialOutcome outcome{DialProblem::timed_out, "the transport did not answer"};
  for (const auto& [id, disconnects] : late)
    disconnects ? disconnected(now, id, outcome) : connected(now, id, outcome);
}

void TopologyMachine::tell(Now now, const Attempt& attempt, const DialOutcome& outcome) {
  const ConnectEvent event{
      .what = attempt.disconnects ? ConnectEvent::What::disconnect : ConnectEvent::What::connect,
      .ok = outcome.ok(),
      .node = attempt.name,
      .topology = attempt.topology,
      .reason = std::string(reason_of(outcome.problem)),
      .duration = now.mono - attempt.started};
  const auto topology = topologies_.find(attempt.topology);
  if (topology != topologies_.end())
    ++topology->second.counters[std::string(attempt.disconnects ? "disconnects" : "connects") +
                                (event.ok ? "_ok" : "_failed")];
  sink_.happened(event);
}

bool TopologyMachine::is_paused(const NodeName& name) const {
  return std::ranges::all_of(topologies_, [&](const auto& entry) {
    return entry.second.paused || !entry.second.listed.contains(name);
  });
}

std::string TopologyMachine::topology_of(const NodeName& name) const {
  for (const auto& [topology, state] : topologies_)
    if (state.listed.contains(name)) return topology;
  return {};
}

}  // namespace muster::discovery
