// SPDX-License-Identifier: MIT
#include "kubernetes/kubernetes_machine.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace muster::discovery {
namespace {

using namespace std::chrono_literals;
using kubernetes::NamespaceMachine;
using kubernetes::Naming;
using kubernetes::Resource;
using Standing = kubernetes::Member::Standing;

constexpr Duration gather_for = 20ms;  // Events that come together make one pass.

bool is_ipv6(std::string_view address) { return address.find(':') != std::string_view::npos; }

}  // namespace

/// One namespace, with questions numbered so that their answers find it.
class KubernetesMachine::Space : private NamespaceMachine::Owner {
 public:
  Space(KubernetesMachine& all, std::size_t index, NamespaceMachine::Options options,
        std::uint64_t seed)
      : all_(all), last_question_(index), machine(std::move(options), seed, *this) {}

 private:
  QuestionId ask(Question question) override {
    last_question_ += all_.spaces_.size();
    all_.sink_.ask(last_question_, std::move(question));
    return last_question_;
  }
  void withdraw(QuestionId id) override { all_.sink_.withdraw(id); }
  void listed(Now now, Duration took) override { all_.report_list(now, took); }
  void changed(Now now) override {
    all_.report_at_ = std::min(all_.report_at_, after(now.mono, gather_for));
  }
  void failed(Now, std::string reason, Duration took) override {
    all_.report_failure(std::move(reason), took);
  }
  void note(Level level, std::string text) override { all_.sink_.note(level, std::move(text)); }
  void count(std::string_view what, std::uint64_t by) override {
    if (by > 0) all_.counters_[std::string(what)] += by;
  }

  KubernetesMachine& all_;
  QuestionId last_question_;

 public:
  NamespaceMachine machine;
};

KubernetesMachine::KubernetesMachine(const Options& options, const StrategyContext& context,
                                     StrategySink& sink)
    : options_(options), self_(context.self), sink_(sink) {
  NamespaceMachine::Options reading = options.reading;
  reading.account = context.directory / reading.account;  // As it is where absolute.
  const std::vector<std::string> the_accounts{""};
  for (const std::string& space : options.spaces.empty() ? the_accounts : options.spaces) {
    reading.space = space;
    spaces_.push_back(
        std::make_unique<Space>(*this, spaces_.size(), reading, context.seed + spaces_.size()));
  }
}

KubernetesMachine::~KubernetesMachine() = default;

void KubernetesMachine::start(Now now) {
  for (const auto& space : spaces_) space->machine.start(now);
}

void KubernetesMachine::wake(Now now) {
  for (const auto& space : spaces_) space->machine.wake(now);
  if (now.mono >= next_report()) report_list(now, Duration::zero());
}

Instant KubernetesMachine::next_wake() const {
  Instant next = next_report();
  for (const auto& space : spaces_) next = std::min(next, space->machine.next_wake());
  return next;
}

Instant KubernetesMachine::next_report() const {
  if (!all_known()) return never;  // The list that ends this reports.
  Instant next = std::min(report_at_, repeat_at_);
  for (const auto& [peer, until] : leaves_until_) next = std::min(next, until);
  return next;
}

void KubernetesMachine::answer(Now now, QuestionId id, const Answer& answer) {
  spaces_[id % spaces_.size()]->machine.answer(now, id, answer);
}

bool KubernetesMachine::all_known() const {
  return std::ranges::all_of(spaces_, [](const auto& space) { return space->machine.is_known(); });
}

void KubernetesMachine::report_list(Now now, Duration took) {
  if (!all_known()) return;
  report_at_ = never;
  repeat_at_ = never;
  PeerSet peers = find_peers(now);
  std::set<NodeName> names;
  for (const Peer& peer : peers) names.insert(peer.name);
  const bool is_confirming = std::ranges::any_of(
      spaces_, [](const auto& space) { return space->machine.is_confirming(); });
  // Where a list is to be confirmed, a repetition of the doubted one proves nothing.
  if (names != listed_ && !is_confirming)
    repeat_at_ = after(now.mono, options_.reading.polling_interval);
  listed_ = std::move(names);
  explain(peers);
  Pass pass = Pass::list(std::move(peers));
  pass.took = took;
  sink_.report(std::move(pass));
}

