// SPDX-License-Identifier: MIT
#include "lmdb_store.h"

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

namespace muster::cache {
namespace {

/// A row of a group as it is to be written.  `front` is how its key begins: nearly every comparison
/// ends there, without a look at the row.
struct Planned {
  const std::string* table;
  const Row* row;
  std::uint64_t front;
  Space space;
};

std::uint64_t front_of(std::string_view key) {
  std::uint64_t front = 0;
  for (std::size_t i = 0; i < sizeof(front); ++i) {
    front = front << 8 | (i < key.size() ? static_cast<unsigned char>(key[i]) : 0U);
  }
  return front;
}

bool same_place(const Planned& a, const Planned& b) {
  return a.front == b.front && a.space == b.space && a.row->key == b.row->key &&
         *a.table == *b.table;
}

bool is_copied(Space space) { return space == Space::entries || space == Space::deletes; }

/// By table, space and key, the last of each key only.
std::vector<Planned> plan(const std::vector<StoreBatch>& group) {
  std::map<std::string_view, std::size_t> cleared;  // The last batch that clears a table.
  for (std::size_t i = 0; i < group.size(); ++i) {
    if (group[i].clear_first) cleared[group[i].table] = i;
  }
  std::vector<Planned> rows;
  for (std::size_t i = 0; i < group.size(); ++i) {
    const auto clear = cleared.find(group[i].table);
    const bool void_copy = clear != cleared.end() && i < clear->second;
    for (const Row& row : group[i].rows) {
      if (void_copy && is_copied(row.space)) continue;
      rows.push_back({&group[i].table, &row, front_of(row.key), row.space});
    }
  }
  std::stable_sort(rows.begin(), rows.end(), [](const Planned& a, const Planned& b) {
    if (a.table != b.table) {
      if (const int order = a.table->compare(*b.table); order != 0) return order < 0;
    }
    if (a.space != b.space) return a.space < b.space;
    return a.front != b.front ? a.front < b.front : a.row->key < b.row->key;
  });
  std::size_t kept = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const bool superseded = i + 1 < rows.size() && same_place(rows[i], rows[i + 1]);
    if (!superseded) rows[kept++] = rows[i];
  }
  rows.resize(kept);
  return rows;
}

}  // namespace

LmdbStore::LmdbStore(Options options, Log log, std::unique_ptr<LmdbEnvironment> environment)
    : options_(std::move(options)), log_(std::move(log)), environment_(std::move(environment)) {}

LmdbStore::~LmdbStore() { stop(); }

Result<std::unique_ptr<LmdbStore>> LmdbStore::open(Options options, Log log) {
  auto environment = LmdbEnvironment::open(options.environment);
  if (!environment) return environment.error();
  return std::unique_ptr<LmdbStore>(
      new LmdbStore(std::move(options), std::move(log), std::move(*environment)));
}

std::vector<std::string> LmdbStore::tables() const { return environment_->tables(); }

Result<void> LmdbStore::for_each(std::string_view table, Space space, const Visit& visit) const {
  return environment_->for_each(table, space, visit);
}

Result<std::optional<std::string>> LmdbStore::read(std::string_view table,
                                                   std::string_view key) const {
  auto row = environment_->read(table, Space::entries, key);
  if (!row && !unreadable_said_.exchange(true)) log_.error("{}", row.error().text());
  return row;
}

void LmdbStore::run(Answer answer, Tell tell) {
  assert(!thread_.joinable());
  answer_ = std::move(answer);
  tell_ = std::move(tell);
  thread_ = std::thread([this] { work(); });
}

void LmdbStore::submit(StoreBatch batch) {
  const std::scoped_lock lock(mutex_);
  if (stopping_) return;
  queued_rows_ += batch.rows.size();
  urgent_ |= batch.urgent;
  queue_.push_back(std::move(batch));
  arrived_.notify_one();
}

