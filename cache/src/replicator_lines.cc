// SPDX-License-Identifier: MIT
//
// Lines among the members: where a put may go, who names a new line, and what happens when two
// paths meet.
#include <fmt/format.h>

#include <algorithm>
#include <cassert>

#include "replicator.h"
#include "wire_codec.h"

namespace muster::cache {
namespace {

constexpr Duration retry = std::chrono::milliseconds(50);
constexpr std::uint32_t hops_max = 8;

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
      if (copy.expected) {
        const HealReport healed{*copy.expected, Verdict::ours_wins, 0,
                                now.mono - copy.expected_since};
        copy.expected.reset();
        report(now, CacheEvent::Kind::healed, copy.member.name, "it came over to our line");
        if (surroundings_.healer != nullptr) surroundings_.healer->healed(now, healed);
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
    case Relation::theirs_shorter:
      break;
    case Relation::siblings:
      return fork(now, copy);
  }
  if (contact && !copy.apart && copy.met && lacks(copy)) fetch_from(now, copy);
}

void Replicator::fork(Now now, RemoteCopy& copy) {
  if (readiness_ == Readiness::joining) {  // the sponsor's line changed: the copy starts anew
    return stop_copying(now);
  }
  const std::uint64_t ours = replica_.path().back().id, theirs = copy.path.back().id;
  if (copy.judged_ours == ours && copy.judged_theirs == theirs) return;
  copy.judged_ours = ours;
  copy.judged_theirs = theirs;
  Fork fork;
  fork.peer = copy.member;
  fork.table = definition_.name;
  fork.ours = replica_.path();
  fork.theirs = copy.path;
  fork.common = common_lines(fork.ours, fork.theirs);
  const bool starting =
      readiness_ == Readiness::catching_up || copy.readiness == Readiness::catching_up;
  fork.context = fork.common == 0 ? SplitContext::never_met
                 : starting       ? SplitContext::starting_partitioned_network
                                  : SplitContext::running_partitioned_network;
  ++counters_.splits;
  report(now, CacheEvent::Kind::inconsistent_database, copy.member.name,
         fork.context == SplitContext::never_met ? "never_met"
         : fork.context == SplitContext::starting_partitioned_network
             ? "starting_partitioned_network"
             : "running_partitioned_network");
  Verdict verdict = Verdict::apart;
  const bool may_join =
      fork.context != SplitContext::never_met || surroundings_.options.auto_initialize_cluster;
  if (surroundings_.healer != nullptr && may_join) {
    verdict = surroundings_.healer->judge(now, definition_, fork);
  }
  copy.apart = true;
  if (verdict == Verdict::theirs_wins) return lose_to(now, copy, fork);
  if (verdict == Verdict::ours_wins) {
    copy.expected = fork;
    copy.expected_since = now.mono;
    if (replica_.merges()) replica_.remember_siblings(copy.path);
  } else {
    report(now, CacheEvent::Kind::apart, copy.member.name, "its copy stands on another line");
  }
  announce();
}

void Replicator::outdone(const SetAside& aside) {
  if (surroundings_.healer == nullptr) return;
  ++counters_.set_aside;
  Healer::Record record = surroundings_.healer->record(surroundings_.now, definition_, aside);
  replica_.journal(std::move(record.key), std::move(record.value));
}

void Replicator::lose_to(Now now, RemoteCopy& copy, const Fork& fork) {
  std::uint64_t set_aside = 0;
  const std::string why =
      fmt::format("the line of {} lost to that of {}", surroundings_.fabric.self().name.text(),
                  copy.member.name.text());
  stop_copying(now);  // what comes of the old line must not be installed on the new one
  collect_again(now, copy.path);
  std::set<BootId> members = copy.members;
  members.insert(copy.member.boot);
  members.insert(self());
  replica_.lose(copy.path, std::move(members), why, [&](const SetAside& aside) {
    ++set_aside;
    Healer::Record record = surroundings_.healer->record(now, definition_, aside);
    replica_.journal(std::move(record.key), std::move(record.value));
  });
  admitted_on_line_ = copy.members.contains(self());
  copy.apart = false;
  counters_.set_aside += set_aside;
  for (auto& [boot, other] : copies_) other.judged_ours = other.judged_theirs = 0;
  HealReport healed{fork, Verdict::theirs_wins, set_aside, Duration{}};
  report(now, CacheEvent::Kind::healed, copy.member.name,
         fmt::format("we came over to its line, {} set aside", set_aside));
  surroundings_.healer->healed(now, healed);
  announce();
  for (auto& [boot, other] : copies_) {
    if (boot != copy.member.boot && other.met && other.takes_part()) meet(now, other, true);
  }
  if (copy.met && lacks(copy)) fetch_from(now, copy);
  for (PendingWrite& again : std::exchange(again_, {})) pending_.push_back(std::move(again));
  retry_pending(now);
}

/// Own puts that nobody has been told are safe, and that the path loses: they are put again, unless
/// deleted or expired, with what is left of their time.
void Replicator::collect_again(Now now, const Path& path) {
  if (replica_.merges()) return;
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
    if (decode(replica_.log().find(*waiter->put), operation)) {
      for (const PutItem& item : operation.puts) {
        if (replica_.deletes().contains(item.key, item.created.value_or(operation.dot))) continue;
        auto key = Key::decode(item.key);
        if (!key || item.expiry <= cluster(now)) continue;
        Put put{.key = *key, .value = std::string(item.value), .ttl = {}};
        if (item.expiry == never_expires) {
          put.ttl = forever;
        } else {
          put.expires_at = item.expiry;
        }
        again.write.puts.push_back(std::move(put));
      }
    }
    again_.push_back(std::move(again));
    waiter = waiters_.erase(waiter);
  }
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
