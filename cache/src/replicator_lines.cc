// SPDX-License-Identifier: MIT
//
// Lines among the members: where a put may go, who names a new line, and what happens when two
// paths meet.
#include <fmt/format.h>

#include <algorithm>
#include <cassert>

#include "planted.h"
#include "replicator.h"
#include "wire_codec.h"

namespace muster::cache {
namespace {

constexpr Duration retry = std::chrono::milliseconds(50);
constexpr std::uint32_t hops_max = 8;
constexpr Duration longest_heal = std::chrono::seconds(30);

Healing taken(std::optional<Healing>& from) {
  Healing healing = std::move(*from);
  from.reset();
  return healing;
}

}  // namespace

bool Replicator::line_is_whole() const {
  if (replica_.path().empty() || !takes_part() || !admitted_on_line_) return false;
  return std::includes(view_.begin(), view_.end(), replica_.members().begin(),
                       replica_.members().end());
}

/// Among those that take part in this table.
std::optional<node::Member> Replicator::oldest_in_view() const {
  node::Member oldest = surroundings_.fabric.self();
  for (const auto& [boot, copy] : copies_) {
    if (!in_view(boot) || !copy.takes_part() || copy.apart) continue;
    if (copy.member.seniority() < oldest.seniority()) oldest = copy.member;
  }
  return oldest;
}

void Replicator::seek_line(Now now) {
  if (!takes_part()) return;
  const node::Member oldest = *oldest_in_view();
  if (oldest.boot == self()) {
    if (!line_is_whole()) name_line(now);
    return retry_pending(now);
  }
  if (line_asked_) return;
  const RemoteCopy& copy = copies_.at(oldest.boot);
  BootId to = oldest.boot;
  if (!copy.linked) {  // by a neighbour that is linked to it, or else by any
    to = {};
    for (const auto& [boot, neighbour] : copies_) {
      if (!neighbour.linked || !neighbour.takes_part()) continue;
      if (!to.valid() || surroundings_.fabric.linked(boot, oldest.boot)) to = boot;
    }
  }
  if (!to.valid()) {
    line_retry_ = now.mono + retry;
    return;
  }
  line_asked_ = true;
  wire::Ask question;
  question.set_kind(wire::Ask::LINE);
  to_wire(replica_.path(), *question.mutable_path());
  to_wire(replica_.members(), *question.mutable_members());
  ask(now, to, question, std::chrono::seconds(1),
      [this, of = oldest.boot](Now at, const wire::Answer* answer) {
        line_asked_ = false;
        if (answer != nullptr && answer->error().empty()) line_answered(at, of, *answer);
        if (line_is_whole()) return retry_pending(at);
        line_retry_ = at.mono + retry;
      });
}

void Replicator::line_answered(Now now, BootId of, const wire::Answer& answer) {
  Path path;
  RemoteCopy* copy = copy_of(of);
  if (copy == nullptr || !takes_part() || !from_wire(answer.path(), path)) return;
  copy->path = std::move(path);
  copy->members = from_wire(answer.members());
  meet(now, *copy, false);
}

void Replicator::name_line(Now now) {
  Line line;
  do {
    line.id = surroundings_.random();
  } while (line.id == 0);
  Path path = replica_.path();
  line.parent = path.empty() ? 0 : path.back().id;
  line.namer = surroundings_.fabric.self().seniority();
  std::set<BootId> members{self()};
  for (const auto& [boot, copy] : copies_) {
    if (in_view(boot) && copy.takes_part() && !copy.apart) members.insert(boot);
  }
  line.view = static_cast<std::uint32_t>(members.size());
  line.stamp = replica_.next_stamp(cluster(now));
  if (!path.empty()) line.stamp.time = std::max(line.stamp.time, path.back().stamp.time + 1);
  path.push_back(line);
  replica_.follow(std::move(path), std::move(members));
  admitted_on_line_ = true;
  announce();
}

void Replicator::answer_line(Now now, const node::Member& from, const wire::Ask& question) {
  wire::Answer reply;
  reply.set_id(question.id());
  if (!takes_part()) {
    reply.set_error("not ready");
    return answer(from.boot, reply);
  }
  const node::Member oldest = *oldest_in_view();
  if (oldest.boot != self() && question.hops() < hops_max) {
    const RemoteCopy& copy = copies_.at(oldest.boot);
    if (copy.linked && oldest.boot != from.boot) {
      wire::Ask forwarded = question;
      forwarded.set_hops(question.hops() + 1);
      return ask(now, oldest.boot, forwarded, std::chrono::seconds(1),
                 [this, to = from.boot, id = question.id()](Now, const wire::Answer* got) {
                   wire::Answer passed;
                   if (got != nullptr) passed = *got;
                   if (got == nullptr) passed.set_error("the oldest does not answer");
                   passed.set_id(id);
                   answer(to, passed);
                 });
    }
  }
  Path path;
  if (!from_wire(question.path(), path)) return;
  if (relate(replica_.path(), path) == Relation::equal) {
    if (replica_.add_members(from_wire(question.members()))) announce();
  }
  if (oldest.boot == self() && !line_is_whole()) name_line(now);
  to_wire(replica_.path(), *reply.mutable_path());
  to_wire(replica_.members(), *reply.mutable_members());
  answer(from.boot, reply);
}

/// Paths are compared before data, on every contact and whenever one changes.
void Replicator::meet(Now now, RemoteCopy& copy, bool contact) {
  switch (relate(replica_.path(), copy.path)) {
    case Relation::equal: {
      std::set<BootId> members = copy.members;
      if (copy.takes_part()) members.insert(copy.member.boot);
      if (takes_part()) members.insert(self());
      if (!replica_.path().empty() && replica_.add_members(members)) announce();
      if (copy.members.contains(self())) admitted_on_line_ = true;
      if (copy.apart) {
        copy.apart = false;
        announce();
      }
      if (copy.healing && !copy.healing->met) {
        copy.healing->met = true;
        copy.healing->ours = replica_.seen();
        copy.healing->theirs = copy.reported_seen;
      }
      if (healing_ && !healing_->met && !healing_->losers.contains(copy.member.boot)) {
        healing_->met = true;
        healing_->theirs = copy.reported_seen;
      }
      break;
    }
    case Relation::ours_shorter: {
      // Whoever is named by the first line of all has missed nothing that is older.
      const bool founder = copy.members.contains(self());
      if (replica_.path().empty() && readiness_ == Readiness::ready && !founder) {
        set_readiness(now, Readiness::starting, "an older table was found");
        return start_copying(now, copy.member.boot);
      }
      std::set<BootId> members = copy.members;
      members.insert(copy.member.boot);
      members.insert(self());
      admitted_on_line_ = copy.members.contains(self());
      replica_.follow(copy.path, std::move(members));
      copy.apart = false;
      contact = true;
      announce();
      break;
    }
    case Relation::ours_outdated:
      return rejoin(now, copy, "its disk is older than what all members had settled");
    case Relation::theirs_outdated:
      return;  // it joins anew
    case Relation::theirs_shorter:
      break;
    case Relation::siblings:
      return fork(now, copy);
  }
  if (contact && !copy.apart && copy.met && lacks(copy)) fetch_from(now, copy);
}

Fork Replicator::fork_with(const RemoteCopy& copy) const {
  Fork fork;
  fork.peer = copy.member;
  fork.table = definition_.name;
  fork.ours = aligned(replica_.path(), copy.path);
  fork.theirs = aligned(copy.path, replica_.path());
  fork.common = common_lines(fork.ours, fork.theirs);
  const bool starting =
      readiness_ == Readiness::catching_up || copy.readiness == Readiness::catching_up;
  fork.context = fork.common == 0 ? SplitContext::never_met
                 : starting       ? SplitContext::starting_partitioned_network
                                  : SplitContext::running_partitioned_network;
  return fork;
}

/// Once, however often the two meet and whatever lines they name while they are apart.
bool Replicator::tell_fork(Now now, const Fork& fork) {
  constexpr std::size_t remembered_most = 1024;
  if (told_forks_.size() >= remembered_most) told_forks_.clear();
  const LineId ours = fork.our_sibling().id, theirs = fork.their_sibling().id;
  if (!told_forks_.emplace(fork.peer.boot, ours, theirs).second) return false;
  ++counters_.splits;
  report(now, CacheEvent::Kind::inconsistent_database, fork.peer.name,
         std::string(to_string(fork.context)));
  return true;
}

/// What two clusters that never met say of a table may differ: the older root's word counts.
const TableDefinition& Replicator::judged_by(const RemoteCopy& copy, const Fork& fork) const {
  const Line &ours = fork.our_sibling(), &theirs = fork.their_sibling();
  const bool older = std::tie(ours.stamp, ours.id) < std::tie(theirs.stamp, theirs.id);
  return fork.common != 0 || older || !copy.definition ? definition_ : *copy.definition;
}

/// What a planted bug does; see planted.h.
Verdict Replicator::yielding(const RemoteCopy& copy, Verdict verdict) const {
  const bool we_start = readiness_ == Readiness::catching_up;
  const bool they_start = copy.readiness == Readiness::catching_up;
  if (we_start == they_start || verdict == Verdict::apart) return verdict;
  return we_start ? Verdict::theirs_wins : Verdict::ours_wins;
}

void Replicator::fork(Now now, RemoteCopy& copy) {
  if (readiness_ == Readiness::joining) {  // the sponsor's line changed: the copy starts anew
    return stop_copying(now);
  }
  const std::uint64_t ours = replica_.path().back().id, theirs = copy.path.back().id;
  if (copy.judged_ours == ours && copy.judged_theirs == theirs) return;
  copy.judged_ours = ours;
  copy.judged_theirs = theirs;
  const Fork fork = fork_with(copy);
  const bool fresh = tell_fork(now, fork);
  const TableDefinition& definition = judged_by(copy, fork);
  Verdict verdict = Verdict::apart;
  if (surroundings_.healer != nullptr) {
    verdict = surroundings_.healer->judge(now, definition, fork);
  }
  if (planted::has(planted::Bug::starting_yields)) verdict = yielding(copy, verdict);
  copy.apart = true;
  if (verdict == Verdict::theirs_wins) {
    if (&definition != &definition_) {  // only whether and where it is stored stays as it is
      TableDefinition adopted = definition;
      adopted.storage = definition_.storage;
      adopted.copies = definition_.copies;
      adopted.local_content = definition_.local_content;
      adopt(adopted);
    }
    return lose_to(now, copy, fork);
  }
  if (verdict == Verdict::ours_wins) {
    copy.healing = Healing{.fork = fork, .since = now.mono};
    if (replica_.merges()) replica_.remember_siblings(copy.path);
  } else if (fresh) {
    report(now, CacheEvent::Kind::apart, copy.member.name, "its copy stands on another line");
  }
  announce();
}

void Replicator::outdone(const SetAside& aside) {
  if (surroundings_.healer != nullptr) set_aside(surroundings_.now, aside, false);
}

/// Not where its time is over, or where the key was deleted after it was written.
bool Replicator::set_aside(Now now, const SetAside& aside, bool eldest) {
  if (aside.value.expiry <= cluster(now)) return false;
  if (replica_.deletes().newest(aside.key) > aside.value.stamp) return false;
  ++counters_.set_aside;
  const BootId writer = aside.value.stamp.boot;
  const bool speaks = writer == self() || (eldest && !in_view(writer));
  Healer::Record record = surroundings_.healer->record(now, definition_, aside, speaks);
  replica_.journal(std::move(record.key), std::move(record.value));
  return true;
}

bool Replicator::eldest_of(const std::set<BootId>& losers) const {
  const node::Seniority own = surroundings_.fabric.self().seniority();
  return std::none_of(copies_.begin(), copies_.end(), [&](const auto& each) {
    return in_view(each.first) && losers.contains(each.first) &&
           each.second.member.seniority() < own;
  });
}

void Replicator::lose_to(Now now, RemoteCopy& copy, const Fork& fork) {
  // The winner is to hear of the fork as well: what was said on the old line goes out first.
  for (auto& [boot, other] : copies_) send_control(other);
  if (healing_) finish_healing(now, taken(healing_), Verdict::theirs_wins, false);
  Healing healing{.fork = fork, .since = now.mono, .losers = replica_.members()};
  healing.met = !healing.losers.contains(copy.member.boot);
  if (healing.met) healing.theirs = copy.reported_seen;
  stop_copying(now);  // what comes of the old line must not be installed on the new one
  const auto unlogged = collect_again(now, copy.path);
  const bool eldest = eldest_of(replica_.members());
  std::set<BootId> members = copy.members;
  members.insert(copy.member.boot);
  members.insert(self());
  replica_.lose(copy.path, std::move(members), [&](const SetAside& aside) {
    if (const auto own = unlogged.find(aside.value.stamp); own != unlogged.end()) {
      put_again(now, again_[own->second].write, aside.key, aside.value.bytes, aside.value.expiry);
    }
    if (set_aside(now, aside, eldest)) ++healing.set_aside;
  });
  admitted_on_line_ = copy.members.contains(self());
  copy.apart = false;
  for (auto& [boot, other] : copies_) other.judged_ours = other.judged_theirs = 0;
  healing_ = std::move(healing);
  announce();
  for (auto& [boot, other] : copies_) {
    if (boot != copy.member.boot && other.met && other.takes_part()) meet(now, other, true);
  }
  if (copy.met && lacks(copy)) fetch_from(now, copy);
  for (PendingWrite& again : std::exchange(again_, {})) pending_.push_back(std::move(again));
  retry_pending(now);
  check_healings(now);
}

/// A heal is done when each side has all that the other had as they met on one line; on the losing
/// side however often it is cut off before.
void Replicator::check_healings(Now now) {
  if (healing_) {
    const bool done = healing_->met &&
                      !owes(replica_.seen(), replica_.pruned(), healing_->theirs, healing_->theirs);
    // Those that it met may be gone, and what they had settled.
    const bool late = now.mono - healing_->since > longest_heal && readiness_ == Readiness::ready &&
                      std::none_of(copies_.begin(), copies_.end(), [&](const auto& each) {
                        return each.second.met && !each.second.apart && lacks(each.second);
                      });
    if (done || late) {
      announce();  // the winner waits to hear it
      finish_healing(now, taken(healing_), Verdict::theirs_wins, done);
    }
  }
  for (auto& [boot, copy] : copies_) {
    if (!copy.healing || !copy.healing->met) continue;
    const Healing& healing = *copy.healing;
    const bool done = !owes(copy.reported_seen, copy.pruned, replica_.seen(), healing.ours) &&
                      !owes(replica_.seen(), replica_.pruned(), copy.reported_seen, healing.theirs);
    if (!done && copy.linked) continue;
    finish_healing(now, taken(copy.healing), Verdict::ours_wins, done);
  }
}

void Replicator::finish_healing(Now now, const Healing& healing, Verdict verdict, bool complete) {
  const HealReport healed{.fork = healing.fork,
                          .verdict = verdict,
                          .set_aside = healing.set_aside,
                          .took = now.mono - healing.since,
                          .complete = complete};
  report(now, CacheEvent::Kind::healed, healing.fork.peer.name,
         fmt::format("{}, {} set aside here, {} ms{}",
                     verdict == Verdict::ours_wins ? "it came over to our line"
                                                   : "we came over to its line",
                     healed.set_aside,
                     std::chrono::duration_cast<std::chrono::milliseconds>(healed.took).count(),
                     complete ? "" : "; cut off before all was copied"));
  if (surroundings_.healer != nullptr) surroundings_.healer->healed(now, healed);
}

/// Own puts that nobody has been told are safe, and that the path loses: they are put again, unless
/// deleted or expired, with what is left of their time.  Returns those that the log no longer has,
/// by their stamps: what is still to be put of them the table tells as it loses it.
std::map<Stamp, std::size_t> Replicator::collect_again(Now now, const Path& path) {
  std::map<Stamp, std::size_t> unlogged;
  if (replica_.merges()) return unlogged;
  Operation operation;
  for (auto waiter = waiters_.begin(); waiter != waiters_.end();) {
    const Origin* origin = waiter->put ? replica_.origin(waiter->put->origin) : nullptr;
    if (origin == nullptr || on_path(path, origin->line)) {
      ++waiter;
      continue;
    }
    PendingWrite again;
    again.options = {.acknowledge = waiter->acknowledge, .deadline = std::chrono::seconds(2)};
    again.deadline = waiter->deadline;
    again.done = std::move(waiter->done);
    const std::string_view logged = replica_.log().find(*waiter->put);
    if (!logged.empty() && decode(logged, operation)) {
      for (const PutItem& item : operation.puts) {
        const Dot created = item.created.value_or(operation.dot);
        const bool checks = !planted::has(planted::Bug::puts_again_unchecked);
        if (checks && replica_.deletes().contains(item.key, created)) continue;
        put_again(now, again.write, item.key, item.value, item.expiry);
      }
    } else {
      unlogged.emplace(waiter->stamp, again_.size());
    }
    again_.push_back(std::move(again));
    waiter = waiters_.erase(waiter);
  }
  return unlogged;
}

void Replicator::put_again(Now now, Write& write, std::string_view encoded, std::string_view value,
                           Expiry expiry) const {
  auto key = Key::decode(encoded);
  if (!key || expiry <= cluster(now)) return;
  Put put{.key = *key, .value = std::string(value), .ttl = {}};
  if (expiry == never_expires) {
    put.ttl = forever;
  } else {
    put.expires_at = expiry;
  }
  write.puts.push_back(std::move(put));
}

void Replicator::retry_pending(Now now) {
  line_retry_ = never;
  if (pending_.empty()) return;
  if (!line_is_whole()) {
    if (takes_part() && oldest_in_view()->boot == self()) {
      name_line(now);
    } else {
      return seek_line(now);
    }
  }
  std::deque<PendingWrite> due;
  due.swap(pending_);
  for (PendingWrite& pending : due) {
    perform(now, pending.write, pending.options, pending.deadline, std::move(pending.done));
  }
}

}  // namespace muster::cache
