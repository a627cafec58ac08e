// SPDX-License-Identifier: MIT
//
// The entries of one table in memory: what a key holds, and how two versions of it become one.  No
// replication here: who may apply what, and when, is the replica's business; what the result is, is
// decided here, and it is the same in whatever order and however often the same changes arrive.
//
// A key holds incarnations, each born by one create (its dot).  An incarnation has a value register
// and an expiry register; in both the newest stamp wins.  The visible incarnation is the live one
// with the newest value.  A value that was overwritten by a put of another line stays as `before`
// until it is dropped.
//
// Threads: changes on one thread (the node's strand).  get(), count() and bytes() from any thread
// at any time: keys are spread over shards with a lock each, held for one entry at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "muster/cache/key.h"
#include "muster/cache/types.h"
#include "muster/discovery/result.h"

namespace muster::cache {

/// A value as one line last put it.
struct ValueRegister {
  Stamp stamp;
  LineId line = 0;
  Expiry expiry = never_expires;
  std::string_view bytes;
};

/// Set by a touch; counts where its stamp is newer than the value's.
struct ExpiryRegister {
  Stamp stamp;
  Expiry expiry = never_expires;
};

/// A copy of one incarnation, for those who must look inside: catch-up, heal, journal, disk,
/// digests.
struct Incarnation {
  Dot created;
  std::vector<ValueRegister>
      values;            ///< Newest first; the others are `before` values, one per line.
  ExpiryRegister touch;  ///< Zero stamp: never touched.

  [[nodiscard]] Expiry expiry() const;
  [[nodiscard]] bool live(Timestamp at) const;  ///< Has a value and has not expired.
};

/// Where the values are that are not in memory (disc_only_copies): on disk, row by row.
///
/// Threads: row() from any thread.
class ValueSource {
 public:
  virtual ~ValueSource() = default;
  /// The row of `key` as of when its value was dropped, or a newer one; empty: gone.
  [[nodiscard]] virtual Result<std::string> row(std::string_view key) const = 0;
};

class Table {
 public:
  /// `ordered`: keeps an ordered index, so that scan() costs what it returns.  `keep_before`: one
  /// value per line is kept (all policies but `merge`).
  struct Options {
    bool ordered = true;
    bool keep_before = true;
  };
  explicit Table(Options options);
  ~Table();
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;

  // Reads, from any thread.  Expired entries miss.
  [[nodiscard]] std::optional<std::string> get(std::string_view key, Timestamp at) const;
  struct Found {
    std::string value;
    Expiry expiry = never_expires;
    Stamp stamp;
  };
  [[nodiscard]] std::optional<Found> find(std::string_view key, Timestamp at) const;
  /// Without a copy: valid during the call, in which the key's shard is locked; so be brief and
  /// leave the table alone.  False: a miss.
  struct View {
    std::string_view value;
    Expiry expiry = never_expires;
    Stamp stamp;
  };
  using Read = std::function<void(const View& found)>;
  bool read(std::string_view key, Timestamp at, const Read& found) const;
  /// Many at once: several times as fast as one by one.  Calls back, in order, for those that are
  /// there; under the same rules as read().
  using ReadMany = std::function<void(std::size_t index, const View& found)>;
  void get_many(std::span<const std::string_view> keys, Timestamp at, const ReadMany& found) const;
  [[nodiscard]] std::size_t count()
      const;  ///< Keys held, those that have expired but are not settled included.
  [[nodiscard]] std::size_t bytes() const;  ///< Memory held, as near as can be told cheaply.