void KubernetesMachine::report_failure(std::string reason, Duration took) {
  Pass pass = Pass::unknown(std::move(reason));
  pass.took = took;
  sink_.report(std::move(pass));
}

PeerSet KubernetesMachine::find_peers(Now now) {
  std::map<NodeName, Peer> peers;
  std::set<NodeName> leaving;
  std::uint64_t unnamed = 0;
  for (const auto& [pod, member] : one_member_per_pod()) {
    const auto peer = kubernetes::peer_of(options_.naming, *member);
    if (!peer) ++unnamed;
    if (!peer || peer->name == self_) continue;
    if (member->standing == Standing::leaving) leaving.insert(peer->name);
    if (counts(now, *peer, *member)) peers.try_emplace(peer->name, *peer);
  }
  counters_["unnamed"] = unnamed;
  std::erase_if(leaves_until_, [&](const auto& entry) {
    return !leaving.contains(entry.first) || !peers.contains(entry.first);
  });
  PeerSet found;
  for (auto& [name, peer] : peers) found.insert(std::move(peer));
  return found;
}

/// Two slices of one dual-stack service, or two services, tell of the same pod twice.
std::map<std::string, const kubernetes::Member*> KubernetesMachine::one_member_per_pod() {
  std::map<std::string, const Member*> pods;
  for (const auto& space : spaces_)
    for (const auto& [object, members] : space->machine.objects())
      for (const Member& member : members) {
        const auto [it, is_new] = pods.try_emplace(member.space + "/" + member.pod, &member);
        if (!is_new && is_better(member, *it->second)) it->second = &member;
      }
  return pods;
}

bool KubernetesMachine::is_better(const Member& a, const Member& b) const {
  const bool wants_name = options_.naming.mode == Naming::Mode::hostname;
  // Nodes talk the family that this one has in its name; else IPv4.
  const bool wants_ipv6 = is_ipv6(self_.host());
  const auto rank = [&](const Member& member) {
    return std::tuple(wants_name && member.hostname.empty(), member.standing,
                      is_ipv6(member.ip) != wants_ipv6);
  };
  return rank(a) < rank(b);
}

/// Whether the pod is, or stays, a peer.
bool KubernetesMachine::counts(Now now, const Peer& peer, const Member& member) {
  if (member.standing == Standing::ready) return true;
  if (!listed_.contains(peer.name)) return false;
  if (member.standing == Standing::not_ready) return true;
  const auto [until, is_new] = leaves_until_.try_emplace(peer.name, after(now.mono, member.grace));
  return now.mono < until->second;
}

/// An answer that is valid and yet not what anybody wants: said once, where it begins.
void KubernetesMachine::explain(const PeerSet& peers) {
  const Resource resource = options_.reading.resource;
  std::string text;
  const bool holds_nothing = std::ranges::all_of(
      spaces_, [](const auto& space) { return space->machine.objects().empty(); });
  if (holds_nothing)
    text = "no " + std::string(to_string(resource)) + " match the selector '" +
           options_.reading.selector + "'" +
           (resource == Resource::pods ? ""
                                       : "; it is compared with the labels of the Service, not "
                                         "with those of its pods");
  else if (peers.empty() && counters_["unnamed"] > 0 &&
           options_.naming.mode == Naming::Mode::hostname)
    text = "no pod has a host name: a StatefulSet gives them, or hostname and subdomain of the pod";
  if (text != explained_ && !text.empty()) sink_.note(Level::warn, text);
  explained_ = std::move(text);
}

void KubernetesMachine::check_invariants() const {
  for (const auto& space : spaces_) space->machine.check_invariants();
  assert(!listed_.contains(self_));
  for ([[maybe_unused]] const auto& [peer, until] : leaves_until_) assert(listed_.contains(peer));
}

}  // namespace muster::discovery
