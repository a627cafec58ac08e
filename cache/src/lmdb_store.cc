// SPDX-License-Identifier: MIT
#include "lmdb_store.h"

#include <algorithm>
#include <cassert>
#include <map>
#include <set>
#include <tuple>
#include <utility>

namespace muster::cache {
namespace {

std::size_t bytes_of(const StoreBatch& batch) {
  std::size_t bytes = sizeof(StoreBatch);
  for (const Row& row : batch.rows) {
    bytes += sizeof(Row) + row.key.size() + (row.value ? row.value->size() : 0);
  }
  return bytes;
}

/// Rows of one group as they are to be written: by table, space and key, the last of each key only.
struct Planned {
  const std::string* table;
  const Row* row;

  [[nodiscard]] auto place() const {
    return std::tuple<std::string_view, Space, std::string_view>(*table, row->space, row->key);
  }
};

bool is_copied(Space space) { return space == Space::entries || space == Space::deletes; }

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
      if (!void_copy || !is_copied(row.space)) rows.push_back({&group[i].table, &row});
    }
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const Planned& a, const Planned& b) { return a.place() < b.place(); });
  std::size_t kept = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const bool superseded = i + 1 < rows.size() && rows[i].place() == rows[i + 1].place();
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

void LmdbStore::run(Answer answer) {
  assert(!thread_.joinable());
  answer_ = std::move(answer);
  thread_ = std::thread([this] { work(); });
}

void LmdbStore::submit(StoreBatch batch) {
  const std::size_t bytes = bytes_of(batch);
  std::unique_lock lock(mutex_);
  room_.wait(lock, [this] { return queued_bytes_ < options_.queue_bytes || stopping_; });
  if (stopping_) return;
  queued_bytes_ += bytes;
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
  room_.notify_all();
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
  queued_bytes_ = 0;
  queued_rows_ = 0;
  urgent_ = false;
  room_.notify_all();
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
  for (const Planned& planned : plan(group)) {
    const Row& row = *planned.row;
    MDB_dbi database = 0;
    int code = environment_->database(transaction, *planned.table, row.space, database);
    if (code != 0) return code;
    MDB_val key{row.key.size(), const_cast<char*>(row.key.data())};
    if (row.value) {
      MDB_val value{row.value->size(), const_cast<char*>(row.value->data())};
      code = mdb_put(transaction, database, &key, &value, 0);
    } else {
      code = mdb_del(transaction, database, &key, nullptr);
      if (code == MDB_NOTFOUND) code = 0;
    }
    if (code != 0) return code;
  }
  return 0;
}

void LmdbStore::write(std::vector<StoreBatch>& group) {
  if (!failed_) {
    const auto room = environment_->reserve();
    if (!room && !std::exchange(little_room_said_, true)) log_.warn("{}", room.error().text());
    if (room) little_room_said_ = false;
    const auto done =
        environment_->commit([&](MDB_txn* transaction) { return write_rows(transaction, group); });
    if (!done) {
      failed_ = true;
      log_.error(
          "{}; nothing is stored or acknowledged as durable from now on: make room or repair "
          "the disk, then restart this node",
          done.error().text());
    }
  }
  std::vector<StoreAnswer> answers;
  answers.reserve(group.size());
  for (StoreBatch& batch : group) {
    answers.push_back({std::move(batch.table), batch.number, failed_});
  }
  answer_(std::move(answers));
}

}  // namespace muster::cache