  // Reads on the owner's thread.
  /// The dot and stamps of the incarnation that a write at `at` continues; none: the write is a
  /// create.
  struct Visible {
    Dot created;
    Stamp value_stamp;
    Expiry expiry = never_expires;
  };
  [[nodiscard]] std::optional<Visible> visible(std::string_view key, Timestamp at) const;
  [[nodiscard]] std::vector<Dot> created_dots(std::string_view key) const;
  [[nodiscard]] bool holds(std::string_view key, const Dot& created) const;
  /// The views inside point into the table and are valid until its next change; those of a dropped
  /// value until the next call.
  [[nodiscard]] std::vector<Incarnation> incarnations(std::string_view key) const;
  /// Keys from `from` (inclusive) in key order while `visit` returns true; `visit` must not change
  /// the table.  Needs Options::ordered.  The first call builds the index (0.3 s for a million
  /// keys), later changes maintain it.
  using Visit = std::function<bool(std::string_view key)>;
  void scan(std::string_view from, const Visit& visit) const;
  /// All keys of one of `buckets` buckets by key hash, in no order; for copying and digests.
  static constexpr std::uint32_t buckets = 4096;
  [[nodiscard]] static std::uint32_t bucket_of(std::string_view key);
  void scan_bucket(std::uint32_t bucket, const Visit& visit) const;
  /// With each key's row, valid during the visit.
  using VisitRow = std::function<void(std::string_view key, std::string_view row)>;
  void scan_rows(std::uint32_t bucket, const VisitRow& visit) const;
  [[nodiscard]] std::size_t bucket_count(std::uint32_t bucket) const;
  /// Room in this bucket for so many entries in all.
  void reserve(std::uint32_t bucket, std::size_t entries);

  /// The owner will look at these soon; of use for up to `prefetched_together`.
  static constexpr std::size_t prefetched_together = 16;
  void prefetch(std::span<const std::string_view> keys) const;

  // Changes, on the owner's thread.  Each is idempotent; true when something changed.
  bool put(std::string_view key, const Dot& created, const ValueRegister& value);
  /// The usual put: over a key that holds this incarnation alone, with one value, which stays one.
  /// What put() would have said; nothing: the key is another case, and nothing happened.
  std::optional<bool> overwrite(std::string_view key, const Dot& created,
                                const ValueRegister& value);
  /// Kept without a value where the incarnation is unknown (its create may still come).
  bool touch(std::string_view key, const Dot& created, const ExpiryRegister& touch);
  bool merge(std::string_view key, const Incarnation& incarnation);
  bool remove(std::string_view key, const Dot& created);
  /// Takes away one line's value; an incarnation left without value and touch goes.  For a heal.
  bool remove_value(std::string_view key, const Dot& created, LineId line);
  bool remove_before(std::string_view key,
                     const Dot& created);  ///< Drops all but the newest value.
  void clear();

  // Values on disk alone.  A dropped value is read from the source wherever it is asked for; where
  // that fails the key is a miss, and the source says why.
  void set_source(std::shared_ptr<const ValueSource> source);  ///< Before the first is dropped.
  /// The source has row(key) as it is now: the value leaves memory until the key changes.  Keys
  /// with more than one value stay.
  void drop_value(std::string_view key);

  // Expiry: constant cost per change.  Calls back each key whose visible incarnation has expired by
  // `at`, once, at most `limit` of them; the entry stays (a husk) until removed.  `expired` may
  // change the table.  The work of one call is bounded: while next_expiry() is not after `at`,
  // there is more to do.  `hidden`, where given, is told of keys that show what they showed but
  // hold one more husk.
  using Expired = std::function<void(std::string_view key)>;
  void expire(Timestamp at, std::size_t limit, const Expired& expired, const Expired& hidden = {});
  [[nodiscard]] Timestamp next_expiry() const;  ///< No later than the next one due.

  // Digests of content, maintained at each change: additive over (key, dot, stamps, expiry) of
  // incarnations.  That of the table is of those that have a value and that expire() has not yet
  // called back, so that equal content gives equal digests whatever the history and whoever has
  // forgotten which husk.  That of a bucket is of all it holds: equal ones need not be copied.
  struct Digest {
    std::uint64_t low = 0, high = 0;
    friend auto operator<=>(const Digest&, const Digest&) = default;
    Digest& operator+=(const Digest& other) {
      low += other.low;
      high += other.high;
      return *this;
    }
    Digest& operator-=(const Digest& other) {
      low -= other.low;
      high -= other.high;
      return *this;
    }
  };
  [[nodiscard]] Digest digest() const;
  [[nodiscard]] Digest bucket_digest(std::uint32_t bucket) const;

  // One key's incarnations as a compact row, for disk and wire alike; merge_row() refuses what is
  // malformed.
  [[nodiscard]] std::string row(std::string_view key) const;  ///< Empty: the key is not there.
  void row(std::string_view key, std::string& bytes) const;   ///< The same, into `bytes`.
  Result<bool> merge_row(std::string_view key, std::string_view row);
  static Result<std::vector<Incarnation>> decode_row(
      std::string_view row);  ///< Views point into `row`.

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace muster::cache
