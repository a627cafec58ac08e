// SPDX-License-Identifier: MIT
//
// What the changes of a table mean: each either takes the fast path, for keys with one incarnation
// and one value, or works on a copy of all that the key holds.
#include "muster/cache/table.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "key_check.h"
#include "muster/cache/definition.h"
#include "table_content.h"
#include "table_row.h"
#include "table_version.h"

namespace muster::cache {

class Table::Impl {
 public:
  explicit Impl(Options options) : options_(options) {}

  bool put(std::string_view key, const Dot& created, const ValueRegister& value);
  std::optional<bool> overwrite(const TableContent::Place& place, const Dot& created,
                                const ValueRegister& value);
  bool touch(std::string_view key, const Dot& created, const ExpiryRegister& touch);
  bool merge(std::string_view key, const Incarnation& incarnation);
  bool remove(std::string_view key, const Dot& created);
  /// Lets `change` work on a copy of what the key holds (nothing, when it is new).
  template <class Change>
  bool alter(std::string_view key, const Change& change);

  [[nodiscard]] const Options& options() const { return options_; }
  [[nodiscard]] TableContent& content() { return content_; }
  /// For the rows of a load, one after the other.
  [[nodiscard]] std::vector<Incarnation>& scratch() { return scratch_; }
  [[nodiscard]] const Entry* find(std::string_view key) const {
    return content_.place_of(key).entry;
  }

