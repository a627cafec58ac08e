// SPDX-License-Identifier: MIT
#include "table_content.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <mutex>
#include <utility>

#include "table_row.h"

namespace muster::cache {

void TableContent::read_many(std::span<const std::string_view> keys, Timestamp at,
                             const Table::ReadMany& found) const {
  constexpr std::size_t group = 16;
  std::array<Hashed, group> hashes;
  for (std::size_t from = 0; from < keys.size(); from += group) {
    const std::size_t size = std::min(group, keys.size() - from);
    for (std::size_t i = 0; i < size; ++i) {
      hashes[i] = hashed(keys[from + i]);
      __builtin_prefetch(&shards_[hashes[i].bucket]);
    }
    for (std::size_t i = 0; i < size; ++i) {
      shards_[hashes[i].bucket].prefetch_slots(hashes[i].tag);
    }
    for (std::size_t i = 0; i < size; ++i) {
      shards_[hashes[i].bucket].prefetch_entries(hashes[i].tag);
    }
    for (std::size_t i = 0; i < size; ++i) {
      const auto there = [&](const Table::View& view) { found(from + i, view); };
      const Shard& shard = shards_[hashes[i].bucket];
      {
        const std::shared_lock guard(shard.lock);
        const Shard::Slot* slot = shard.find(hashes[i].tag, keys[from + i]);
        if (slot == nullptr) continue;
        const Entry& entry = *Shard::entry_of(*slot);
        if (!entry.absent()) {
          tell(entry, at, there);
          continue;
        }
      }
      read_absent(hashes[i], keys[from + i], at, there);
    }
  }
}

/// From the source, without the lock.  What is there may be newer than what the entry was: then it
/// was stored meanwhile, and counts.  What is not there has gone from the disk meanwhile: the key
/// is in memory again, or nowhere.
void TableContent::read_absent(const Hashed& hash, std::string_view key, Timestamp at,
                               const Table::Read& found) const {
  constexpr int tries = 100;  // More than any disk commits meanwhile.
  for (int i = 0; i < tries; ++i) {
    const auto row = source_->row(key);
    if (!row) return;
    if (!row->empty()) {
      std::vector<Incarnation> incarnations;
      if (!parse_row(*row, incarnations)) return;
      const Incarnation* visible = nullptr;
      for (const Incarnation& each : incarnations) {
        if (!each.live(at)) continue;
        const bool newer =
            visible == nullptr || visible->values.front().stamp <= each.values.front().stamp;
        if (newer) visible = &each;
      }
      if (visible == nullptr) return;
      const ValueRegister& value = visible->values.front();
      return found(Table::View{value.bytes, visible->expiry(), value.stamp});
    }
    const Shard& shard = shards_[hash.bucket];
    const std::shared_lock guard(shard.lock);
    const Shard::Slot* slot = shard.find(hash.tag, key);
    if (slot == nullptr) return;
    const Entry& entry = *Shard::entry_of(*slot);
    if (!entry.absent()) return tell(entry, at, found);
  }
}

bool TableContent::fetch(const Entry& entry, Plain& plain) const {
  if (!entry.absent()) return true;
  auto row = source_->row(entry.key());
  if (!row) return false;
  fetched_ = std::move(*row);
  const bool plain_row =
      parse_row(fetched_, parsed_) && parsed_.size() == 1 && parsed_.front().values.size() == 1;
  if (!plain_row || parsed_.front().values.front().stamp != plain.value.stamp) return false;
  plain.value.bytes = parsed_.front().values.front().bytes;
  return true;
}

void TableContent::row(const Entry& entry, std::string& bytes) const {
  bytes.clear();
  if (!entry.rich() && !entry.absent()) {
    const Plain plain = entry.plain(contexts_);
    append_row(bytes, plain.created, plain.value, plain.touch);
  } else if (!entry.absent()) {
    bytes = encode_row(look(entry));
  } else if (auto row = source_->row(entry.key())) {
    bytes = std::move(*row);
  }
}

std::size_t TableContent::bytes() const {
  return bytes_.load(std::memory_order_relaxed) + shards_.size() * sizeof(Shard) +
         count() * sizeof(Shard::Slot) * 3 / 2;
}

TableContent::Place TableContent::place_of(std::string_view key) const {
  Place place;
  place.hash = hashed(key);
  place.slot = shards_[place.hash.bucket].find(place.hash.tag, key);
  if (place.slot != nullptr) place.entry = Shard::entry_of(*place.slot);
  return place;
}

bool TableContent::copy(const Entry& entry, Rich& rich) const {
  if (entry.rich()) {
    rich = entry.versions();
    return true;
  }
  Plain plain = entry.plain(contexts_);
  if (!fetch(entry, plain)) return false;
  Version version;
  version.created = plain.created;
  version.values.push_back(owned(plain.value));
  version.touch = plain.touch;
  version.called_back = entry.has_timer() && !entry.timer().linked();
  rich.push_back(std::move(version));
  return true;
}

std::vector<Incarnation> TableContent::look(const Entry& entry) const {
  std::vector<Incarnation> incarnations;
  if (!entry.rich()) {
    Plain plain = entry.plain(contexts_);
    fetch(entry, plain);
    incarnations.push_back({plain.created, {plain.value}, plain.touch});
    return incarnations;
  }
  for (const Version& version : entry.versions()) {
    Incarnation incarnation{version.created, {}, version.touch};
    for (const Version::Value& value : version.values) incarnation.values.push_back(view_of(value));
    incarnations.push_back(std::move(incarnation));
  }
  return incarnations;
}

OrderedIndex& TableContent::index() {
  if (index_) return *index_;
  std::vector<Entry*> entries;
  entries.reserve(count());
  for (const Shard& shard : shards_) {
    for (const Shard::Slot slot : shard) {
      if (slot != 0) entries.push_back(Shard::entry_of(slot));
    }
  }
  index_ = std::make_unique<OrderedIndex>(std::move(entries));
  return *index_;
}

void TableContent::scan(std::string_view from, const Table::Visit& visit) {
  index().scan(from, [&](const Entry& entry) { return visit(entry.key()); });
}

Table::Digest TableContent::bucket_digest(std::uint32_t bucket) const {
  assert(bucket < Table::buckets);
  return shards_[bucket].digest;
}

void TableContent::scan_bucket(std::uint32_t bucket, const Table::Visit& visit) const {
  assert(bucket < Table::buckets);
  for (const Shard::Slot slot : shards_[bucket]) {
    if (slot != 0 && !visit(Shard::entry_of(slot)->key())) return;
  }
}

void TableContent::scan_rows(std::uint32_t bucket, const Table::VisitRow& visit) const {
  assert(bucket < Table::buckets);
  constexpr std::ptrdiff_t ahead = 8;
  const Shard& shard = shards_[bucket];
  std::string bytes;
  for (const Shard::Slot* slot = shard.begin(); slot != shard.end(); ++slot) {
    if (shard.end() - slot > ahead && slot[ahead] != 0) Shard::prefetch(slot[ahead]);
    if (*slot == 0) continue;
    const Entry& entry = *Shard::entry_of(*slot);
    row(entry, bytes);
    visit(entry.key(), bytes);
  }
}

std::size_t TableContent::bucket_count(std::uint32_t bucket) const {
  assert(bucket < Table::buckets);
  return shards_[bucket].count();
}

void TableContent::reserve(std::uint32_t bucket, std::size_t entries) {
  assert(bucket < Table::buckets);
  shards_[bucket].reserve(entries);
}

/// One dependent step after the other, each for all keys.
void TableContent::prefetch(std::span<const std::string_view> keys) const {
  std::array<Hashed, Table::prefetched_together> hashes;
  const std::size_t count = std::min(keys.size(), hashes.size());
  for (std::size_t i = 0; i < count; ++i) {
    hashes[i] = hashed(keys[i]);
    __builtin_prefetch(&shards_[hashes[i].bucket]);
  }
  for (std::size_t i = 0; i < count; ++i) shards_[hashes[i].bucket].prefetch_slots(hashes[i].tag);
  for (std::size_t i = 0; i < count; ++i) shards_[hashes[i].bucket].prefetch(hashes[i].tag);
}

// --- What keeps everything in step -------------------------------------------------------------

void TableContent::account(std::ptrdiff_t entries, std::ptrdiff_t bytes) {
  const auto add = [](std::atomic<std::size_t>& counter, std::ptrdiff_t difference) {
    counter.store(counter.load(std::memory_order_relaxed) + static_cast<std::size_t>(difference),
                  std::memory_order_relaxed);
  };
  add(count_, entries);
  add(bytes_, bytes);
}

TableContent::Digests TableContent::digests_of(const Entry& entry) const {
  Digests digests;
  if (!entry.rich()) {
    const Plain plain = entry.plain(contexts_);
    digests.all = digest_of(entry.key(), plain.created, plain.value.stamp, plain.expiry());
    if (!entry.has_timer() || entry.timer().linked()) digests.shown = digests.all;
    return digests;
  }
  for (const Version& version : entry.versions()) {
    const Table::Digest one = digest_of(entry.key(), version);
    digests.all += one;
    for (std::size_t i = 1; i < version.values.size(); ++i) {  // those that were overwritten
      const Version::Value& before = version.values[i];
      digests.all += digest_of(entry.key(), version.created, before.stamp, before.expiry);
    }
    if (!version.values.empty() && !version.called_back) digests.shown += one;
  }
  return digests;
}

void TableContent::add_digest(std::uint32_t bucket, const Entry& entry) {
  const Digests digests = digests_of(entry);
  shards_[bucket].digest += digests.all;
  total_ += digests.shown;
}

void TableContent::subtract_digest(std::uint32_t bucket, const Entry& entry) {
  const Digests digests = digests_of(entry);
  shards_[bucket].digest -= digests.all;
  total_ -= digests.shown;
}

/// Puts a new entry on the wheel.  What was called back, and has expired still, is not called back
/// again.
void TableContent::arm(Entry& entry, bool was_called_back) {
  if (!entry.has_timer()) return;
  if (!entry.rich()) {
    if (!was_called_back || entry.expiry() > called_until_) wheel_.add(entry.timer());
    return;
  }
  Expiry first = never_expires;
  for (Version& version : entry.versions()) {
    if (version.called_back && version.expiry() > called_until_) version.called_back = false;
    if (version.pending()) first = std::min(first, version.expiry());
  }
  entry.timer().expiry = first;
  if (first != never_expires) wheel_.add(entry.timer());
}

void TableContent::add(const Place& place, Entry::Owned entry) {
  Entry& fresh = *entry;
  shards_[place.hash.bucket].insert(place.hash.tag, std::move(entry));
  if (index_) index_->insert(fresh);
  account(1, static_cast<std::ptrdiff_t>(fresh.allocated()));
  arm(fresh, false);
  add_digest(place.hash.bucket, fresh);
}

/// `entry` takes the place's; the digest of the old one has been subtracted.
void TableContent::replace(const Place& place, Entry::Owned entry, bool was_called_back) {
  Entry& fresh = *entry;
  if (index_) index_->replace(fresh);
  const Entry::Owned old = shards_[place.hash.bucket].replace(place.slot, std::move(entry));
  account(0, static_cast<std::ptrdiff_t>(fresh.allocated()) -
                 static_cast<std::ptrdiff_t>(old->allocated()));
  arm(fresh, was_called_back);
  add_digest(place.hash.bucket, fresh);
}

std::optional<std::uint32_t> TableContent::context_of(const Plain& plain) {
  return contexts_.intern({plain.created.origin, plain.value.stamp.boot, plain.value.line});
}

bool TableContent::insert(const Place& place, std::string_view key, const Plain& plain) {
  assert(place.entry == nullptr);
  const auto context = context_of(plain);
  if (context) add(place, Entry::make(key, plain, *context));
  return context.has_value();
}

void TableContent::overwrite(const Place& place, const Plain& plain) {
  Entry& entry = *place.entry;
  const auto context = context_of(plain);
  if (!context) {
    Rich rich;
    if (!copy(entry, rich)) return;
    rich.front().values.front() = owned(plain.value);
    rich.front().touch = plain.touch;
    return install(place, entry.key(), std::move(rich));
  }
  subtract_digest(place.hash.bucket, entry);
  const bool was_called_back = entry.has_timer() && !entry.timer().linked();
  const bool same_expiry = entry.has_timer() && entry.expiry() == plain.expiry();
  bool done = false;
  {
    const std::scoped_lock guard(shards_[place.hash.bucket].lock);
    done = entry.overwrite(plain, *context);
  }
  if (!done) {
    return replace(place, Entry::make(entry.key(), plain, *context), was_called_back);
  }
  if (entry.has_timer() && !same_expiry) {
    entry.timer().unlink();
    arm(entry, was_called_back);
  }
  add_digest(place.hash.bucket, entry);
}

Entry::Owned TableContent::make(std::string_view key, Rich rich) {
  if (!plain_enough(rich)) return Entry::make(key, std::move(rich));
  const Plain plain = plain_of(rich.front());
  const auto context = context_of(plain);
  return context ? Entry::make(key, plain, *context) : Entry::make(key, std::move(rich));
}

void TableContent::install(const Place& place, std::string_view key, Rich rich) {
  if (rich.empty()) {
    if (place.entry != nullptr) drop(place);
    return;
  }
  const bool called_back = rich.front().called_back;
  Entry::Owned entry = make(key, std::move(rich));
  if (place.entry == nullptr) return add(place, std::move(entry));
  subtract_digest(place.hash.bucket, *place.entry);
  replace(place, std::move(entry), called_back);
}

void TableContent::drop_value(const Place& place) {
  Entry& entry = *place.entry;
  if (entry.rich() || entry.absent() || entry.value().empty()) return;
  const bool was_called_back = entry.has_timer() && !entry.timer().linked();
  Entry::Owned bare = Entry::without_value(entry, contexts_);
  subtract_digest(place.hash.bucket, entry);
  replace(place, std::move(bare), was_called_back);
}

void TableContent::drop(const Place& place) {
  subtract_digest(place.hash.bucket, *place.entry);
  if (index_) index_->erase(*place.entry);
  const Entry::Owned old = shards_[place.hash.bucket].erase(place.slot);
  account(-1, -static_cast<std::ptrdiff_t>(old->allocated()));
}

void TableContent::clear() {
  if (index_) index_->clear();
  for (Shard& shard : shards_) shard.clear();
  wheel_.clear();
  total_ = {};
  count_.store(0, std::memory_order_relaxed);
  bytes_.store(0, std::memory_order_relaxed);
}

// --- Expiry ------------------------------------------------------------------------------------

/// A pending incarnation of `entry`, which has left the wheel, has expired: it leaves the digest of
/// the table.
/// True when the key now shows something else than before, or nothing.
bool TableContent::fire(Entry& entry, Timestamp at) {
  if (!entry.rich()) {
    const Plain plain = entry.plain(contexts_);
    total_ -= digest_of(entry.key(), plain.created, plain.value.stamp, plain.expiry());
    return true;
  }
  const auto shown = [](const Version& version) { return !version.called_back; };
  const Version* before = newest(entry.versions(), shown);
  for (Version& version : entry.versions()) {
    if (!version.pending() || version.expiry() > at) continue;
    total_ -= digest_of(entry.key(), version);
    version.called_back = true;
  }
  arm(entry, false);
  const Version* now = newest(entry.versions(), shown);
  return now == nullptr || now != before;
}

void TableContent::expire(Timestamp at, std::size_t limit, const Table::Expired& expired,
                          const Table::Expired& hidden) {
  constexpr std::size_t moves =
      4096;  // From level to level of the wheel, beside those that are due.
  at = called_until_ = std::max(called_until_, at);
  std::size_t steps = limit > SIZE_MAX - moves ? SIZE_MAX : limit + moves;
  for (std::size_t called = 0; called < limit;) {
    TimerNode* due = wheel_.pop(at, steps);
    if (due == nullptr) return;
    Entry& entry = Entry::of(*due);
    const bool shows = fire(entry, at);
    if (!shows && !hidden) continue;
    ++called;
    (shows ? expired
           : hidden)(entry.key());  // May change or remove the entry: not looked at again.
  }
}

}  // namespace muster::cache
