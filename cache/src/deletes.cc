// SPDX-License-Identifier: MIT
//
// Two orders over one set: by bucket and key for lookups and copies, by stamp for forgetting.
#include "deletes.h"

namespace muster::cache {

bool Deletes::add(std::string_view key, const Dot& created, const Stamp& stamp) {
  const std::uint32_t bucket = Table::bucket_of(key);
  const auto found = by_id_.find(Probe{bucket, key, created});
  if (found != by_id_.end()) {
    if (found->second < stamp) {
      by_stamp_.erase(&*found);
      found->second = stamp;
      by_stamp_.insert(&*found);
    }
    return false;
  }
  const auto added = by_id_.emplace(Id{bucket, std::string(key), created}, stamp).first;
  by_stamp_.insert(&*added);
  return true;
}

bool Deletes::erase(std::string_view key, const Dot& created) {
  const auto found = by_id_.find(Probe{Table::bucket_of(key), key, created});
  if (found == by_id_.end()) return false;
  by_stamp_.erase(&*found);
  by_id_.erase(found);
  return true;
}

bool Deletes::contains(std::string_view key, const Dot& created) const {
  return !by_id_.empty() && by_id_.contains(Probe{Table::bucket_of(key), key, created});
}

const Stamp* Deletes::find(std::string_view key, const Dot& created) const {
  const auto found = by_id_.find(Probe{Table::bucket_of(key), key, created});
  return found == by_id_.end() ? nullptr : &found->second;
}

Stamp Deletes::newest(std::string_view key) const {
  Stamp newest;
  const std::uint32_t bucket = Table::bucket_of(key);
  for (auto each = by_id_.lower_bound(Probe{bucket, key, {}});
       each != by_id_.end() && each->first.bucket == bucket && each->first.key == key; ++each) {
    newest = std::max(newest, each->second);
  }
  return newest;
}

bool Deletes::next_settled(const Stamp& settled, Id& id, Stamp& stamp) {
  if (by_stamp_.empty() || settled < (*by_stamp_.begin())->second) return false;
  const ById::value_type& oldest = **by_stamp_.begin();
  id = oldest.first;
  stamp = oldest.second;
  by_stamp_.erase(by_stamp_.begin());
  return true;
}

void Deletes::clear() {
  by_stamp_.clear();
  by_id_.clear();
}

}  // namespace muster::cache