void LmdbStore::stop() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  arrived_.notify_one();
  stop_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void LmdbStore::work() {
  for (;;) {
    std::vector<StoreBatch> group = next_group();
    if (group.empty()) return;
    write(group);
  }
}

/// What is to be committed together; empty: stop.
std::vector<StoreBatch> LmdbStore::next_group() {
  std::unique_lock lock(mutex_);
  arrived_.wait(lock, [this] { return !queue_.empty() || stopping_; });
  arrived_.wait_for(lock, options_.gather, [this] {
    return urgent_ || stopping_ || queued_rows_ >= options_.gather_rows;
  });
  std::vector<StoreBatch> group(std::make_move_iterator(queue_.begin()),
                                std::make_move_iterator(queue_.end()));
  queue_.clear();
  queued_rows_ = 0;
  urgent_ = false;
  return group;
}

int LmdbStore::write_rows(MDB_txn* transaction, const std::vector<StoreBatch>& group) {
  std::set<std::string_view> cleared;
  for (const StoreBatch& batch : group) {
    if (!batch.clear_first || !cleared.insert(batch.table).second) continue;
    for (const Space space : {Space::entries, Space::deletes}) {
      MDB_dbi database = 0;
      int code = environment_->database(transaction, batch.table, space, database);
      if (code == 0) code = mdb_drop(transaction, database, 0);
      if (code != 0) return code;
    }
  }
  using Where = LmdbEnvironment::Where;
  std::optional<LmdbEnvironment::Database> latest;
  std::string last_key;  // Of the latest database, before this group.
  for (const Planned& planned : plan(group)) {
    const Row& row = *planned.row;
    MDB_dbi database = 0;
    int code = environment_->database(transaction, *planned.table, row.space, database);
    if (code == 0 && latest != database) {
      code = LmdbEnvironment::last_key(transaction, database, last_key);
      latest = database;
    }
    if (code != 0) return code;
    const Where where = row.key > last_key ? Where::behind_all : Where::anywhere;  // They rise.
    code = row.value ? LmdbEnvironment::put(transaction, database, row.key, *row.value, where)
                     : LmdbEnvironment::erase(transaction, database, row.key);
    if (code != 0) return code;
  }
  return 0;
}

void LmdbStore::write(std::vector<StoreBatch>& group) {
  if (state_ != DiskState::good) return;  // Failed, or given up: what comes after a gap is nothing.
  const auto room = environment_->reserve();
  if (!room && !std::exchange(little_room_said_, true)) log_.warn("{}", room.error().text());
  if (room) little_room_said_ = false;
  for (;;) {
    const auto done =
        environment_->commit([&](MDB_txn* transaction) { return write_rows(transaction, group); });
    if (done) break;
    if (!LmdbEnvironment::is_full(done.error())) {
      return set_state(DiskState::failed, done.error().text());
    }
    set_state(DiskState::full, done.error().text());
    if (!wait_for_room()) return;
  }
  set_state(DiskState::good, "");
  std::vector<StoreAnswer> answers;
  answers.reserve(group.size());
  for (StoreBatch& batch : group) answers.push_back({std::move(batch.table), batch.number});
  answer_(std::move(answers));
}

void LmdbStore::set_state(DiskState state, const std::string& why) {
  if (std::exchange(state_, state) == state) return;
  switch (state) {
    case DiskState::good:
      log_.info("there is room on the disk again: what waited is stored");
      break;
    case DiskState::full:
      log_.error("{}; writes are refused until there is room", why);
      break;
    case DiskState::failed:
      log_.error(
          "{}; nothing is stored or acknowledged from now on: repair the disk, then restart this "
          "node",
          why);
      break;
  }
  tell_(state, why);
}

/// False: it is time to stop.
bool LmdbStore::wait_for_room() {
  std::unique_lock lock(mutex_);
  return !stop_.wait_for(lock, options_.full_retry, [this] { return stopping_; });
}

}  // namespace muster::cache
