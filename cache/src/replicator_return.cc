// SPDX-License-Identifier: MIT
//
// Nodes that come back after they had left or were forgotten.  Meanwhile things were settled, and
// forgotten, without them: what their old copy says about absent keys counts for nothing any more.
// So such a copy joins empty, unless it has nothing that the others have not; first the values that
// the others may never have had go to its journal, and afterwards it issues its unsettled deletes
// again.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "planted.h"
#include "replicator.h"
#include "wire_codec.h"

namespace muster::cache {

std::uint32_t Replicator::own_admissions() const {
  const auto& nodes = surroundings_.fabric.membership().nodes;
  const auto own = nodes.find(surroundings_.fabric.self().name);
  return own == nodes.end() ? 0 : own->second.admissions;
}

/// Only what this copy lived through itself: a node that was down while others left and returned
/// has settled nothing without them.
void Replicator::note_dropped() {
  if (!takes_part() || definition_.local_content) return;
  for (const auto& [name, status] : surroundings_.fabric.membership().nodes) {
    if (!status.admitted() && status.admissions != 0 && name != surroundings_.fabric.self().name) {
      replica_.drop_member(name, status.admissions);
    }
  }
}

std::uint32_t Replicator::dropped(const NodeName& name) const {
  if (planted::has(planted::Bug::forgotten_goes_on)) return 0;
  const auto found = replica_.dropped().find(name);
  return found == replica_.dropped().end() ? 0 : found->second;
}

/// What this copy had when its node came back, and made since: if others have all of it, it may go
/// on.
void Replicator::fill_returning(wire::Report& report) const {
  if (replica_.admission() >= own_admissions()) return;
  Vector had = loaded_ ? loaded_vector_ : replica_.covered();
  for (const auto& [id, sequence] : replica_.covered()) {
    if (replica_.is_own(id)) had.set(id, sequence);
  }
  to_wire(had, *report.mutable_returning());
}

/// A newer start of that node is known: what still comes from the older one may be taken from
/// members only, who answer for it.
bool Replicator::superseded(const node::Member& from) const {
  const auto& nodes = surroundings_.fabric.membership().nodes;
  const auto known = nodes.find(from.name);
  return known != nodes.end() && from.seniority() < known->second.newest;
}

/// Whoever sees that another copy is outdated takes nothing of it and tells it so.  Two islands may
/// each have dropped the other's nodes: then the older copy goes on.
void Replicator::compare_admissions(Now now, RemoteCopy& copy, const wire::Report& report,
                                    bool direct) {
  const bool before = copy.outdated;
  copy.outdated = takes_part() && report.admission() < dropped(copy.member.name) &&
                  (report.returning().empty() || !replica_.knows(from_wire(report.returning())));
  if (copy.outdated && !before) announce();
  const bool ours = direct && replica_.admission() < report.dropped_you();
  const bool elder = surroundings_.fabric.self().seniority() < copy.member.seniority();
  if (!ours || (copy.outdated && elder) || !takes_part()) return;
  copy.outdated = false;
  if (!copy.takes_part()) return;
  if (surroundings_.healer != nullptr) {
    return rejoin(now, copy, "this node had been forgotten: it joins anew");
  }
  if (!copy.apart) report_apart(now, copy);
}

void Replicator::report_apart(Now now, RemoteCopy& copy) {
  copy.apart = true;
  report(now, CacheEvent::Kind::apart, copy.member.name,
         "this node had been forgotten, and no healer may set its values aside");
}

void Replicator::rejoin(Now now, RemoteCopy& copy, std::string_view why) {
  stop_copying(now);
  rejoining_ = true;
  fetching_.reset();
  set_readiness(now, Readiness::starting, why);
  start_deadline_ = after(now.mono, surroundings_.options.start_alone_after);
  start_copying(now, copy.member.boot);
}

void Replicator::keep_for_rejoin(Now now, const RemoteCopy& sponsor, const Vector& theirs) {
  rejoining_ = false;
  std::uint64_t count = 0;
  const std::string why = fmt::format("{} had been forgotten when it came back",
                                      surroundings_.fabric.self().name.text());
  replica_.visit_unknown_to(theirs, [&](SetAside aside) {
    if (surroundings_.healer == nullptr) return;
    aside.why = why;
    Healer::Record record = surroundings_.healer->record(now, definition_, aside, true);
    const bool pruned = replica_.origin(aside.created.origin) == nullptr;  // so everybody had it
    kept_.push_back({record.key, aside.key, aside.created, aside.value.stamp,
                     pruned || theirs.covers(aside.created)});
    replica_.journal(std::move(record.key), std::move(record.value));
    ++count;
  });
  counters_.set_aside += count;
  replica_.deletes().visit_all([&](const Deletes::Id& id, const Stamp& stamp) {
    if (id.created.sequence == 0) return;  // It found nothing.
    const auto before = deleted_again_.find({id.key, id.created});
    const std::uint64_t made = before != deleted_again_.end() ? before->second : stamp.time;
    deletes_again_.try_emplace({id.key, id.created}, made);
  });
  report(now, CacheEvent::Kind::healed, sponsor.member.name,
         fmt::format("joins anew after it was forgotten, {} set aside", count));
}

/// The others had it after all: it is in the copy, or has been overwritten or deleted there; or it
/// comes later, from one that had taken it before it was told.
void Replicator::drop_needless_records(bool copied) {
  std::erase_if(kept_, [&](const Kept& kept) {
    if (!copied && !replica_.journal().contains(kept.record)) return true;
    bool known = replica_.deletes().contains(kept.key, kept.created);
    bool held = false;
    for (const Incarnation& each : replica_.table().incarnations(kept.key)) {
      if (each.created != kept.created || each.values.empty()) continue;
      held = true;
      known = known || kept.stamp <= each.values.front().stamp;
    }
    if (!known && (!copied || held || !kept.created_known)) return false;
    replica_.journal(kept.record, std::nullopt);
    --counters_.set_aside;
    return true;
  });
}

/// What the copy brought the others have: issued again it would seem younger than what was written
/// since, and that would not be set aside.
void Replicator::delete_again(Now now) {
  constexpr std::size_t per_operation = 500;
  if (replica_.path().empty()) deletes_again_.clear();
  std::erase_if(deletes_again_, [this](const auto& each) {
    return replica_.deletes().contains(each.first.first, each.first.second);
  });
  deleted_again_ = std::exchange(deletes_again_, {});
  for (auto next = deleted_again_.begin(); next != deleted_again_.end();) {
    Operation operation;
    operation.stamp = replica_.next_stamp(cluster(now));
    for (; next != deleted_again_.end() && operation.removes.size() < per_operation; ++next) {
      const auto& [key, created] = next->first;
      operation.removes.push_back({.key = key, .dots = {created}, .made = next->second});
      operation.stamp.time = std::max(operation.stamp.time, replica_.newest_stamp(key) + 1);
    }
    same_write_ = false;
    replica_.issue(operation);
  }
}

}  // namespace muster::cache
