// SPDX-License-Identifier: MIT
//
// Who is silent.  Peers are probed in rounds of random order; a link that is not idle is passed
// over.  The first to suspect a peer tells everybody, within a budget, and asks three of them; who
// was told probes it too, and tells the accuser when it hears nothing either.  Each node judges its
// own links alone: watch.h has the deadlines.
#include <algorithm>
#include <utility>

#include "machine/node_machine_impl.h"

namespace muster::node {
namespace {

/// What a node spends on probing does not grow with the cluster.
constexpr Duration probe_spacing = std::chrono::milliseconds(10);
/// After a stall, until all that came meanwhile is read.
constexpr Duration reading_takes = std::chrono::milliseconds(5);
/// A busy link is probed now and then all the same: round trips feed clock and deadlines.
constexpr int busy_rounds = 16;

std::uint32_t milliseconds(Duration duration) {
  const auto count = std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(count, 0, 0x7fffffff));
}

template <class Choice, class Random>
void shuffle(std::vector<Choice>& choices, Random random) {
  for (std::size_t left = choices.size(); left > 1; --left)
    std::swap(choices[left - 1], choices[random() % left]);
}

}  // namespace

Watch::Limits NodeMachine::Impl::limits(Now now) const {
  return {.silent_after = options_.silent_after, .strain = strain_.at(now.mono)};
}

// Two rounds may lie between two probes of one peer.
Duration NodeMachine::Impl::cycle() const {
  return std::max(options_.probe_every / 2, probe_spacing * static_cast<int>(connected_.size()));
}

void NodeMachine::Impl::shuffle_round() {
  round_.clear();
  for (const auto& [boot, id] : connected_) round_.push_back(id);
  shuffle(round_, [this] { return random(); });
}

void NodeMachine::Impl::wake_probes(Now now) {
  if (now.mono < probe_at_) return;
  if (round_.empty()) shuffle_round();
  if (round_.empty()) {
    probe_at_ = never;
    return;
  }
  const Link* const next = find(round_.back());
  round_.pop_back();
  const Duration round = cycle();
  if (next != nullptr && next->connected()) {
    // More on a silent link lets TCP find sooner what it lost.
    const Duration rest = next->watch.silent() ? options_.probe_every : round * busy_rounds;
    const bool idle = !next->watch.silent() && now.mono - next->watch.last_heard() >= round;
    const bool due = now.mono - next->watch.last_probed() >= rest;
    if (idle || due) probe(now, links_.at(next->id));
  }
  // A little chance keeps a mesh's probes from marching in step.
  const Duration step = round / std::max(1, static_cast<int>(connected_.size()));
  const Duration chance(random() % static_cast<std::uint64_t>(step.count() / 4 + 1));
  probe_at_ = now.mono + step - step / 8 + chance;
}

void NodeMachine::Impl::probe(Now now, Link& link) {
  ++counters_.probes;
  const bool first = !link.watch.silent();
  wire::Control message;
  message.mutable_probe()->set_id(link.watch.probed(now));
  message.mutable_probe()->set_links(states_.digest());
  message.mutable_probe()->set_membership(book_.digest());
  transmit(link, message);
  if (first) judge_again(now, link);
}

void NodeMachine::Impl::on_probe(Now now, Link& link, const wire::Probe& message) {
  constexpr int patience = 4;
  constexpr int rest = 40;
  wire::Control reply;
  reply.mutable_probe_reply()->set_id(message.id());
  reply.mutable_probe_reply()->set_wall_microseconds(to_wire(now.wall));
  reply.mutable_probe_reply()->set_incarnation(incarnation_);
  reply.mutable_probe_reply()->set_membership(book_.digest());
  transmit(link, reply);
  link.membership = message.membership();
  if (message.links() == states_.digest() && message.membership() == book_.digest()) {
    link.digest_differs = 0;
  } else if (++link.digest_differs >= patience) {
    link.digest_differs = -rest;
    repair(link);
  }
}

