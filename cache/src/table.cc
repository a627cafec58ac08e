// SPDX-License-Identifier: MIT
//
// Puts the parts together: shards of entries, contexts, wheel, ordered index and digests change as
// one.  Every change of a key goes through insert(), overwrite(), install() or drop(), which keep
// count, bytes, digests, timers and index right; what a change means is decided in the functions
// above them, in terms of Plain (the fast path) or Rich.
#include "muster/cache/table.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cassert>
#include <cstring>
#include <mutex>
#include <shared_mutex>
#include <utility>

#include "expiry_wheel.h"
#include "muster/cache/definition.h"
#include "ordered_index.h"
#include "table_entry.h"
#include "table_row.h"
#include "table_shard.h"

namespace muster::cache {
namespace {

struct Hashed {
  std::uint32_t bucket = 0;
  std::uint32_t tag = 0;
};

Hashed hashed(std::string_view key) {
  const std::uint64_t hash = XXH3_64bits(key.data(), key.size());
  static_assert(Table::buckets == 1U << 12);
  return {static_cast<std::uint32_t>(hash >> 52), static_cast<std::uint32_t>(hash >> 36) & 0xFFFFU};
}

Table::Digest digest_of(std::string_view key, const Dot& created, const Stamp& stamp,
                        Expiry expiry) {
  const std::array<std::uint64_t, 6> words{
      created.origin.boot.value, created.origin.number,
      created.sequence,          stamp.time,
      stamp.boot.value,          static_cast<std::uint64_t>(expiry.time_since_epoch().count())};
  std::array<char, sizeof(words) + Key::max_encoded> buffer;
  std::memcpy(buffer.data(), words.data(), sizeof(words));
  std::memcpy(buffer.data() + sizeof(words), key.data(), key.size());
  const XXH128_hash_t hash = XXH3_128bits(buffer.data(), sizeof(words) + key.size());
  return {hash.low64, hash.high64};
}

Table::Digest digest_of(std::string_view key, const Version& version) {
  if (version.values.empty() || version.called_back) return {};
  return digest_of(key, version.created, version.values.front().stamp, version.expiry());
}

ValueRegister view_of(const Version::Value& value) {
  return {value.stamp, value.line, value.expiry, value.bytes};
}

Version::Value owned(const ValueRegister& value) {
  return {value.stamp, value.line, value.expiry, std::string(value.bytes)};
}

/// Newest first; of equal stamps (which two lines never give) the order is settled, too.
bool newer(const Version::Value& a, const Version::Value& b) {
  return std::pair(a.stamp, a.line) > std::pair(b.stamp, b.line);
}

Version* find_version(Rich& rich, const Dot& created) {
  const auto at = std::lower_bound(
      rich.begin(), rich.end(), created,
      [](const Version& version, const Dot& dot) { return version.created < dot; });
  return at != rich.end() && at->created == created ? &*at : nullptr;
}

Version& obtain_version(Rich& rich, const Dot& created) {
  const auto at = std::lower_bound(
      rich.begin(), rich.end(), created,
      [](const Version& version, const Dot& dot) { return version.created < dot; });
  if (at != rich.end() && at->created == created) return *at;
  Version version;
  version.created = created;
  return *rich.insert(at, std::move(version));
}

bool put_value(Version& version, const ValueRegister& value, bool keep_before) {
  auto& values = version.values;
  const auto same_line = [&](const Version::Value& known) { return known.line == value.line; };
  if (!keep_before) {
    if (!values.empty() && values.front().stamp >= value.stamp) return false;
    values.clear();
  } else if (const auto known = std::find_if(values.begin(), values.end(), same_line);
             known != values.end()) {
    if (known->stamp >= value.stamp) return false;
    values.erase(known);
  }
  values.push_back(owned(value));
  std::sort(values.begin(), values.end(), newer);
  return true;
}

bool touch_version(Version& version, const ExpiryRegister& touch) {
  if (touch.stamp <= version.touch.stamp) return false;
  version.touch = touch;
  return true;
}

bool plain_enough(const Rich& rich) { return rich.size() == 1 && rich.front().values.size() == 1; }

Plain plain_of(const Version& version) {
  return {version.created, view_of(version.values.front()), version.touch};
}

}  // namespace

Expiry Incarnation::expiry() const {
  if (values.empty()) return touch.expiry;
  return touch.stamp > values.front().stamp ? touch.expiry : values.front().expiry;
}

bool Incarnation::live(Timestamp at) const { return !values.empty() && expiry() > at; }

class Table::Impl {
 public:
  explicit Impl(Options options) : options_(options) {}

