// SPDX-License-Identifier: MIT
//
// What a copy keeps on disk.  One batch holds the rows of all keys that changed since the last one
// together with the vector that covers them, so content and vector are durable as one.
//
// Space::entries is keyed by where the key belongs (4 bytes, table_hash.h) and the encoded key: so
// a load fills one shard after the other, and a copy, which comes bucket by bucket, is written from
// front to back.  Space::deletes is keyed in the same way, followed by 20 bytes of create dot; its
// value is the stamp (16 bytes).  Space::meta holds "state" (message State).
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <deque>

#include "key_check.h"
#include "replica.h"
#include "table_hash.h"
#include "table_row.h"
#include "wire_codec.h"

namespace muster::cache {
namespace {

constexpr std::uint32_t format_version = 4;
constexpr std::size_t place_bytes = 4;
constexpr std::size_t dot_bytes = 20;
constexpr std::size_t stamp_bytes = 16;

void append_big_endian(std::string& out, std::uint64_t value, int bytes) {
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) {
    out.push_back(static_cast<char>(value >> shift));
  }
}
std::uint64_t read_big_endian(std::string_view in) {
  std::uint64_t value = 0;
  for (const char byte : in) value = value << 8 | static_cast<unsigned char>(byte);
  return value;
}
std::uint32_t place_of(std::string_view key) {
  const Hashed hash = hashed(key);
  return hash.bucket << 16 | hash.tag;
}
/// The encoded key in `row_key`; empty: it is none.
std::string_view key_of(std::string_view row_key) {
  if (row_key.size() <= place_bytes) return {};
  const std::string_view key = row_key.substr(place_bytes);
  const bool good =
      check_key(key) && read_big_endian(row_key.substr(0, place_bytes)) == place_of(key);
  return good ? key : std::string_view();
}
std::string delete_key(std::string row, const Dot& created) {
  append_big_endian(row, created.origin.boot.value, 8);
  append_big_endian(row, created.origin.number, 4);
  append_big_endian(row, created.sequence, 8);
  return row;
}
std::string delete_value(const Stamp& stamp) {
  std::string row;
  append_big_endian(row, stamp.time, 8);
  append_big_endian(row, stamp.boot.value, 8);
  return row;
}
Error broken(std::string_view table, std::string_view what) {
  return bad_input(fmt::format("table {}: {} on disk cannot be read", table, what));
}

std::optional<std::string_view> some_unless_empty(const std::string& row) {
  return row.empty() ? std::nullopt : std::optional<std::string_view>(row);
}

}  // namespace

std::string Replica::row_key(std::string_view key) {
  std::string row;
  make_row_key(key, row);
  return row;
}

void Replica::make_row_key(std::string_view key, std::string& row) {
  row.clear();
  row.reserve(place_bytes + key.size());
  append_big_endian(row, place_of(key), place_bytes);
  row += key;
}

std::string Replica::encode_state(const TableDefinition& definition) const {
  wire::State state;
  state.set_format(format_version);
  state.set_complete(is_whole_on_disk());
  to_wire(path_, *state.mutable_path());
  to_wire(members_, *state.mutable_members());
  to_wire(covered(), origins_, *state.mutable_vector());
  state.set_clock(clock_);
  to_wire(definition, *state.mutable_definition());
  to_wire(pruned_, *state.mutable_pruned());
  state.set_admission(admission_);
  to_wire(dropped_, *state.mutable_dropped());
  state.set_shared(shared_);
  state.set_told_until_us(told_until_.time_since_epoch().count());
  return state.SerializeAsString();
}

void Replica::prefetch(const std::deque<std::string>& keys, std::size_t from) const {
  std::array<std::string_view, Table::prefetched_together> next;
  const std::size_t count = std::min(next.size(), keys.size() - from);
  std::copy_n(keys.begin() + static_cast<std::ptrdiff_t>(from), count, next.begin());
  table_->prefetch({next.data(), count});
}