 private:
  const Options options_;
  TableContent content_;
  std::vector<Incarnation> scratch_;
};

template <class Change>
bool Table::Impl::alter(std::string_view key, const Change& change) {
  const auto place = content_.place_of(key);
  Rich rich;
  if (place.entry != nullptr && !content_.copy(*place.entry, rich)) return false;
  if (!change(rich)) return false;
  content_.install(place, key, std::move(rich));
  return true;
}

bool Table::Impl::put(std::string_view key, const Dot& created, const ValueRegister& value) {
  assert(!key.empty() && key.size() <= Key::max_encoded && value.bytes.size() <= max_value_bytes);
  const auto place = content_.place_of(key);
  if (const auto changed = overwrite(place, created, value)) return *changed;
  if (place.entry == nullptr && content_.insert(place, key, Plain{created, value, {}})) return true;
  return alter(key, [&](Rich& rich) {
    return put_value(obtain_version(rich, created), value, options_.keep_before);
  });
}

std::optional<bool> Table::Impl::overwrite(const TableContent::Place& place, const Dot& created,
                                           const ValueRegister& value) {
  if (place.entry == nullptr || place.entry->rich()) return std::nullopt;
  Plain plain = content_.plain(*place.entry);
  const bool stays_one = plain.value.line == value.line || !options_.keep_before;
  if (plain.created != created || !stays_one) return std::nullopt;
  if (plain.value.stamp >= value.stamp) return false;
  plain.value = value;
  content_.overwrite(place, plain);
  return true;
}

bool Table::Impl::touch(std::string_view key, const Dot& created, const ExpiryRegister& touch) {
  assert(!key.empty() && key.size() <= Key::max_encoded);
  if (touch.stamp == Stamp{}) return false;
  const auto place = content_.place_of(key);
  if (place.entry != nullptr && !place.entry->rich()) {
    Plain plain = content_.plain(*place.entry);
    if (plain.created == created) {
      if (plain.touch.stamp >= touch.stamp || !content_.fetch(*place.entry, plain)) return false;
      plain.touch = touch;
      content_.overwrite(place, plain);
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
  const auto place = content_.place_of(key);
  if (place.entry == nullptr) return false;
  if (!place.entry->rich()) {
    if (content_.plain(*place.entry).created != created) return false;
    content_.drop(place);
    return true;
  }
  return alter(key, [&](Rich& rich) {
    return std::erase_if(rich, [&](const Version& version) { return version.created == created; }) >
           0;
  });
}

// --- The public face ---------------------------------------------------------------------------

Table::Table(Options options) : impl_(std::make_unique<Impl>(options)) {}
Table::~Table() = default;

std::optional<std::string> Table::get(std::string_view key, Timestamp at) const {
  std::optional<std::string> value;
  impl_->content().read(key, at, [&](const View& found) { value.emplace(found.value); });
  return value;
}

std::optional<Table::Found> Table::find(std::string_view key, Timestamp at) const {
  std::optional<Found> copy;
  impl_->content().read(key, at, [&](const View& found) {
    copy = Found{std::string(found.value), found.expiry, found.stamp};
  });
  return copy;
}

bool Table::read(std::string_view key, Timestamp at, const Read& found) const {
  bool there = false;
  impl_->content().read(key, at, [&](const View& view) {
    there = true;
    found(view);
  });
  return there;
}

void Table::get_many(std::span<const std::string_view> keys, Timestamp at,
                     const ReadMany& found) const {
  impl_->content().read_many(keys, at, found);
}

std::size_t Table::count() const { return impl_->content().count(); }
std::size_t Table::bytes() const { return impl_->content().bytes(); }

std::optional<Table::Visible> Table::visible(std::string_view key, Timestamp at) const {
  const Entry* entry = impl_->find(key);
  if (entry == nullptr) return std::nullopt;
  if (!entry->rich()) {
    if (!entry->live(at)) return std::nullopt;
    const Plain plain = impl_->content().plain(*entry);
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
    dots.push_back(impl_->content().plain(*entry).created);
    return dots;
  }
  for (const Version& version : entry->versions()) dots.push_back(version.created);
  return dots;
}

bool Table::holds(std::string_view key, const Dot& created) const {
  const Entry* entry = impl_->find(key);
  if (entry == nullptr) return false;
  if (!entry->rich()) return impl_->content().plain(*entry).created == created;
  const auto& versions = entry->versions();
  return std::any_of(versions.begin(), versions.end(),
                     [&](const Version& version) { return version.created == created; });
}

std::vector<Incarnation> Table::incarnations(std::string_view key) const {
  const Entry* entry = impl_->find(key);
  return entry == nullptr ? std::vector<Incarnation>() : impl_->content().look(*entry);
}

void Table::scan(std::string_view from, const Visit& visit) const {
  assert(impl_->options().ordered);
  impl_->content().scan(from, visit);
}

std::uint32_t Table::bucket_of(std::string_view key) { return hashed(key).bucket; }

void Table::scan_bucket(std::uint32_t bucket, const Visit& visit) const {
  impl_->content().scan_bucket(bucket, visit);
}

void Table::scan_rows(std::uint32_t bucket, const VisitRow& visit) const {
  impl_->content().scan_rows(bucket, visit);
}

std::size_t Table::bucket_count(std::uint32_t bucket) const {
  return impl_->content().bucket_count(bucket);
}

void Table::prefetch(std::span<const std::string_view> keys) const {
  impl_->content().prefetch(keys);
}

void Table::reserve(std::uint32_t bucket, std::size_t entries) {
  impl_->content().reserve(bucket, entries);
}

bool Table::put(std::string_view key, const Dot& created, const ValueRegister& value) {
  return impl_->put(key, created, value);
}

std::optional<bool> Table::overwrite(std::string_view key, const Dot& created,
                                     const ValueRegister& value) {
  return impl_->overwrite(impl_->content().place_of(key), created, value);
}

bool Table::touch(std::string_view key, const Dot& created, const ExpiryRegister& touch) {
  return impl_->touch(key, created, touch);
}

bool Table::merge(std::string_view key, const Incarnation& incarnation) {
  return impl_->merge(key, incarnation);
}

bool Table::remove(std::string_view key, const Dot& created) { return impl_->remove(key, created); }

bool Table::remove_value(std::string_view key, const Dot& created, LineId line) {
  return impl_->alter(key, [&](Rich& rich) { return take_value(rich, created, line); });
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

void Table::clear() { impl_->content().clear(); }

void Table::set_source(std::shared_ptr<const ValueSource> source) {
  impl_->content().set_source(std::move(source));
}

void Table::drop_value(std::string_view key) {
  const auto place = impl_->content().place_of(key);
  if (place.entry != nullptr) impl_->content().drop_value(place);
}

void Table::expire(Timestamp at, std::size_t limit, const Expired& expired, const Expired& hidden) {
  impl_->content().expire(at, limit, expired, hidden);
}

Timestamp Table::next_expiry() const { return impl_->content().next_expiry(); }
Table::Digest Table::digest() const { return impl_->content().digest(); }

Table::Digest Table::bucket_digest(std::uint32_t bucket) const {
  return impl_->content().bucket_digest(bucket);
}

std::string Table::row(std::string_view key) const {
  std::string bytes;
  row(key, bytes);
  return bytes;
}

void Table::row(std::string_view key, std::string& bytes) const {
  bytes.clear();
  if (const Entry* entry = impl_->find(key)) impl_->content().row(*entry, bytes);
}

Result<bool> Table::merge_row(std::string_view key, std::string_view row) {
  if (auto good = check_key(key); !good) return good.error();
  std::vector<Incarnation>& incarnations = impl_->scratch();
  if (auto parsed = parse_row(row, incarnations); !parsed) return parsed.error();
  bool changed = false;
  for (const Incarnation& incarnation : incarnations) changed |= merge(key, incarnation);
  return changed;
}

Result<std::vector<Incarnation>> Table::decode_row(std::string_view row) {
  std::vector<Incarnation> incarnations;
  if (auto parsed = parse_row(row, incarnations); !parsed) return parsed.error();
  return incarnations;
}

}  // namespace muster::cache
