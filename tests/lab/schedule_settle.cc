// SPDX-License-Identifier: MIT
//
// What the copies of a schedule forget: up to the settled stamp, what was kept for those that might
// have needed it; and where no disk loses anything, origins that are over.
#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "planted.h"
#include "schedule.h"

namespace muster::lab {

using cache::BootId;
using cache::Dot;
using cache::Origin;
using cache::OriginId;
using cache::Stamp;
using cache::Vector;

Origin Schedule::origin_of(const OriginId& id) const {
  const Made& first = history_.at(id).front();
  return {.id = id,
          .line = first.kind == 'P' ? path_.back().id : 0,
          .root = path_.front().id,
          .start = first.stamp};
}

std::uint64_t Schedule::covered_of(const OriginId& id, const Vector& vector,
                                   const cache::Pruned& pruned) const {
  if (vector.contains(id) || !begun_by(pruned, origin_of(id))) return vector.at(id);
  return std::numeric_limits<std::uint64_t>::max();
}

bool Schedule::covers(const Copy& copy, const Vector& vector) const {
  return std::all_of(vector.begin(), vector.end(), [&](const Vector::Entry& entry) {
    return covers(copy, Dot{entry.first, entry.second});
  });
}

bool Schedule::covers(const Copy& copy, const Dot& dot) const {
  return covered_of(dot.origin, copy.replica->seen(), copy.replica->pruned()) >= dot.sequence;
}

std::vector<Schedule::Report> Schedule::reports(std::size_t a) const {
  std::vector<Report> all = copies_[a]->heard;
  all[a] = report(*copies_[a], 1);
  return all;
}

std::optional<Stamp> Schedule::settled(std::size_t a) const {
  namespace planted = cache::planted;
  const std::vector<Report> all = reports(a);
  Vector top;
  std::uint64_t bound = ~std::uint64_t{0};
  for (const Report& each : all) {
    if (each.version == 0 || !each.ready || each.boots != copies_[a]->boots) return std::nullopt;
    top.raise(each.seen);
    bound = std::min(bound, each.clock_us - 1);
  }
  for (const auto& [id, sequence] : top) {
    std::uint64_t low = sequence;
    for (const Report& each : all) low = std::min(low, covered_of(id, each.durable, each.pruned));
    if (low == sequence || planted::has(planted::Bug::settled_from_clocks)) continue;
    const std::uint64_t stamp =
        low == 0 ? history_.at(id).front().stamp.time - 1 : history_.at(id).at(low - 1).stamp.time;
    bound = std::min(bound, stamp);
  }
  return Stamp{bound, BootId{~std::uint64_t{0}}};
}

void Schedule::forget(std::size_t a) {
  Copy& mine = *copies_[a];
  if (!mine.ready || mine.replica->copying()) return;
  const auto bound = settled(a);
  if (!bound) return;
  ++counts_.forgotten;
  say(fmt::format("n{} forgets up to {}", a, bound->time % 3'600'000'000));
  std::int64_t latest = 0;
  for (const Report& each : mine.heard) {
    latest = std::max(latest, static_cast<std::int64_t>(each.clock_us));
  }
  mine.replica->forget(*bound, Timestamp(std::chrono::microseconds(latest)), 1000);
  if (!lossy_) prune(a, *bound);
}

/// Only where this copy has all that anybody counted has seen.
void Schedule::prune(std::size_t a, const Stamp& bound) {
  Copy& mine = *copies_[a];
  const std::vector<Report> all = reports(a);
  const bool agreed = std::all_of(all.begin(), all.end(), [&](const Report& each) {
    return !each.compares && covers(mine, each.seen);
  });
  if (!agreed) return;
  std::vector<OriginId> gone;
  for (const auto& [id, sequence] : mine.replica->seen())
    if (mine.replica->origins().at(id).start <= bound && over(Dot{id, sequence}, all))
      gone.push_back(id);
  if (gone.empty()) return;
  counts_.pruned += gone.size();
  say(fmt::format("n{} prunes {} origins", a, gone.size()));
  mine.replica->prune(gone);
}

/// Of a boot that is not the latest of any member, and on every disk.
bool Schedule::over(const Dot& last, const std::vector<Report>& all) const {
  return std::all_of(all.begin(), all.end(), [&](const Report& each) {
    const auto living = std::find(each.boots.begin(), each.boots.end(), last.origin.boot);
    return living == each.boots.end() &&
           covered_of(last.origin, each.durable, each.pruned) >= last.sequence;
  });
}

}  // namespace muster::lab