void NodeMachine::Impl::on_probe_reply(Now now, Link& link, const wire::ProbeReply& message) {
  link.membership = message.membership();
  const Instant sent = link.watch.answered(now, message.id());
  if (sent == never) return;
  link.incarnation = std::max(link.incarnation, message.incarnation());
  clock_.sample(link.peer.boot, sent, now.mono, from_wire(message.wall_microseconds()));
  if (message.id() == 1) clock_.steer_if_few(now);
}

// Those whom we asked and hear: the others may be cut off from us as the suspect is.
std::size_t NodeMachine::Impl::able_to_confirm(const Link& link) const {
  return static_cast<std::size_t>(
      std::ranges::count_if(link.watch.suspicion.asked, [&](BootId boot) {
        const Link* const witness = find(boot);
        return witness != nullptr && witness->watch.last_heard() > link.watch.since();
      }));
}

void NodeMachine::Impl::judge(Now now, Link& link) {
  if (!link.watch.silent()) {
    link.accused_by.clear();
    if (link.watch.probes() == 0) probe(now, link);
    return;
  }
  if (resumed_ != Instant() && now.mono < resumed_ + reading_takes)
    return link_agenda_.set(link.id, resumed_ + reading_takes);
  const Watch::Limits now_limits = limits(now);
  const Duration silence = now.mono - link.watch.since();
  if (silence >= link.watch.deadline(now_limits, able_to_confirm(link))) {
    const auto heard = milliseconds(now.mono - link.watch.last_heard());
    const std::size_t confirmed = link.watch.suspicion.confirmers.size();
    if (link.evidence.empty() && confirmed > 0)
      link.evidence = "; " + std::to_string(confirmed) + " more hear nothing of it";
    const std::string what = "nothing heard for " + std::to_string(heard) + " ms" + link.evidence;
    return down(now, link, DownReason::silent, what);
  }
  if (silence >= link.watch.suspect_after(now_limits) && !link.watch.suspected())
    suspect(now, link);
  judge_again(now, link);
}

void NodeMachine::Impl::judge_again(Now now, Link& link) {
  const Watch::Limits now_limits = limits(now);
  const Duration next = link.watch.suspected()
                            ? link.watch.deadline(now_limits, able_to_confirm(link))
                            : link.watch.suspect_after(now_limits);
  link_agenda_.set(link.id, std::max(link.watch.since() + next, now.mono));
}

void NodeMachine::Impl::suspect(Now now, Link& link) {
  ++counters_.suspicions;
  link.watch.suspect();
  link.evidence.clear();
  Suspicion& suspicion = link.watch.suspicion;
  suspicion.incarnation = link.incarnation;
  for (const LinkId id : whom_to_tell(now, link)) {
    Link& to = links_.at(id);
    const bool witness = states_.linked(to.peer.boot, link.peer.boot) && !to.watch.silent();
    const bool asked = witness && suspicion.asked.size() < Suspicion::enough;
    if (asked) suspicion.asked.push_back(to.peer.boot);
    accuse(now, link, to, asked ? Accusation::asked : Accusation::told);
  }
  for (const BootId accuser : std::exchange(link.accused_by, {})) {
    if (Link* const to = find(accuser)) accuse(now, link, *to, Accusation::confirmed);
  }
  probe(now, link);
}

// Everybody, or a few where others have spread the word already or this node suspects too many:
// then it may be the one that is cut off.
std::vector<LinkId> NodeMachine::Impl::whom_to_tell(Now now, Link& link) {
  std::vector<LinkId> others;
  for (const auto& [boot, id] : connected_) {
    if (id != link.id) others.push_back(id);
  }
  shuffle(others, [this] { return random(); });
  std::stable_partition(others.begin(), others.end(),  // clang 14 cannot do the ranges' one
                        [this](LinkId id) { return !links_.at(id).watch.silent(); });
  if (now.mono - spread_since_ > std::chrono::seconds(1)) {
    spread_since_ = now.mono;
    spread_ = 0;
  }
  const bool known = !link.accused_by.empty();
  const bool spent = spread_ + others.size() > 3 * connected_.size() + 8;
  if ((known || spent) && others.size() > Suspicion::enough) others.resize(Suspicion::enough);
  spread_ += others.size();
  return others;
}

