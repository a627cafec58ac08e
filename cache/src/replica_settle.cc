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
  forget_husks(settled, limit);
  forget_parked(settled, limit);
  forget_befores(settled, limit);
  return limit == 0;
}

void Replica::forget_husks(const Stamp& settled, std::size_t& limit) {
  const Expiry bound{std::chrono::microseconds(static_cast<std::int64_t>(settled.time))};
  while (limit > 0 && !husks_.empty() && husks_.front().first <= bound) {
    const std::string key = std::move(husks_.front().second);
    husks_.pop_front();
    --limit;
    std::vector<Dot> over;
    for (const Incarnation& incarnation : table_->incarnations(key)) {
      if (incarnation.values.empty() || incarnation.expiry() > bound) continue;
      if (incarnation.touch.stamp <= settled) over.push_back(incarnation.created);
    }
    for (const Dot& created : over) table_->remove(key, created);
    if (over.empty()) continue;
    touched(key);
    meta_dirty_ = true;
  }
}

void Replica::forget_parked(const Stamp& settled, std::size_t& limit) {
  for (auto parked = parked_touches_.begin(); limit > 0 && parked != parked_touches_.end();) {
    --limit;
    bool over = true;
    for (const Incarnation& incarnation : table_->incarnations(parked->first)) {
      if (incarnation.created != parked->second) continue;
      over = incarnation.values.empty() && incarnation.touch.stamp <= settled;
    }
    if (!over) {
      ++parked;
      continue;
    }
    if (table_->remove(parked->first, parked->second)) touched(parked->first);
    parked = parked_touches_.erase(parked);
    meta_dirty_ = true;
  }
}

void Replica::forget_befores(const Stamp& settled, std::size_t& limit) {
  for (auto key = befores_.begin(); limit > 0 && key != befores_.end();) {
    --limit;
    bool left = false;
    std::vector<Dot> over;
    for (const Incarnation& incarnation : table_->incarnations(*key)) {
      if (incarnation.values.size() < 2) continue;
      const bool done = incarnation.values.front().stamp <= settled;
      if (done) over.push_back(incarnation.created);
      left = left || !done;
    }
    for (const Dot& created : over) table_->remove_before(*key, created);
    if (!over.empty()) {
      touched(*key);
      meta_dirty_ = true;
    }
    key = left ? std::next(key) : befores_.erase(key);
  }
}

}  // namespace muster::cache