StoreBatch Replica::make_batch(const TableDefinition& definition, std::uint64_t number) {
  assert(options_.stores);
  StoreBatch batch{.table = definition.name, .number = number, .rows = {}};
  batch.clear_first = std::exchange(clear_first_, false);
  batch.read_back = options_.drops_values;
  storing_.clear();
  if (has_unstored_buckets()) add_unstored_buckets(batch.rows);
  std::string row_key, row;
  std::deque<std::string> keys = dirty_keys_.take();
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (i % Table::prefetched_together == 0) prefetch(keys, i);
    make_row_key(keys[i], row_key);
    table_->row(keys[i], row);
    batch.rows.add({Space::entries, row_key, some_unless_empty(row)});
    if (options_.drops_values) storing_.push_back(std::move(keys[i]));
  }
  for (const auto& [key, created] : dirty_deletes_) {
    const Stamp* stamp = deletes_.find(key, created);
    row = stamp != nullptr ? delete_value(*stamp) : std::string();
    batch.rows.add(
        {Space::deletes, delete_key(Replica::row_key(key), created), some_unless_empty(row)});
  }
  for (const auto& [key, value] : journal_rows_) batch.rows.add({Space::journal, key, value});
  batch.rows.add({Space::meta, "state", encode_state(definition)});
  dirty_deletes_.clear();
  journal_rows_.clear();
  meta_dirty_ = has_unstored_buckets();
  batches_[number] = {};
  if (is_whole_on_disk()) batches_[number] = {covered(), path_.empty() ? 0 : path_.back().id};
  return batch;
}

/// With the batch that is being made.
bool Replica::is_whole_on_disk() const { return !from_nothing() && unstored_ == Table::buckets; }

/// In the order in which they lie on disk, as many as do not hold up the loop.
void Replica::add_unstored_buckets(Rows& rows) {
  std::string row_key;
  for (; unstored_ != Table::buckets && rows.bytes() < options_.copy_batch_bytes; ++unstored_) {
    table_->scan_rows(unstored_, [&](std::string_view key, std::string_view row) {
      make_row_key(key, row_key);
      rows.add({Space::entries, row_key, row});
      if (options_.drops_values) storing_.emplace_back(key);
    });
  }
}

std::size_t Replica::unstored_rows() const {
  if (!has_unstored_buckets()) return 0;
  return table_->count() * (Table::buckets - unstored_) / Table::buckets;
}

void Replica::stored(std::uint64_t number) {
  while (!batches_.empty() && batches_.begin()->first <= number) {
    durable_ = std::move(batches_.begin()->second.vector);
    durable_line_ = batches_.begin()->second.line;
    batches_.erase(batches_.begin());
  }
  if (options_.drops_values && batches_.empty()) drop_stored_values();
}

/// Those that have changed again are not on disk as they are.
void Replica::drop_stored_values() {
  for (const std::string& key : storing_) {
    if (!dirty_keys_.contains(key)) table_->drop_value(key);
  }
  storing_.clear();
}

LineId Replica::durable_line() const {
  if (options_.stores) return durable_line_;
  return path_.empty() ? 0 : path_.back().id;
}

void Replica::journal(std::string key, std::optional<std::string> value) {
  if (value) {
    journal_[key] = *value;
  } else {
    journal_.erase(key);
  }
  if (!collects()) return;
  journal_rows_.insert_or_assign(std::move(key), std::move(value));
  meta_dirty_ = true;
}

void Replica::give_up_storing() {
  disk_lost_ = true;
  dirty_keys_.clear();
  dirty_deletes_.clear();
  journal_rows_.clear();
  storing_.clear();
}

