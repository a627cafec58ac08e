// SPDX-License-Identifier: MIT
//
// What every member has on its disk, and what may therefore be forgotten: deletes, husks, `before`
// values by the settled stamp; origins that are over and old lines of the path where all agree.
#include <algorithm>
#include <limits>

#include "planted.h"
#include "replicator.h"

namespace muster::cache {

/// The latest reports of all members that should hold a copy, none missing, which agree on who the
/// members are and which boot of each is the latest.  None: nothing is settled.
std::optional<std::vector<const RemoteCopy*>> Replicator::counted_reports() const {
  const std::uint64_t membership = membership_hash();
  std::vector<const RemoteCopy*> counted;
  for (const auto& [name, status] : surroundings_.fabric.membership().nodes) {
    if (!status.admitted() || !should_hold(name) || name == surroundings_.fabric.self().name)
      continue;
    const auto copy = copies_.find(status.newest.boot);
    if (copy == copies_.end() || copy->second.version == 0 || copy->second.apart ||
        copy->second.membership != membership || !copy->second.counted()) {
      return std::nullopt;
    }
    counted.push_back(&copy->second);
  }
  return counted;
}

/// What `vector`, with that pruning stamp, covers of an origin.
std::uint64_t Replicator::covered_of(const OriginId& id, const Vector& vector,
                                     const Pruned& pruned) const {
  if (vector.contains(id)) return vector.at(id);
  const Origin* origin = origin_of(id);
  const bool in_full = origin != nullptr && begun_by(pruned, *origin);
  return in_full ? std::numeric_limits<std::uint64_t>::max() : 0;
}

/// Rule: the least of all members' clocks and, for each origin that not every member has on disk,
/// the stamp of the last operation that all have.
std::optional<Stamp> Replicator::settled(Now now,
                                         const std::vector<const RemoteCopy*>& counted) const {
  Vector top = replica_.seen();
  std::int64_t clock = cluster(now).time_since_epoch().count();
  for (const RemoteCopy* copy : counted) {
    top.raise(copy->reported_seen);
    clock = std::min(clock, static_cast<std::int64_t>(copy->clock_us));
  }
  // An operation made in the very microsecond of a reading may not be in that report.
  auto bound = static_cast<std::uint64_t>(std::max<std::int64_t>(clock - 1, 0));
  for (const auto& [id, sequence] : top) {
    std::uint64_t low = std::min(sequence, covered_of(id, replica_.durable(), replica_.pruned()));
    for (const RemoteCopy* copy : counted) {
      low = std::min(low, covered_of(id, copy->durable, copy->pruned));
    }
    if (low == sequence || planted::has(planted::Bug::settled_from_clocks)) continue;
    const Origin* known = origin_of(id);
    if (known == nullptr) return std::nullopt;
    Operation operation;
    std::uint64_t stamp = known->start.time - 1;
    if (low != 0) {  // the stamp of the last that all have; where the log has lost it, its start
      const std::string_view encoded = replica_.log().find(Dot{id, low});
      if (!encoded.empty() && decode(encoded, operation)) stamp = operation.stamp.time;
    }
    bound = std::min(bound, stamp);
  }
  return Stamp{bound, BootId{~std::uint64_t{0}}};
}

void Replicator::forget_settled(Now now) {
  forget_again_ = never;
  tidy();
  if (readiness_ != Readiness::ready || copying_) return;
  const auto counted = counted_reports();
  if (!counted) return;
  const auto bound = settled(now, *counted);
  if (!bound) return;
  Timestamp latest = cluster(now);
  for (const RemoteCopy* copy : *counted) {
    latest = std::max(latest, Timestamp(std::chrono::microseconds(copy->clock_us)));
  }
  constexpr std::size_t at_once = 10'000;  // A few milliseconds.
  const bool more = replica_.has_forgettable() && replica_.forget(*bound, latest, at_once);
  if (more) forget_again_ = after(now.mono, std::chrono::milliseconds(20));
  prune(*bound, *counted);
}

/// Origins that are over: of a boot that is not the latest of any member, or of a line that every
/// member has left.  Then old lines that no origin needs any more.  Only where this copy has all
/// that anybody counted has seen: then no operation that we may still get names an incarnation that
/// all have deleted, so a create dot whose origin is unknown here is always a new one.
void Replicator::prune(const Stamp& bound, const std::vector<const RemoteCopy*>& counted) {
  if (replica_.path().empty()) return;
  const Path& path = replica_.path();
  const LineId line = path.back().id, root = path.front().id;
  bool agreed = replica_.durable_line() == line;
  for (const RemoteCopy* copy : counted) {
    agreed =
        agreed && !copy->path.empty() && copy->path.back().id == line && copy->durable_line == line;
    for (const auto& [id, sequence] : copy->reported_seen) {
      agreed = agreed && covered_of(id, replica_.seen(), replica_.pruned()) >= sequence;
    }
  }
  if (!agreed) return;
  std::set<BootId> living{self()};
  for (const auto& [name, status] : surroundings_.fabric.membership().nodes) {
    if (status.admitted()) living.insert(status.newest.boot);
  }
  std::vector<OriginId> over;
  std::set<LineId> needed;
  for (const auto& [id, sequence] : replica_.seen()) {
    const Origin& origin = replica_.origins().at(id);
    const bool left = origin.line != 0 && origin.line != line;
    bool everywhere = replica_.durable().at(id) >= sequence;
    for (const RemoteCopy* copy : counted) {
      everywhere = everywhere && covered_of(id, copy->durable, copy->pruned) >= sequence;
    }
    if ((left || !living.contains(id.boot)) && everywhere && origin.root == root &&
        origin.start <= bound) {
      over.push_back(id);
    } else {
      needed.insert(origin.line);
    }
  }
  if (!over.empty()) {
    replica_.prune(over);
    for (const OriginId& id : over) {
      via_.erase(id);
      moved_.erase(id);
      acknowledged_.erase(id);
      acknowledged_durable_.erase(id);
    }
    report_stale_ = true;
  }
  const auto keep = std::find_if(path.begin() + 1, path.end(), [&](const Line& each) {
    return needed.contains(each.id) || each.id == line || bound < each.stamp;
  });
  if (keep != path.end() && keep - path.begin() > 1) {
    replica_.prune_lines(keep->id);
    report_stale_ = true;
  }
}

/// Forgets what was heard of origins and boots that nobody speaks of any more.
void Replicator::tidy() {
  std::set<OriginId> spoken;
  for (const auto& [boot, copy] : copies_) {
    for (const Vector* vector : {&copy.seen, &copy.reported_seen}) {
      for (const auto& [id, sequence] : *vector) spoken.insert(id);
    }
  }
  std::erase_if(heard_origins_, [&](const auto& each) { return !spoken.contains(each.first); });
  std::erase_if(via_, [&](const auto& each) { return !replica_.seen().contains(each.first); });
  for (Vector* told : {&acknowledged_, &acknowledged_durable_}) {
    for (const Vector::Entry& entry : Vector(*told)) {
      if (!replica_.seen().contains(entry.first)) told->erase(entry.first);
    }
  }
  for (auto& [boot, copy] : copies_) {
    std::erase_if(copy.passed_on, [&](const auto& each) { return !copies_.contains(each.first); });
  }
}

}  // namespace muster::cache