  // Readers.
  template <class Tell>
  void read(std::string_view key, Timestamp at, const Tell& found) const;
  void read_many(std::span<const std::string_view> keys, Timestamp at, const ReadMany& found) const;
  [[nodiscard]] std::size_t count() const { return count_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::size_t bytes() const;

  // The owner.
  [[nodiscard]] Entry* find(std::string_view key) const;
  [[nodiscard]] Rich copy(const Entry& entry) const;
  [[nodiscard]] std::vector<Incarnation> look(const Entry& entry) const;
  bool put(std::string_view key, const Dot& created, const ValueRegister& value);
  bool touch(std::string_view key, const Dot& created, const ExpiryRegister& touch);
  bool merge(std::string_view key, const Incarnation& incarnation);
  bool remove(std::string_view key, const Dot& created);
  /// Lets `change` work on a copy of what the key holds (nothing, when it is new).
  template <class Change>
  bool alter(std::string_view key, const Change& change);
  void clear();
  void expire(Timestamp at, std::size_t limit, const Expired& expired);
  void scan(std::string_view from, const Visit& visit);
  void scan_bucket(std::uint32_t bucket, const Visit& visit) const;

  [[nodiscard]] const Contexts& contexts() const { return contexts_; }
  [[nodiscard]] Expiry next_expiry() const { return wheel_.next(); }
  [[nodiscard]] Digest total() const { return total_; }
  [[nodiscard]] Digest bucket_digest(std::uint32_t bucket) const { return shards_[bucket].digest; }
  [[nodiscard]] bool keep_before() const { return options_.keep_before; }

 private:
  struct Place {
    Hashed hash;
    const Shard::Slot* slot = nullptr;
    Entry* entry = nullptr;  ///< nullptr: the key is not there.
  };

  [[nodiscard]] Place place_of(std::string_view key) const;
  void insert(const Place& place, Entry::Owned entry);
  void overwrite(const Place& place, const Plain& plain);
  void install(const Place& place, std::string_view key, Rich rich);
  void drop(const Place& place);
  void replace(const Place& place, Entry::Owned entry);

  [[nodiscard]] Entry::Owned make(std::string_view key, Rich rich);
  [[nodiscard]] Digest digest_of_entry(const Entry& entry) const;
  void add_digest(std::uint32_t bucket, const Digest& digest);
  void subtract_digest(std::uint32_t bucket, const Digest& digest);
  void arm(Entry& entry, bool was_called_back);
  bool fire(Entry& entry, Timestamp at);
  [[nodiscard]] OrderedIndex& index();
  void account(std::ptrdiff_t entries, std::ptrdiff_t bytes);
  template <class Tell>
  void tell(const Entry& entry, Timestamp at, const Tell& found) const;

  const Options options_;
  Contexts contexts_;
  ExpiryWheel wheel_;  // Before the shards: entries leave it when they go.
  std::unique_ptr<OrderedIndex> index_;
  std::vector<Shard> shards_ = std::vector<Shard>(buckets);
  Expiry called_until_{};  ///< Of the latest expire().
  Digest total_;
  std::atomic<std::size_t> count_ = 0;
  std::atomic<std::size_t> bytes_ = 0;
};

// --- Reads -----------------------------------------------------------------------------------

/// Under the lock of the entry's shard.
template <class Tell>
void Table::Impl::tell(const Entry& entry, Timestamp at, const Tell& found) const {
  if (!entry.rich()) {
    if (!entry.live(at)) return;
    const Plain plain = entry.plain(contexts_);
    found(View{plain.value.bytes, plain.expiry(), plain.value.stamp});
    return;
  }
  const auto live = [at](const Version& version) { return version.live(at); };
  const Version* version = newest(entry.versions(), live);
  if (version == nullptr) return;
  const Version::Value& value = version->values.front();
  found(View{value.bytes, version->expiry(), value.stamp});
}

template <class Tell>
void Table::Impl::read(std::string_view key, Timestamp at, const Tell& found) const {
  const Hashed hash = hashed(key);
  const Shard& shard = shards_[hash.bucket];
  const std::shared_lock guard(shard.lock);
  const Shard::Slot* slot = shard.find(hash.tag, key);
  if (slot != nullptr) tell(*Shard::entry_of(*slot), at, found);
}

void Table::Impl::read_many(std::span<const std::string_view> keys, Timestamp at,
                            const ReadMany& found) const {
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
      const Shard& shard = shards_[hashes[i].bucket];
      const std::shared_lock guard(shard.lock);
      const Shard::Slot* slot = shard.find(hashes[i].tag, keys[from + i]);
      if (slot == nullptr) continue;
      tell(*Shard::entry_of(*slot), at, [&](const View& view) { found(from + i, view); });
    }
  }
}

