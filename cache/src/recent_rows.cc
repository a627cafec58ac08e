// SPDX-License-Identifier: MIT
#include "recent_rows.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "lmdb_rows.h"
#include "row_order.h"

namespace muster::cache {
namespace {

constexpr std::array<std::string_view, 2> log_names{"recent0", "recent1"};
/// Two values of LMDB with their keys and heads fill a page of 4096 bytes.
constexpr std::size_t value_most = 2000;
constexpr std::size_t table_part = 4;

std::string key_of(std::uint64_t number) {
  std::string key(sizeof(number), '\0');
  for (std::size_t i = key.size(); i-- > 0; number >>= 8) key[i] = static_cast<char>(number);
  return key;
}

std::uint64_t number_of(std::string_view key) {
  std::uint64_t number = 0;
  for (const char byte : key) number = number << 8 | static_cast<unsigned char>(byte);
  return number;
}

}  // namespace

RecentRows::RecentRows(LmdbEnvironment& environment, std::string table, std::size_t least)
    : environment_(environment), table_(std::move(table)), least_(least) {}

bool RecentRows::empty() const {
  return emptied_ || (logs_[0].first == logs_[0].next && logs_[1].first == logs_[1].next);
}

int RecentRows::database(MDB_txn* transaction, std::string_view part,
                         LmdbEnvironment::Database& database) {
  return environment_.database(transaction, table_, part, database);
}

int RecentRows::recover(MDB_txn* reading) {
  for (std::size_t i = 0; i < logs_.size(); ++i) {
    LmdbEnvironment::Database from = 0;
    if (!environment_.find(table_, log_names[i], from)) continue;
    Log& log = logs_[i];
    const int code = lmdb::each(reading, from, [&](auto key, auto value) {
      if (log.places.empty()) log.first = number_of(key);
      log.next = number_of(key) + 1;
      log.bytes += value.size();
      const char* start = value.data();
      for (Row row; take_row(value, row);) {
        const auto offset = static_cast<std::uint16_t>(row.key.data() - start - row_head_bytes);
        log.places.push_back({front_of(row.key),
                              static_cast<std::uint32_t>(log.next - 1 - log.first), offset,
                              row.space});
      }
    });
    if (code != 0) return code;
  }
  open_ = logs_[1].next > logs_[0].next ? 1 : 0;
  if (folding().next != folding().first) begin_fold();
  if (open().first == open().next) open().first = open().next = folding().next;
  mark_ = {open().first, open().next, open().bytes, open().places.size(), folded_};
  return 0;
}

int RecentRows::append(MDB_txn* transaction, const Row& row) {
  if (!value_.empty() && value_.size() + row_bytes(row) > value_most) {
    if (const int code = write_value(transaction); code != 0) return code;
  }
  Log& log = open();
  log.places.push_back({front_of(row.key), static_cast<std::uint32_t>(log.next - log.first),
                        static_cast<std::uint16_t>(value_.size()), row.space});
  write_row(value_, row);
  return 0;
}

int RecentRows::end_append(MDB_txn* transaction) {
  if (!value_.empty()) {
    if (const int code = write_value(transaction); code != 0) return code;
  }
  LmdbEnvironment::Database entries = 0;
  MDB_stat stat{};
  int code = database(transaction, part_name(Space::entries), entries);
  if (code == 0) code = mdb_stat(transaction, entries, &stat);
  table_bytes_ = stat.ms_leaf_pages * stat.ms_psize;
  return code;
}

int RecentRows::write_value(MDB_txn* transaction) {
  LmdbEnvironment::Database log = 0;
  int code = database(transaction, log_names[open_], log);
  if (code == 0) {
    code = lmdb::put(transaction, log, key_of(open().next), value_, lmdb::Where::behind_all);
  }
  ++open().next;
  open().bytes += value_.size();
  value_.clear();
  return code;
}

/// The view stays: nothing is written to a log that is being folded.
int RecentRows::row_at(MDB_txn* transaction, LmdbEnvironment::Database log, const Place& place,
                       Row& row) {
  std::string_view value;
  const std::uint64_t number = folding().first + place.after_first;
  if (const int code = lmdb::get(transaction, log, key_of(number), value); code != 0) {
    return code;
  }
  if (value.size() < place.offset) return MDB_CORRUPTED;
  value.remove_prefix(place.offset);
  return take_row(value, row) ? 0 : MDB_CORRUPTED;
}

int RecentRows::targets(MDB_txn* transaction, Targets& targets) {
  for (const Space space : {Space::entries, Space::deletes}) {
    auto& target = targets.at(static_cast<std::size_t>(space));
    if (const int code = database(transaction, part_name(space), target); code != 0) return code;
  }
  return 0;
}

int RecentRows::move(MDB_txn* transaction, const Targets& targets, const Row& row) {
  const LmdbEnvironment::Database to = targets.at(static_cast<std::size_t>(row.space));
  if (!row.value) return lmdb::erase(transaction, to, row.key);
  return lmdb::put(transaction, to, row.key, *row.value, lmdb::Where::anywhere);
}

int RecentRows::fold(MDB_txn* transaction, std::size_t rows) {
  const std::size_t all = folding().places.size();
  if (all == 0 || folded_all_ || emptied_) return 0;
  return fold_from(transaction, std::min(all, folded_ + rows));
}

int RecentRows::fold_from(MDB_txn* transaction, std::size_t end) {
  LmdbEnvironment::Database log = 0;
  Targets targets{};
  int code = database(transaction, log_names[1 - open_], log);
  if (code == 0) code = this->targets(transaction, targets);
  const std::vector<Place>& places = folding().places;
  Row row, next;
  if (code == 0 && folded_ < end) code = row_at(transaction, log, places[folded_], row);
  for (; code == 0 && folded_ < end; ++folded_, row = next) {
    const bool last = folded_ + 1 == places.size();
    if (!last) code = row_at(transaction, log, places[folded_ + 1], next);
    const bool superseded = !last && next.space == row.space && next.key == row.key;
    if (code == 0 && !superseded) code = move(transaction, targets, row);
  }
  if (code != 0 || folded_ < places.size()) return code;
  folded_all_ = true;
  return drop(transaction, 1 - open_);
}

int RecentRows::fold_all(MDB_txn* transaction) {
  if (empty()) return 0;
  if (const int code = fold(transaction, folding().places.size()); code != 0) return code;
  // The other one's rows in their own order: the last of each key remains.
  LmdbEnvironment::Database log = 0;
  Targets targets{};
  int code = database(transaction, log_names[open_], log);
  if (code == 0) code = this->targets(transaction, targets);
  std::vector<std::string> values;  // Copies: the table changes while we read them.
  if (code == 0) {
    code = lmdb::each(transaction, log, [&](auto, auto value) { values.emplace_back(value); });
  }
  for (const std::string& value : values) {
    std::string_view rest = value;
    for (Row row; code == 0 && take_row(rest, row);) {
      code = move(transaction, targets, row);
    }
  }
  if (code == 0) code = drop(transaction, open_);
  emptied_ = true;
  return code;
}

int RecentRows::clear(MDB_txn* transaction) {
  emptied_ = true;
  for (std::size_t i = 0; i < logs_.size(); ++i) {
    if (const int code = drop(transaction, i); code != 0) return code;
  }
  return 0;
}

int RecentRows::drop(MDB_txn* transaction, std::size_t log) {
  LmdbEnvironment::Database rows = 0;
  if (!environment_.find(table_, log_names[log], rows)) return 0;
  return mdb_drop(transaction, rows, 0);
}

void RecentRows::begin_fold() {
  folded_ = 0;
  std::stable_sort(folding().places.begin(), folding().places.end(),
                   [](const Place& a, const Place& b) {
                     return a.space != b.space ? a.space < b.space : a.front < b.front;
                   });
}

void RecentRows::committed() {
  // What was appended after it was emptied has gone in place, so nothing is left in either.
  if (emptied_) {
    const std::uint64_t next = open().next;
    for (Log& log : logs_) log = {next, next, 0, {}};
    folded_ = 0;
  } else if (folded_all_) {
    folding() = {};
    folded_ = 0;
  }
  const bool full = open().bytes > std::max(least_, table_bytes_ / table_part);
  if (full && folding().places.empty()) {
    open_ = 1 - open_;
    open() = {folding().next, folding().next, 0, {}};
    begin_fold();
  }
  emptied_ = folded_all_ = false;
  mark_ = {open().first, open().next, open().bytes, open().places.size(), folded_};
}

void RecentRows::rolled_back() {
  value_.clear();
  emptied_ = folded_all_ = false;
  open().first = mark_.first;
  open().next = mark_.next;
  open().bytes = mark_.bytes;
  open().places.resize(mark_.places);
  folded_ = mark_.folded;
}

int RecentRows::read_latest(const LmdbEnvironment& environment, MDB_txn* transaction,
                            std::string_view table, Space space, std::vector<Row>& latest) {
  std::vector<std::pair<std::uint64_t, LmdbEnvironment::Database>> logs;  // By number.
  for (const std::string_view name : log_names) {
    LmdbEnvironment::Database log = 0;
    std::string first;
    if (!environment.find(table, name, log)) continue;
    if (const int code = lmdb::first_key(transaction, log, first); code != 0) return code;
    if (!first.empty()) logs.emplace_back(number_of(first), log);
  }
  std::sort(logs.begin(), logs.end());
  for (const auto& [first, log] : logs) {
    const int code = lmdb::each(transaction, log, [&](auto, auto value) {
      for (Row row; take_row(value, row);) {
        if (row.space == space) latest.push_back(row);
      }
    });
    if (code != 0) return code;
  }
  sort_latest(latest);
  return 0;
}

}  // namespace muster::cache