Result<bool> Replica::load_state(std::string_view bytes,
                                 std::optional<TableDefinition>& definition) {
  wire::State state;
  if (!state.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return bad_input("its state cannot be read");
  }
  if (state.format() != format_version) {
    return bad_input(fmt::format(
        "it was written in format {}, this program knows {}: move the directory away and "
        "let the node copy its tables from others",
        state.format(), format_version));
  }
  auto read_definition = from_wire(state.definition());
  if (!read_definition) return read_definition.error();
  definition = *read_definition;
  if (!state.complete()) return false;
  if (!from_wire(state.path(), path_)) return bad_input("its path cannot be read");
  members_ = from_wire(state.members());
  shared_ = state.shared();
  if (shared_) {
    log_.set_bytes_max(options_.log_bytes);
  } else {
    own_boots_ = members_;
  }
  seen_ = from_wire(state.vector(), &origins_);
  pruned_ = recent_from_ = from_wire(state.pruned());
  admission_ = state.admission();
  dropped_ = from_wire(state.dropped());
  clock_ = state.clock();
  told_until_ = Expiry(std::chrono::microseconds(state.told_until_us()));
  durable_line_ = path_.empty() ? 0 : path_.back().id;
  return true;
}

Result<std::optional<TableDefinition>> Replica::stored_definition(const StoreImage& image,
                                                                  std::string_view table_name) {
  std::string bytes;
  auto rows = image.for_each(table_name, Space::meta, [&](auto key, auto value) {
    if (key == "state") bytes = value;
  });
  if (!rows) return rows.error();
  if (bytes.empty()) return std::nullopt;
  wire::State state;
  if (!state.ParseFromString(bytes)) return broken(table_name, "its state");
  auto definition = from_wire(state.definition());
  if (!definition) return definition.error();
  return std::optional(*definition);
}

Result<bool> Replica::load(const StoreImage& image, std::string_view table_name,
                           std::optional<TableDefinition>& definition) {
  std::string state;
  auto read_rows = image.for_each(table_name, Space::meta, [&](auto key, auto value) {
    if (key == "state") state = value;
  });
  if (!read_rows) return read_rows.error();
  bool broken_row = false;
  read_rows = image.for_each(table_name, Space::journal,
                             [&](auto key, auto value) { journal_.emplace(key, value); });
  if (!read_rows) return read_rows.error();
  if (state.empty()) return false;
  auto counts = load_state(state, definition);
  if (!counts)
    return bad_input(fmt::format("table {} on disk: {}", table_name, counts.error().text()));
  if (!*counts) {
    clear_first_ = true;
    return false;
  }
  expire(told_until_, 1, {});  // Of nothing yet: what comes now is timed from there on.
  const bool reads_back = !options_.drops_values || image.reads_back(table_name);
  read_rows = image.for_each(table_name, Space::entries, [&](auto row_key, auto value) {
    const std::string_view key = key_of(row_key);
    broken_row |= key.empty() || !parse_row(value, row_);
    if (broken_row) return;
    for (const Incarnation& each : row_) table_->merge(key, each);
    if (options_.drops_values) reads_back ? table_->drop_value(key) : touched(key);
    for (const Incarnation& each : row_) {
      if (each.values.empty()) parked_touches_.emplace(std::string(key), each.created);
      if (each.values.size() > 1) befores_.emplace(key);
    }
  });
  if (!read_rows) return read_rows.error();
  if (broken_row) return broken(table_name, "an entry");
  read_rows = image.for_each(table_name, Space::deletes, [&](auto row_key, auto value) {
    broken_row |= row_key.size() <= dot_bytes || value.size() != stamp_bytes;
    if (broken_row) return;
    const auto dot = row_key.substr(row_key.size() - dot_bytes);
    const std::string_view key = key_of(row_key.substr(0, row_key.size() - dot_bytes));
    broken_row |= key.empty();
    if (broken_row) return;
    const Dot created{{BootId{read_big_endian(dot.substr(0, 8))},
                       static_cast<std::uint32_t>(read_big_endian(dot.substr(8, 4)))},
                      read_big_endian(dot.substr(12))};
    const Stamp stamp{read_big_endian(value.substr(0, 8)),
                      BootId{read_big_endian(value.substr(8))}};
    deletes_.add(key, created, stamp);
  });
  if (!read_rows) return read_rows.error();
  if (broken_row) return broken(table_name, "a delete");
  expire(told_until_, SIZE_MAX, {});  // Told of by a process before this one.
  durable_ = seen_;
  meta_dirty_ |= dirty_keys_.size() != 0;
  reset_log();
  return true;
}

}  // namespace muster::cache