std::size_t Table::Impl::bytes() const {
  return bytes_.load(std::memory_order_relaxed) + shards_.size() * sizeof(Shard) +
         count() * sizeof(Shard::Slot) * 3 / 2;
}

Table::Impl::Place Table::Impl::place_of(std::string_view key) const {
  Place place;
  place.hash = hashed(key);
  place.slot = shards_[place.hash.bucket].find(place.hash.tag, key);
  if (place.slot != nullptr) place.entry = Shard::entry_of(*place.slot);
  return place;
}

Entry* Table::Impl::find(std::string_view key) const { return place_of(key).entry; }

Rich Table::Impl::copy(const Entry& entry) const {
  if (entry.rich()) return entry.versions();
  const Plain plain = entry.plain(contexts_);
  Version version;
  version.created = plain.created;
  version.values.push_back(owned(plain.value));
  version.touch = plain.touch;
  version.called_back = entry.has_timer() && !entry.timer().linked();
  Rich rich;
  rich.push_back(std::move(version));
  return rich;
}

std::vector<Incarnation> Table::Impl::look(const Entry& entry) const {
  std::vector<Incarnation> incarnations;
  if (!entry.rich()) {
    const Plain plain = entry.plain(contexts_);
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

OrderedIndex& Table::Impl::index() {
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

void Table::Impl::scan(std::string_view from, const Visit& visit) {
  assert(options_.ordered);
  index().scan(from, [&](const Entry& entry) { return visit(entry.key()); });
}

void Table::Impl::scan_bucket(std::uint32_t bucket, const Visit& visit) const {
  assert(bucket < buckets);
  for (const Shard::Slot slot : shards_[bucket]) {
    if (slot != 0 && !visit(Shard::entry_of(slot)->key())) return;
  }
}

// --- What keeps everything in step -------------------------------------------------------------

void Table::Impl::account(std::ptrdiff_t entries, std::ptrdiff_t bytes) {
  const auto add = [](std::atomic<std::size_t>& counter, std::ptrdiff_t difference) {
    counter.store(counter.load(std::memory_order_relaxed) + static_cast<std::size_t>(difference),
                  std::memory_order_relaxed);
  };
  add(count_, entries);
  add(bytes_, bytes);
}

Table::Digest Table::Impl::digest_of_entry(const Entry& entry) const {
  if (!entry.rich()) {
    if (entry.has_timer() && !entry.timer().linked()) return {};
    const Plain plain = entry.plain(contexts_);
    return digest_of(entry.key(), plain.created, plain.value.stamp, plain.expiry());
  }
  Digest sum;
  for (const Version& version : entry.versions()) {
    const Digest one = digest_of(entry.key(), version);
    sum.low += one.low;
    sum.high += one.high;
  }
  return sum;
}

void Table::Impl::add_digest(std::uint32_t bucket, const Digest& digest) {
  for (Digest* sum : {&total_, &shards_[bucket].digest}) {
    sum->low += digest.low;
    sum->high += digest.high;
  }
}

void Table::Impl::subtract_digest(std::uint32_t bucket, const Digest& digest) {
  add_digest(bucket, {0 - digest.low, 0 - digest.high});
}

/// Puts a new entry on the wheel.  What was called back, and has expired still, is not called back
/// again.
void Table::Impl::arm(Entry& entry, bool was_called_back) {
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

void Table::Impl::insert(const Place& place, Entry::Owned entry) {
  Entry& fresh = *entry;
  shards_[place.hash.bucket].insert(place.hash.tag, std::move(entry));
  if (index_) index_->insert(fresh);
  account(1, static_cast<std::ptrdiff_t>(fresh.allocated()));
  arm(fresh, false);
  add_digest(place.hash.bucket, digest_of_entry(fresh));
}

/// `entry` takes the place's; the digest of the old one has been subtracted.
void Table::Impl::replace(const Place& place, Entry::Owned entry) {
  Entry& fresh = *entry;
  const bool was_called_back =
      !place.entry->rich() && place.entry->has_timer() && !place.entry->timer().linked();
  if (index_) index_->replace(fresh);
  Shard& shard = shards_[place.hash.bucket];
  const Entry::Owned old = shard.replace(place.slot, std::move(entry));
  account(0, static_cast<std::ptrdiff_t>(fresh.allocated()) -
                 static_cast<std::ptrdiff_t>(old->allocated()));
  arm(fresh, was_called_back);
  add_digest(place.hash.bucket, digest_of_entry(fresh));
}

/// The fast path: one incarnation with one value, before and after.
void Table::Impl::overwrite(const Place& place, const Plain& plain) {
  const auto context =
      contexts_.intern({plain.created.origin, plain.value.stamp.boot, plain.value.line});
  if (!context) {
    Rich rich = copy(*place.entry);
    rich.front().values.front() = owned(plain.value);
    rich.front().touch = plain.touch;
    install(place, place.entry->key(), std::move(rich));
    return;
  }
  subtract_digest(place.hash.bucket, digest_of_entry(*place.entry));
  Shard& shard = shards_[place.hash.bucket];
  Entry& entry = *place.entry;
  const bool was_called_back = entry.has_timer() && !entry.timer().linked();
  const bool same_expiry = entry.has_timer() && entry.expiry() == plain.expiry();
  bool done = false;
  {
    const std::scoped_lock guard(shard.lock);
    done = entry.overwrite(plain, *context);
  }
  if (!done) {
    replace(place, Entry::make(entry.key(), plain, *context));
    return;
  }
  if (entry.has_timer() && !same_expiry) {
    entry.timer().unlink();
    arm(entry, was_called_back);
  }
  add_digest(place.hash.bucket, digest_of_entry(entry));
}

Entry::Owned Table::Impl::make(std::string_view key, Rich rich) {
  if (!plain_enough(rich)) return Entry::make(key, std::move(rich));
  const Plain plain = plain_of(rich.front());
  const auto context =
      contexts_.intern({plain.created.origin, plain.value.stamp.boot, plain.value.line});
  return context ? Entry::make(key, plain, *context) : Entry::make(key, std::move(rich));
}

/// The general way: the key holds `rich` from now on.
void Table::Impl::install(const Place& place, std::string_view key, Rich rich) {
  if (rich.empty()) {
    if (place.entry != nullptr) drop(place);
    return;
  }
  const bool called_back = rich.front().called_back;
  Entry::Owned entry = make(key, std::move(rich));
  if (place.entry == nullptr) {
    insert(place, std::move(entry));
    return;
  }
  subtract_digest(place.hash.bucket, digest_of_entry(*place.entry));
  Entry& fresh = *entry;
  if (index_) index_->replace(fresh);
  const Entry::Owned old = shards_[place.hash.bucket].replace(place.slot, std::move(entry));
  account(0, static_cast<std::ptrdiff_t>(fresh.allocated()) -
                 static_cast<std::ptrdiff_t>(old->allocated()));
  arm(fresh, called_back);
  add_digest(place.hash.bucket, digest_of_entry(fresh));
}

void Table::Impl::drop(const Place& place) {
  subtract_digest(place.hash.bucket, digest_of_entry(*place.entry));
  if (index_) index_->erase(*place.entry);
  const Entry::Owned old = shards_[place.hash.bucket].erase(place.slot);
  account(-1, -static_cast<std::ptrdiff_t>(old->allocated()));
}

void Table::Impl::clear() {
  if (index_) index_->clear();
  for (Shard& shard : shards_) shard.clear();
  wheel_.clear();
  total_ = {};
  count_.store(0, std::memory_order_relaxed);
  bytes_.store(0, std::memory_order_relaxed);
}

// --- Changes -----------------------------------------------------------------------------------

template <class Change>
bool Table::Impl::alter(std::string_view key, const Change& change) {
  const Place place = place_of(key);
  Rich rich;
  if (place.entry != nullptr) rich = copy(*place.entry);
  if (!change(rich)) return false;
  install(place, key, std::move(rich));
  return true;
}

bool Table::Impl::put(std::string_view key, const Dot& created, const ValueRegister& value) {
  assert(!key.empty() && key.size() <= Key::max_encoded && value.bytes.size() <= max_value_bytes);
  const Place place = place_of(key);
  if (place.entry != nullptr && !place.entry->rich()) {
    Plain plain = place.entry->plain(contexts_);
    if (plain.created == created && (plain.value.line == value.line || !options_.keep_before)) {
      if (plain.value.stamp >= value.stamp) return false;
      plain.value = value;
      overwrite(place, plain);
      return true;
    }
  }
  if (place.entry == nullptr) {
    const auto context = contexts_.intern({created.origin, value.stamp.boot, value.line});
    if (context) {
      insert(place, Entry::make(key, Plain{created, value, {}}, *context));
      return true;
    }
  }
  return alter(key, [&](Rich& rich) {
    return put_value(obtain_version(rich, created), value, options_.keep_before);
  });
}

bool Table::Impl::touch(std::string_view key, const Dot& created, const ExpiryRegister& touch) {
  assert(!key.empty() && key.size() <= Key::max_encoded);
  if (touch.stamp == Stamp{}) return false;
  const Place place = place_of(key);
  if (place.entry != nullptr && !place.entry->rich()) {
    Plain plain = place.entry->plain(contexts_);
    if (plain.created == created) {
      if (plain.touch.stamp >= touch.stamp) return false;
      plain.touch = touch;
      overwrite(place, plain);
      return true;
    }
  }
  return alter(key,
               [&](Rich& rich) { return touch_version(obtain_version(rich, created), touch); });
}

bool Table::Impl::merge(std::string_view key, const Incarnation& incarnation) {
  const auto& values = incarnation.values;
  const bool touched = incarnation.touch.stamp != Stamp{};
  if (values.empty()) return touch(key, incarnation.created, incarnation.touch);
  if (values.size() == 1) {
    if (!touched) return put(key, incarnation.created, values.front());
    // One change after the other comes to the same, and both are fast.
    const bool put_something = put(key, incarnation.created, values.front());
    return touch(key, incarnation.created, incarnation.touch) || put_something;
  }
  return alter(key, [&](Rich& rich) {
    Version& version = obtain_version(rich, incarnation.created);
    bool changed = touch_version(version, incarnation.touch);
    for (const ValueRegister& value : values) {
      changed |= put_value(version, value, options_.keep_before);
    }
    return changed;
  });
}

bool Table::Impl::remove(std::string_view key, const Dot& created) {
  const Place place = place_of(key);
  if (place.entry == nullptr) return false;
  if (!place.entry->rich()) {
    if (place.entry->plain(contexts_).created != created) return false;
    drop(place);
    return true;
  }
  return alter(key, [&](Rich& rich) {
    return std::erase_if(rich, [&](const Version& version) { return version.created == created; }) >
           0;
  });
}

// --- Expiry ------------------------------------------------------------------------------------

/// A pending incarnation of `entry`, which has left the wheel, has expired: it leaves the digest.
/// True when the key now shows something else than before, or nothing.
bool Table::Impl::fire(Entry& entry, Timestamp at) {
  const std::uint32_t bucket = bucket_of(entry.key());
  if (!entry.rich()) {
    const Plain plain = entry.plain(contexts_);
    subtract_digest(bucket,
                    digest_of(entry.key(), plain.created, plain.value.stamp, plain.expiry()));
    return true;
  }
  const auto shown = [](const Version& version) { return !version.called_back; };
  const Version* before = newest(entry.versions(), shown);
  for (Version& version : entry.versions()) {
    if (!version.pending() || version.expiry() > at) continue;
    subtract_digest(bucket, digest_of(entry.key(), version));
    version.called_back = true;
  }
  arm(entry, false);
  const Version* now = newest(entry.versions(), shown);
  return now == nullptr || now != before;
}

void Table::Impl::expire(Timestamp at, std::size_t limit, const Expired& expired) {
  constexpr std::size_t moves =
      4096;  // From level to level of the wheel, beside those that are due.
  called_until_ = std::max(called_until_, at);
  std::size_t steps = limit > SIZE_MAX - moves ? SIZE_MAX : limit + moves;
  for (std::size_t called = 0; called < limit;) {
    TimerNode* due = wheel_.pop(at, steps);
    if (due == nullptr) return;
    Entry& entry = Entry::of(*due);
    if (!fire(entry, at)) continue;
    ++called;
    expired(entry.key());  // May change or remove the entry: it is not looked at again.
  }
}

// --- The public face ---------------------------------------------------------------------------

Table::Table(Options options) : impl_(std::make_unique<Impl>(options)) {}
Table::~Table() = default;

std::optional<std::string> Table::get(std::string_view key, Timestamp at) const {
  std::optional<std::string> value;
  impl_->read(key, at, [&](const View& found) { value.emplace(found.value); });
  return value;
}

std::optional<Table::Found> Table::find(std::string_view key, Timestamp at) const {
  std::optional<Found> copy;
  impl_->read(key, at, [&](const View& found) {
    copy = Found{std::string(found.value), found.expiry, found.stamp};
  });
  return copy;
}

bool Table::read(std::string_view key, Timestamp at, const Read& found) const {
  bool there = false;
  impl_->read(key, at, [&](const View& view) {
    there = true;
    found(view);
  });
  return there;
}

void Table::get_many(std::span<const std::string_view> keys, Timestamp at,
                     const ReadMany& found) const {
  impl_->read_many(keys, at, found);
}

std::size_t Table::count() const { return impl_->count(); }
std::size_t Table::bytes() const { return impl_->bytes(); }

std::optional<Table::Visible> Table::visible(std::string_view key, Timestamp at) const {
  const Entry* entry = impl_->find(key);
  if (entry == nullptr) return std::nullopt;
  if (!entry->rich()) {
    if (!entry->live(at)) return std::nullopt;
    const Plain plain = entry->plain(impl_->contexts());
    return Visible{plain.created, plain.value.stamp, plain.expiry()};
  }
  const auto live = [at](const Version& version) { return version.live(at); };
  const Version* version = newest(entry->versions(), live);
  if (version == nullptr) return std::nullopt;
  return Visible{version->created, version->values.front().stamp, version->expiry()};
}

std::vector<Dot> Table::created_dots(std::string_view key) const {
  std::vector<Dot> dots;
  const Entry* entry = impl_->find(key);
  if (entry == nullptr) return dots;
  if (!entry->rich()) {
    dots.push_back(entry->plain(impl_->contexts()).created);
    return dots;
  }
  for (const Version& version : entry->versions()) dots.push_back(version.created);
  return dots;
}

bool Table::holds(std::string_view key, const Dot& created) const {
  const std::vector<Dot> dots = created_dots(key);
  return std::find(dots.begin(), dots.end(), created) != dots.end();
}

std::vector<Incarnation> Table::incarnations(std::string_view key) const {
  const Entry* entry = impl_->find(key);
  return entry == nullptr ? std::vector<Incarnation>() : impl_->look(*entry);
}

void Table::scan(std::string_view from, const Visit& visit) const { impl_->scan(from, visit); }

std::uint32_t Table::bucket_of(std::string_view key) { return hashed(key).bucket; }

void Table::scan_bucket(std::uint32_t bucket, const Visit& visit) const {
  impl_->scan_bucket(bucket, visit);
}

bool Table::put(std::string_view key, const Dot& created, const ValueRegister& value) {
  return impl_->put(key, created, value);
}

bool Table::touch(std::string_view key, const Dot& created, const ExpiryRegister& touch) {
  return impl_->touch(key, created, touch);
}

bool Table::merge(std::string_view key, const Incarnation& incarnation) {
  return impl_->merge(key, incarnation);
}

bool Table::remove(std::string_view key, const Dot& created) { return impl_->remove(key, created); }

bool Table::remove_value(std::string_view key, const Dot& created, LineId line) {
  return impl_->alter(key, [&](Rich& rich) {
    Version* version = find_version(rich, created);
    if (version == nullptr) return false;
    const auto on_line = [&](const Version::Value& value) { return value.line == line; };
    if (std::erase_if(version->values, on_line) == 0) return false;
    if (version->values.empty()) version->called_back = false;
    if (version->values.empty() && version->touch.stamp == Stamp{}) {
      rich.erase(rich.begin() + (version - rich.data()));
    }
    return true;
  });
}

bool Table::remove_before(std::string_view key, const Dot& created) {
  const Entry* entry = impl_->find(key);
  if (entry == nullptr || !entry->rich()) return false;
  return impl_->alter(key, [&](Rich& rich) {
    Version* version = find_version(rich, created);
    if (version == nullptr || version->values.size() < 2) return false;
    version->values.resize(1);
    return true;
  });
}

void Table::clear() { impl_->clear(); }

void Table::expire(Timestamp at, std::size_t limit, const Expired& expired) {
  impl_->expire(at, limit, expired);
}

Timestamp Table::next_expiry() const { return impl_->next_expiry(); }
Table::Digest Table::digest() const { return impl_->total(); }

Table::Digest Table::bucket_digest(std::uint32_t bucket) const {
  assert(bucket < buckets);
  return impl_->bucket_digest(bucket);
}

std::string Table::row(std::string_view key) const {
  const Entry* entry = impl_->find(key);
  return entry == nullptr ? std::string() : encode_row(impl_->look(*entry));
}

Result<bool> Table::merge_row(std::string_view key, std::string_view row) {
  if (Result<Key> good = Key::decode(key); !good) return good.error();
  Result<std::vector<Incarnation>> incarnations = parse_row(row);
  if (!incarnations) return incarnations.error();
  bool changed = false;
  for (const Incarnation& incarnation : *incarnations) changed |= merge(key, incarnation);
  return changed;
}

Result<std::vector<Incarnation>> Table::decode_row(std::string_view row) { return parse_row(row); }

}  // namespace muster::cache
