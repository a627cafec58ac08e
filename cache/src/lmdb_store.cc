// SPDX-License-Identifier: MIT
#include "lmdb_store.h"

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>

#include "lmdb_rows.h"
#include "row_order.h"

namespace muster::cache {
namespace {

constexpr std::size_t large_row = 2000;  ///< Fills a page or more: there is nothing to gather.
/// So much faster than rows come a log is folded.
constexpr std::size_t fold_pace = 4;
constexpr std::size_t fold_least = 256;

bool is_copied(Space space) { return space == Space::entries || space == Space::deletes; }

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
  return environment_->look(table, [&](MDB_txn* transaction) {
    std::vector<Row> latest;
    int code = 0;
    if (is_copied(space)) {
      code = RecentRows::read_latest(*environment_, transaction, table, space, latest);
    }
    auto next = latest.begin();
    const auto tell = [&] {
      if (next->value) visit(next->key, *next->value);
      ++next;
    };
    LmdbEnvironment::Database rows = 0;
    if (code == 0 && environment_->find(table, part_name(space), rows)) {
      code = lmdb::each(transaction, rows, [&](auto key, auto value) {
        while (next != latest.end() && next->key < key) tell();
        next != latest.end() && next->key == key ? tell() : visit(key, value);
      });
    }
    while (code == 0 && next != latest.end()) tell();
    return code;
  });
}

bool LmdbStore::reads_back(std::string_view table) const {
  std::vector<Row> latest;
  const auto done = environment_->look(table, [&](MDB_txn* transaction) {
    return RecentRows::read_latest(*environment_, transaction, table, Space::entries, latest);
  });
  return done && latest.empty();
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
  thread_ = std::thread([this] {
    work();
    const auto self = end();  // Perhaps this store ends with it.
  });
}

void LmdbStore::submit(StoreBatch batch) {
  const std::scoped_lock lock(mutex_);
  if (stopping_) return;
  queued_rows_ += batch.rows.size();
  urgent_ |= batch.urgent;
  queue_.push_back(std::move(batch));
  arrived_.notify_one();
}

void LmdbStore::ask_to_stop() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  arrived_.notify_one();
  stop_.notify_all();
}

void LmdbStore::stop() {
  ask_to_stop();
  if (thread_.joinable()) thread_.join();
}

bool LmdbStore::stop_within(Duration limit, std::shared_ptr<LmdbStore> self) {
  ask_to_stop();
  if (!thread_.joinable()) return true;
  {
    std::unique_lock lock(mutex_);
    if (!ended_now_.wait_for(lock, limit, [this] { return ended_; })) {
      self_ = std::move(self);
      thread_.detach();
    }
  }
  if (thread_.joinable()) {
    thread_.join();
    return true;
  }
  const std::scoped_lock lock(telling_);
  left_alone_ = true;
  return false;
}

std::shared_ptr<LmdbStore> LmdbStore::end() {
  const std::scoped_lock lock(mutex_);
  ended_ = true;
  ended_now_.notify_all();
  return std::move(self_);
}

void LmdbStore::answer(std::vector<StoreAnswer> answers) {
  const std::scoped_lock lock(telling_);
  if (!left_alone_) answer_(std::move(answers));
}

