// SPDX-License-Identifier: MIT
//
// Expiry hides an entry; its husk stays until settled, for a touch from the other side of a cut may
// still save it.  Deletes and parked touches are kept until then too.
#include "replica.h"

namespace muster::cache {

void Replica::expire(Timestamp at, std::size_t limit, const Table::Expired& expired) {
  table_->expire(at, limit, [&](std::string_view key) {
    husks_.emplace_back(at, std::string(key));
    if (expired) expired(key);
  });
}

bool Replica::forget(const Stamp& settled, std::size_t limit) {
  Deletes::Id deleted;
  while (limit > 0 && deletes_.take_settled(settled, deleted)) {
    delete_changed(deleted.key, deleted.created);
    meta_dirty_ = true;
    --limit;
  }
  const Expiry bound{std::chrono::microseconds(static_cast<std::int64_t>(settled.time))};
  while (limit > 0 && !husks_.empty() && husks_.front().first <= bound) {
    const std::string key = std::move(husks_.front().second);
    husks_.pop_front();
    --limit;
    std::vector<Dot> over;
    for (const Incarnation& incarnation : table_->incarnations(key)) {
      const Expiry expiry = incarnation.expiry();
      if (!incarnation.values.empty() && expiry <= bound && incarnation.touch.stamp <= settled) {
        over.push_back(incarnation.created);
      }
    }
    for (const Dot& created : over) table_->remove(key, created);
    if (!over.empty()) {
      touched(key);
      meta_dirty_ = true;
    }
  }
  for (auto parked = parked_touches_.begin(); limit > 0 && parked != parked_touches_.end();) {
    --limit;
    bool settled_touch = true;
    for (const Incarnation& incarnation : table_->incarnations(parked->first)) {
      if (incarnation.created != parked->second) continue;
      settled_touch = incarnation.values.empty() && incarnation.touch.stamp <= settled;
    }
    if (!settled_touch) {
      ++parked;
      continue;
    }
    if (table_->remove(parked->first, parked->second)) touched(parked->first);
    parked = parked_touches_.erase(parked);
    meta_dirty_ = true;
  }
  return limit == 0;
}

}  // namespace muster::cache
