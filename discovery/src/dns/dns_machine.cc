// SPDX-License-Identifier: MIT
#include "dns/dns_machine.h"

#include <algorithm>
#include <cassert>
#include <set>

namespace muster::discovery {
namespace {

using namespace std::chrono_literals;

constexpr Duration soonest_by_ttl = 1s;
constexpr Duration first_retry = 500ms;
constexpr int empty_answers_that_count = 2;

}  // namespace

DnsMachine::DnsMachine(Options options, const StrategyContext& context, StrategySink& sink)
    : options_(std::move(options)),
      self_(context.self),
      sink_(sink),
      seed_(context.seed),
      retry_({.first = std::min(first_retry, options_.polling_interval),
              .most = options_.polling_interval}) {}

void DnsMachine::wake(Now now) {
  if (!asked_ && now.mono >= next_) ask(now);
}

void DnsMachine::ask(Now now) {
  ++counters_["lookups"];
  next_ = never;
  asked_at_ = now.mono;
  asked_ = ++last_question_;
  sink_.ask(*asked_, options_.question);
}

void DnsMachine::answer(Now now, QuestionId id, const Answer& answer) {
  const auto* looked_up = std::get_if<LookedUp>(&answer);
  if (!looked_up || asked_ != id) return;
  asked_.reset();
  Pass pass;
  switch (looked_up->kind) {
    case LookedUp::Kind::found:
      pass = found(*looked_up);
      break;
    case LookedUp::Kind::no_such_name:
    case LookedUp::Kind::no_records:
      pass = empty(*looked_up);
      break;
    case LookedUp::Kind::failed:
      pass = failed(looked_up->reason);
  }
  pass.took = now.mono - asked_at_;
  next_ = after(now.mono, wait_after(*looked_up));
  sink_.report(std::move(pass));
}

Pass DnsMachine::found(const LookedUp& answer) {
  counters_["records_skipped"] += answer.skipped;
  PeerSet peers;
  std::set<std::string> targets;
  std::size_t usable = 0;
  const auto add = [&](const std::string& host, const std::string& address, std::uint16_t port) {
    auto name = NodeName::parse(options_.node_basename + "@" + host);
    if (!name) {
      ++counters_["records_skipped"];
      return;
    }
    ++usable;
    if (*name != self_) peers.insert({.name = *name, .address = address, .port = port});
  };
  for (const std::string& address : answer.addresses) add(address, "", 0);
  for (const auto& service : answer.services) {
    if (!targets.insert(service.target).second) continue;  // The best record of each counts.
    const bool is_complete = options_.use_ports && service.port != 0 && !service.addresses.empty();
    add(service.target, is_complete ? service.addresses.front() : "",
        is_complete ? service.port : std::uint16_t{0});
  }
  if (usable == 0)
    return failed("no record of " + options_.question.name + " can be the host of a node");
  empty_answers_ = 0;
  retry_.reset();
  return Pass::list(std::move(peers));
}

Pass DnsMachine::empty(const LookedUp& answer) {
  ++counters_["empty_answers"];
  retry_.reset();
  empty_answers_ = std::min(empty_answers_ + 1, empty_answers_that_count);
  if (empty_answers_ == empty_answers_that_count) return Pass::list({});
  return Pass::unknown(answer.reason + "; that counts once it is said twice");
}

Pass DnsMachine::failed(std::string reason) {
  ++counters_["failed_lookups"];
  empty_answers_ = 0;
  return Pass::unknown(std::move(reason));
}

Duration DnsMachine::wait_after(const LookedUp& answer) {
  const Duration interval = options_.polling_interval;
  if (answer.kind == LookedUp::Kind::failed) return retry_.next(++seed_ * 0x9E3779B97F4A7C15u);
  if (answer.kind != LookedUp::Kind::found || answer.ttl <= Duration::zero()) return interval;
  const Duration soonest = std::max(interval / 2, std::min(soonest_by_ttl, interval));
  return std::clamp(answer.ttl, soonest, interval);
}

void DnsMachine::check_invariants() const {
  assert(asked_.has_value() == (next_ == never));  // One question or one wake-up, never both.
  assert(empty_answers_ <= empty_answers_that_count);
}

}  // namespace muster::discovery
