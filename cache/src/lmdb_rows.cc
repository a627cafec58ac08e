// SPDX-License-Identifier: MIT
#include "lmdb_rows.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cstdint>
#include <cstring>
#include <optional>

namespace muster::cache::lmdb {
namespace {

/// So many are worth a thread that reads ahead.
constexpr std::size_t many_rows = 2000;

std::uint64_t checksum(std::string_view key, std::string_view value) {
  return XXH3_64bits_withSeed(value.data(), value.size(), XXH3_64bits(key.data(), key.size()));
}

/// What was put: a row begins with its checksum.  None: it is not what was put.
std::optional<std::string_view> checked(std::string_view key, std::string_view row) {
  std::uint64_t sum = 0;
  if (row.size() < sizeof(sum)) return std::nullopt;
  std::memcpy(&sum, row.data(), sizeof(sum));
  row.remove_prefix(sizeof(sum));
  if (sum != checksum(key, row)) return std::nullopt;
  return row;
}

int key_at(MDB_txn* transaction, MDB_dbi database, MDB_cursor_op where, std::string& key) {
  key.clear();
  MDB_cursor* cursor = nullptr;
  if (const int code = mdb_cursor_open(transaction, database, &cursor); code != 0) return code;
  MDB_val name{};
  MDB_val value{};
  const int code = mdb_cursor_get(cursor, &name, &value, where);
  if (code == 0) key = view_of(name);
  mdb_cursor_close(cursor);
  return code == MDB_NOTFOUND ? 0 : code;
}

}  // namespace

int each(MDB_txn* transaction, MDB_dbi database, const UseRow& visit) {
  MDB_stat stat{};
  if (const int code = mdb_stat(transaction, database, &stat); code != 0) return code;
  const auto find = [&](const UseRow& found) {
    bool good = true;
    const int code = each_raw(transaction, database, [&](const MDB_val& key, const MDB_val& value) {
      const auto bytes = checked(view_of(key), view_of(value));
      good = good && bytes;
      if (good) found(view_of(key), *bytes);
    });
    return good ? code : MDB_CORRUPTED;
  };
  return stat.ms_entries < many_rows ? find(visit) : read_ahead(find, visit);
}

int get(MDB_txn* transaction, MDB_dbi database, std::string_view key, std::string_view& value) {
  MDB_val name = value_of(key);
  MDB_val found{};
  if (const int code = mdb_get(transaction, database, &name, &found); code != 0) return code;
  const auto bytes = checked(key, view_of(found));
  if (bytes) value = *bytes;
  return bytes ? 0 : MDB_CORRUPTED;
}

int put(MDB_txn* transaction, MDB_dbi database, std::string_view key, std::string_view value,
        Where where) {
  MDB_val name = value_of(key);
  MDB_val room{value.size() + sizeof(std::uint64_t), nullptr};
  const unsigned flags = where == Where::behind_all ? MDB_RESERVE | MDB_APPEND : MDB_RESERVE;
  const int code = mdb_put(transaction, database, &name, &room, flags);
  if (code != 0) return code;
  const std::uint64_t sum = checksum(key, value);
  std::memcpy(room.mv_data, &sum, sizeof(sum));
  std::memcpy(static_cast<char*>(room.mv_data) + sizeof(sum), value.data(), value.size());
  return 0;
}

int erase(MDB_txn* transaction, MDB_dbi database, std::string_view key) {
  MDB_val where = value_of(key);
  const int code = mdb_del(transaction, database, &where, nullptr);
  return code == MDB_NOTFOUND ? 0 : code;
}

int first_key(MDB_txn* transaction, MDB_dbi database, std::string& key) {
  return key_at(transaction, database, MDB_FIRST, key);
}

int last_key(MDB_txn* transaction, MDB_dbi database, std::string& key) {
  return key_at(transaction, database, MDB_LAST, key);
}

}  // namespace muster::cache::lmdb
