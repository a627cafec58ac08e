// SPDX-License-Identifier: MIT
//
// The parts of a table that change as one: shards of entries, contexts, wheel, ordered index,
// digests, counts.  Every change of a key goes through insert(), overwrite(), install() or drop(),
// which keep all of them right; what a change means is decided above, in table.cc.
//
// Threads: changes by the owner alone; read(), read_many(), count() and bytes() from any thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <shared_mutex>
#include <span>
#include <string_view>
#include <vector>

#include "expiry_wheel.h"
#include "muster/cache/table.h"
#include "ordered_index.h"
#include "table_entry.h"
#include "table_hash.h"
#include "table_shard.h"
#include "table_version.h"

namespace muster::cache {

class TableContent {
 public:
  struct Place {
    Hashed hash;
    const Shard::Slot* slot = nullptr;
    Entry* entry = nullptr;  ///< nullptr: the key is not there.
  };

  // Any thread.  `found` is called with a Table::View under the shard's lock, or not at all.
  template <class Tell>
  void read(std::string_view key, Timestamp at, const Tell& found) const;
  void read_many(std::span<const std::string_view> keys, Timestamp at,
                 const Table::ReadMany& found) const;
  [[nodiscard]] std::size_t count() const { return count_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::size_t bytes() const;

  // The owner looks.
  [[nodiscard]] Place place_of(std::string_view key) const;
  [[nodiscard]] Plain plain(const Entry& entry) const { return entry.plain(contexts_); }
  /// False: its value cannot be read from the source.
  [[nodiscard]] bool copy(const Entry& entry, Rich& rich) const;
  [[nodiscard]] std::vector<Incarnation> look(const Entry& entry) const;
  /// Fills in the value of an entry where it is absent; valid until the next call.
  bool fetch(const Entry& entry, Plain& plain) const;
  void row(const Entry& entry, std::string& bytes) const;
  void scan(std::string_view from, const Table::Visit& visit);
  void scan_bucket(std::uint32_t bucket, const Table::Visit& visit) const;
  void scan_rows(std::uint32_t bucket, const Table::VisitRow& visit) const;
  [[nodiscard]] std::size_t bucket_count(std::uint32_t bucket) const;
  void reserve(std::uint32_t bucket, std::size_t entries);
  void prefetch(std::span<const std::string_view> keys) const;
  [[nodiscard]] Expiry next_expiry() const { return wheel_.next(); }
  [[nodiscard]] Table::Digest digest() const { return total_; }
  [[nodiscard]] Table::Digest bucket_digest(std::uint32_t bucket) const;

  // The owner changes.
  /// A key that is not there; false: too many contexts, use install().
  bool insert(const Place& place, std::string_view key, const Plain& plain);
  /// One incarnation with one value, before and after.
  void overwrite(const Place& place, const Plain& plain);
  /// The general way: the key holds `rich` from now on, or nothing when that is empty.
  void install(const Place& place, std::string_view key, Rich rich);
  void drop(const Place& place);
  void clear();
  void set_source(std::shared_ptr<const ValueSource> source) { source_ = std::move(source); }
  void drop_value(const Place& place);
  void expire(Timestamp at, std::size_t limit, const Table::Expired& expired,
              const Table::Expired& hidden);

 private:
  [[nodiscard]] std::optional<std::uint32_t> context_of(const Plain& plain);
  [[nodiscard]] Entry::Owned make(std::string_view key, Rich rich);
  void add(const Place& place, Entry::Owned entry);
  void replace(const Place& place, Entry::Owned entry, bool was_called_back);
  struct Digests {
    Table::Digest all;    ///< What the digest of a bucket is made of.
    Table::Digest shown;  ///< What the digest of the table is made of.
  };
  [[nodiscard]] Digests digests_of(const Entry& entry) const;
  void add_digest(std::uint32_t bucket, const Entry& entry);
  void subtract_digest(std::uint32_t bucket, const Entry& entry);
  void arm(Entry& entry, bool was_called_back);
  bool fire(Entry& entry, Timestamp at);
  [[nodiscard]] OrderedIndex& index();
  void account(std::ptrdiff_t entries, std::ptrdiff_t bytes);
  void read_absent(const Hashed& hash, std::string_view key, Timestamp at,
                   const Table::Read& found) const;
  template <class Tell>
  void tell(const Entry& entry, Timestamp at, const Tell& found) const;

  Contexts contexts_;
  std::shared_ptr<const ValueSource> source_;
  mutable std::string fetched_;              // The owner's: what fetch() read last,
  mutable std::vector<Incarnation> parsed_;  // and what is in it.
  ExpiryWheel wheel_;                        // Before the shards: entries leave it when they go.
  std::unique_ptr<OrderedIndex> index_;
  std::vector<Shard> shards_ = std::vector<Shard>(Table::buckets);
  Expiry called_until_{};  ///< Of the latest expire().
  Table::Digest total_;
  std::atomic<std::size_t> count_ = 0;
  std::atomic<std::size_t> bytes_ = 0;
};

/// Under the lock of the entry's shard.
template <class Tell>
void TableContent::tell(const Entry& entry, Timestamp at, const Tell& found) const {
  if (!entry.rich()) {
    if (!entry.live(at)) return;
    const Plain plain = entry.plain(contexts_);
    found(Table::View{plain.value.bytes, plain.expiry(), plain.value.stamp});
    return;
  }
  const auto live = [at](const Version& version) { return version.live(at); };
  const Version* version = newest(entry.versions(), live);
  if (version == nullptr) return;
  const Version::Value& value = version->values.front();
  found(Table::View{value.bytes, version->expiry(), value.stamp});
}

template <class Tell>
void TableContent::read(std::string_view key, Timestamp at, const Tell& found) const {
  const Hashed hash = hashed(key);
  const Shard& shard = shards_[hash.bucket];
  {
    const std::shared_lock guard(shard.lock);
    const Shard::Slot* slot = shard.find(hash.tag, key);
    if (slot == nullptr) return;
    const Entry& entry = *Shard::entry_of(*slot);
    if (!entry.absent()) return tell(entry, at, found);
    if (!entry.live(at)) return;
  }
  read_absent(hash, key, at, found);
}

}  // namespace muster::cache
