// SPDX-License-Identifier: MIT
//
// Rows in a database of LMDB, each behind a checksum of its key and value.
//
// Threads: those of the transaction.  Errors: LMDB's codes, 0: none; MDB_CORRUPTED: a row is not
// what was put.
#pragma once

#include <lmdb.h>

#include <string>
#include <string_view>

#include "read_ahead.h"

namespace muster::cache::lmdb {

/// In key order.  Where there are many another thread reads ahead: `visit`, on this one, leaves the
/// transaction alone.
int each(MDB_txn* transaction, MDB_dbi database, const UseRow& visit);
int get(MDB_txn* transaction, MDB_dbi database, std::string_view key, std::string_view& value);
/// "" where there is no row.
int first_key(MDB_txn* transaction, MDB_dbi database, std::string& key);
int last_key(MDB_txn* transaction, MDB_dbi database, std::string& key);

enum class Where { anywhere, behind_all };  ///< `behind_all` fills pages, else they are split.
int put(MDB_txn* transaction, MDB_dbi database, std::string_view key, std::string_view value,
        Where where);
int erase(MDB_txn* transaction, MDB_dbi database, std::string_view key);

// As LMDB has them, without a checksum.
inline MDB_val value_of(std::string_view bytes) {
  return {bytes.size(), const_cast<char*>(bytes.data())};  // LMDB does not write through it.
}

inline std::string_view view_of(const MDB_val& value) {
  return {static_cast<const char*>(value.mv_data), value.mv_size};
}

/// Calls `visit` with each row; 0 at the end, else LMDB's error.
template <class Visit>
int each_raw(MDB_txn* transaction, MDB_dbi database, const Visit& visit) {
  MDB_cursor* cursor = nullptr;
  if (const int code = mdb_cursor_open(transaction, database, &cursor); code != 0) return code;
  MDB_val key{};
  MDB_val value{};
  int code = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
  for (; code == 0; code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) visit(key, value);
  mdb_cursor_close(cursor);
  return code == MDB_NOTFOUND ? 0 : code;
}

}  // namespace muster::cache::lmdb