void NodeMachine::Impl::accuse(Now now, const Link& link, Link& to, Accusation how) {
  wire::Control message;
  wire::Suspicion& suspicion = *message.mutable_suspicion();
  suspicion.set_suspect(link.peer.boot.value);
  suspicion.set_accuser(self_.boot.value);
  suspicion.set_incarnation(link.incarnation);
  suspicion.set_silent_milliseconds(milliseconds(now.mono - link.watch.since()));
  suspicion.set_asked(how == Accusation::asked);
  suspicion.set_confirms(how == Accusation::confirmed);
  transmit(to, message);
}

void NodeMachine::Impl::on_suspicion(Now now, Link& link, const wire::Suspicion& message) {
  const BootId suspect{message.suspect()};
  const BootId accuser{message.accuser()};
  if (suspect == self_.boot) return contradict(now, link, message);
  if (accuser != link.peer.boot) return;  // Told once, by the accuser alone.
  Link* const accused = find(suspect);
  if (accused == nullptr) return;
  if (message.asked()) {
    wire::Control evidence;
    evidence.mutable_evidence()->set_suspect(suspect.value);
    evidence.mutable_evidence()->set_accuser(accuser.value);
    evidence.mutable_evidence()->set_heard_milliseconds_ago(
        milliseconds(now.mono - accused->watch.last_heard()));
    transmit(link, evidence);
    wire::Control warning;
    *warning.mutable_suspicion() = message;
    transmit(*accused, warning);
  }
  if (message.incarnation() < accused->incarnation) return;  // It has contradicted that already.
  const auto silent_for = std::chrono::milliseconds(message.silent_milliseconds());
  if (accused->watch.last_heard() >= now.mono - silent_for) return;
  if (accused->watch.suspected()) {
    if (!message.confirms()) accuse(now, *accused, link, Accusation::confirmed);
  } else {
    if (accused->accused_by.size() < Suspicion::enough) accused->accused_by.push_back(accuser);
    if (!accused->watch.silent()) probe(now, *accused);
    accused->watch.accused(now, silent_for);
  }
  accused->watch.suspicion.confirm(accuser);
  judge_again(now, *accused);
}

// We are alive: whoever told us passes that on to the accuser, and we tell it ourselves.
void NodeMachine::Impl::contradict(Now now, Link& link, const wire::Suspicion& message) {
  constexpr std::uint32_t most = 0x7fffffff;
  if (message.incarnation() >= incarnation_)
    incarnation_ = std::min(message.incarnation(), most - 1) + 1;
  wire::Control evidence;
  evidence.mutable_evidence()->set_suspect(self_.boot.value);
  evidence.mutable_evidence()->set_accuser(message.accuser());
  evidence.mutable_evidence()->set_incarnation(incarnation_);
  transmit(link, evidence);
  if (Link* const doubter = find(BootId{message.accuser()}); doubter != nullptr)
    probe(now, *doubter);
}

void NodeMachine::Impl::on_evidence(Now now, Link& link, const wire::Evidence& message) {
  const BootId suspect{message.suspect()};
  const bool first_hand = suspect == link.peer.boot;
  if (first_hand) link.incarnation = std::max(link.incarnation, message.incarnation());
  if (BootId{message.accuser()} != self_.boot) {
    Link* const accuser = find(BootId{message.accuser()});
    if (!first_hand || accuser == nullptr) return;
    wire::Control passed_on;
    *passed_on.mutable_evidence() = message;
    return transmit(*accuser, passed_on);
  }
  Link* const accused = find(suspect);
  if (accused == nullptr || accused == &link || !accused->watch.suspected()) return;
  const auto ago = std::chrono::milliseconds(message.heard_milliseconds_ago());
  // Its own word counts by its number, however late it comes; a witness's by the time.
  const bool refutes = message.incarnation() > 0
                           ? message.incarnation() > accused->watch.suspicion.incarnation
                           : now.mono - ago > accused->watch.since();
  accused->incarnation = std::max(accused->incarnation, message.incarnation());
  if (refutes) {
    accused->watch.suspicion.refuted = true;
    accused->evidence = "; " + link.peer.name.text() + " heard it " + std::to_string(ago.count()) +
                        " ms earlier, so only the link may be broken";
  }
  judge_again(now, *accused);
}

}  // namespace muster::node