void LmdbStore::work() {
  recover();
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

/// The logs as a process before this one left them.
void LmdbStore::recover() {
  for (const std::string& table : tables()) {
    const auto known = environment_->look(
        table, [&](MDB_txn* transaction) { return recent(table).recover(transaction); });
    if (!known) return set_state(DiskState::failed, known.error().text());
  }
}

RecentRows& LmdbStore::recent(const std::string& table) {
  return recent_.try_emplace(table, *environment_, table, options_.log_least).first->second;
}

/// What a group changes in one table.
struct LmdbStore::Changes {
  bool clear_first = false, read_back = false;
  std::vector<Row> copied;  // Of entries and deletes, after what was cleared.
  std::vector<Row> others;
  std::size_t bytes = 0;  // Of `copied`.

  void add(const StoreBatch& batch) {
    if (batch.clear_first) {
      clear_first = true;
      copied.clear();
      bytes = 0;
    }
    read_back = batch.read_back;
    copied.reserve(copied.size() + batch.rows.size());
    batch.rows.for_each([this](const Row& row) {
      if (is_copied(row.space)) bytes += row_bytes(row);
      (is_copied(row.space) ? copied : others).push_back(row);
    });
  }
};

int LmdbStore::write_rows(MDB_txn* transaction, const std::vector<StoreBatch>& group) {
  for (auto& [table, recent] : recent_) recent.rolled_back();  // This may be another try.
  std::map<std::string, Changes> by_table;
  for (const StoreBatch& batch : group) by_table[batch.table].add(batch);
  for (auto& [table, changes] : by_table) {
    if (const int code = write_table(transaction, table, changes); code != 0) return code;
  }
  return 0;
}

int LmdbStore::write_table(MDB_txn* transaction, const std::string& table, Changes& changes) {
  RecentRows& log = recent(table);
  int code = 0;
  if (changes.clear_first) code = clear(transaction, table);
  if (code == 0 && changes.read_back) code = log.fold_all(transaction);
  bool at_once = false;
  if (code == 0) code = in_place(transaction, table, changes, at_once);
  if (code != 0) return code;
  if (at_once) {
    code = put_sorted(transaction, table, changes.copied);
  } else {
    for (const Row& row : changes.copied) {
      if (code = log.append(transaction, row); code != 0) return code;
    }
    code = log.end_append(transaction);
    if (code == 0) code = log.fold(transaction, fold_pace * changes.copied.size() + fold_least);
  }
  return code == 0 ? put_sorted(transaction, table, changes.others) : code;
}

int LmdbStore::clear(MDB_txn* transaction, const std::string& table) {
  for (const Space space : {Space::entries, Space::deletes}) {
    MDB_dbi database = 0;
    int code = environment_->database(transaction, table, part_name(space), database);
    if (code == 0) code = mdb_drop(transaction, database, 0);
    if (code != 0) return code;
  }
  return recent(table).clear(transaction);
}

int LmdbStore::in_place(MDB_txn* transaction, const std::string& table, const Changes& changes,
                        bool& yes) {
  yes = false;
  if (!recent(table).empty()) return 0;
  yes = changes.read_back || changes.bytes >= large_row * changes.copied.size();
  if (yes) return 0;
  std::size_t rising = 0;
  for (const Space space : {Space::entries, Space::deletes}) {
    MDB_dbi database = 0;
    std::string last;
    int code = environment_->database(transaction, table, part_name(space), database);
    if (code == 0) code = lmdb::last_key(transaction, database, last);
    if (code != 0) return code;
    rising += static_cast<std::size_t>(
        std::count_if(changes.copied.begin(), changes.copied.end(),
                      [&](const Row& row) { return row.space == space && row.key > last; }));
  }
  yes = rising * 2 > changes.copied.size();
  return 0;
}

int LmdbStore::put_sorted(MDB_txn* transaction, const std::string& table, std::vector<Row>& rows) {
  using Where = lmdb::Where;
  sort_latest(rows);
  MDB_dbi database = 0;
  std::string last_key;  // Before this group.
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Row& row = rows[i];
    int code = 0;
    if (i == 0 || rows[i - 1].space != row.space) {
      code = environment_->database(transaction, table, part_name(row.space), database);
      if (code == 0) code = lmdb::last_key(transaction, database, last_key);
    }
    if (code != 0) return code;
    const Where where = row.key > last_key ? Where::behind_all : Where::anywhere;  // They rise.
    code = row.value ? lmdb::put(transaction, database, row.key, *row.value, where)
                     : lmdb::erase(transaction, database, row.key);
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
  for (auto& [table, recent] : recent_) recent.committed();
  set_state(DiskState::good, "");
  std::vector<StoreAnswer> answers;
  answers.reserve(group.size());
  for (StoreBatch& batch : group) answers.push_back({std::move(batch.table), batch.number});
  answer(std::move(answers));
}

void LmdbStore::set_state(DiskState state, const std::string& why) {
  if (std::exchange(state_, state) == state) return;
  const std::scoped_lock lock(telling_);
  if (left_alone_) return;
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
