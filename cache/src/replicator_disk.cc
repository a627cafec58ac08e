// SPDX-License-Identifier: MIT
//
// What is handed to the storage thread and when, how late the disk is, and what becomes of a copy
// whose disk takes nothing.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "replicator.h"

namespace muster::cache {

void Replicator::make_batch(Now now, bool urgent) {
  next_store_ = now.mono + surroundings_.options.store_every;
  const bool possible = replica_.stores() && disk_ != DiskState::failed;
  if (!possible || batch_number_ != stored_number_) return;
  batch_since_ = std::exchange(changed_since_, never);
  const bool bulk = replica_.has_unstored_buckets();
  StoreBatch batch = replica_.make_batch(definition_in_force(), ++batch_number_);
  batch.urgent = urgent || bulk;
  if (bulk) next_store_ = now.mono;  // The next as soon as this one is stored.
  surroundings_.effects.store(std::move(batch));
}

void Replicator::store_if_due(Now now) {
  if (!replica_.dirty()) return;
  changed_since_ = std::min(changed_since_, now.mono);
  const bool urgent =
      (definition_.durability == Durability::sync && readiness_ != Readiness::joining) ||
      !admissions_.empty();
  if (urgent || now.mono >= next_store_) make_batch(now, urgent);
}

Duration Replicator::disk_late(Now now) const {
  const Instant since = std::min(batch_since_, changed_since_);
  return since == never ? Duration{} : now.mono - since;
}

DiskPace Replicator::pace(Now now) const {
  if (!replica_.stores()) return DiskPace::keeps_up;
  if (disk_ != DiskState::good) return DiskPace::stuck;
  const bool late = disk_late(now) > surroundings_.options.disk_late_max ||
                    replica_.rows_to_store() > surroundings_.options.disk_rows_max;
  return late ? DiskPace::late : DiskPace::keeps_up;
}

bool Replicator::acknowledges_from_disk(Now now) const {
  if (!replica_.stores()) return false;
  return definition_.durability == Durability::sync || pace(now) != DiskPace::keeps_up;
}

void Replicator::disk_changed(Now now, DiskState state, const std::string& why) {
  if (!replica_.stores() || disk_ == DiskState::failed) return;
  disk_ = state;
  disk_why_ = why;
  if (disk_ == DiskState::failed) replica_.give_up_storing();
  if (disk_ != DiskState::good) report(now, CacheEvent::Kind::alarm, {}, "is not stored: " + why);
  acks_moved_ = true;
}

void Replicator::stored(Now, std::uint64_t number) {
  if (number > batch_number_) return;
  batch_since_ = never;
  durable_moved_ = true;
  stored_number_ = std::max(stored_number_, number);
  replica_.stored(number);
  acks_moved_ = true;
  for (auto admission = admissions_.begin();
       admission != admissions_.end() && admission->first <= number;) {
    if (RemoteCopy* copy = copy_of(admission->second.first); copy != nullptr && copy->linked) {
      wire::JoinAnswer& answer = *control(*copy).mutable_join_answer();
      answer.set_session(admission->second.second);
      fill_join_answer(answer);
    }
    admission = admissions_.erase(admission);
  }
}

}  // namespace muster::cache
