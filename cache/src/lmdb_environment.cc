// SPDX-License-Identifier: MIT
#include "lmdb_environment.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <set>
#include <utility>

#include "lmdb_check.h"
#include "lmdb_rows.h"

namespace muster::cache {
namespace {

constexpr std::array<std::string_view, spaces> space_names{"entries", "deletes", "meta", "journal"};
constexpr const char* format_database = "muster";
constexpr std::string_view format_key = "format";
constexpr unsigned databases_max = 64 * (spaces + 2) + 8;
/// How far the map goes ahead of what is used: as much again, within these.
constexpr std::size_t ahead_least = std::size_t{1} << 20;
constexpr std::size_t ahead_most = std::size_t{64} << 20;
/// Where the disk has no room for that, less will do, down to this.
constexpr std::size_t step_least = std::size_t{64} << 10;
/// Asked for at once: this much, or down to what a step takes.  Less than that is left to others.
constexpr std::size_t piece_most = std::size_t{1} << 20;

std::string database_name(std::string_view table, std::string_view part) {
  return fmt::format("{}.{}", table, part);
}

struct Hole {
  std::size_t begin = 0, end = 0;
};

/// The first between `from` and `to`; empty, at `to`: there is none.
Hole next_hole(int file, std::size_t from, std::size_t to) {
  const auto seek = [file](std::size_t at, int what, std::size_t none) {
    const off_t found = ::lseek(file, static_cast<off_t>(at), what);
    return found < 0 ? none : static_cast<std::size_t>(found);
  };
  // Not found: `from` is at or beyond the end of the file.
  const std::size_t begin = std::min(seek(from, SEEK_HOLE, from), to);
  return {begin, std::min(seek(begin, SEEK_DATA, to), to)};
}

}  // namespace

std::string_view part_name(Space space) { return space_names.at(static_cast<std::size_t>(space)); }

/// A transaction for reading, over at the end of the block; while it lasts the map stays where it
/// is.
class LmdbEnvironment::Reading {
 public:
  explicit Reading(const LmdbEnvironment& of) : map_(enter(of)) {
    if (of.environment_ == nullptr) return;
    code_ = mdb_txn_begin(of.environment_, nullptr, MDB_RDONLY, &transaction_);
  }
  ~Reading() {
    if (transaction_ != nullptr) mdb_txn_abort(transaction_);
  }
  Reading(const Reading&) = delete;
  Reading& operator=(const Reading&) = delete;
  [[nodiscard]] int code() const { return code_; }
  [[nodiscard]] MDB_txn* get() const { return transaction_; }

 private:
  static std::shared_lock<std::shared_mutex> enter(const LmdbEnvironment& of) {
    const std::scoped_lock gate(of.gate_);
    return std::shared_lock(of.map_);
  }
  std::shared_lock<std::shared_mutex> map_;
  MDB_txn* transaction_ = nullptr;
  int code_ = EIO;
};

/// Holds a file locked: one process per directory.
class LmdbEnvironment::Lock {
 public:
  static Result<std::unique_ptr<Lock>> take(const std::filesystem::path& directory) {
    const std::filesystem::path file = directory / "in_use";
    auto lock = std::make_unique<Lock>();
    lock->file_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (lock->file_ < 0) {
      return Error{{errno, boost::system::system_category()},
                   fmt::format("cannot create {}", file.string())};
    }
    if (::flock(lock->file_, LOCK_EX | LOCK_NB) != 0) {
      return Error{make_error_code(boost::system::errc::device_or_resource_busy),
                   fmt::format("{} is in use by another process: give each node a directory of "
                               "its own (--dir)",
                               directory.string())};
    }
    return lock;
  }
  Lock() = default;
  ~Lock() {
    if (file_ >= 0) ::close(file_);
  }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  int file_ = -1;
};

LmdbEnvironment::LmdbEnvironment(Options options) : options_(std::move(options)) {}

LmdbEnvironment::~LmdbEnvironment() {
  if (environment_ != nullptr) mdb_env_close(environment_);
}

Result<std::unique_ptr<LmdbEnvironment>> LmdbEnvironment::open(Options options) {
  std::unique_ptr<LmdbEnvironment> environment(new LmdbEnvironment(std::move(options)));
  if (auto done = environment->prepare_directory(); !done) return done.error();
  if (auto done = environment->check_pages(); !done) return done.error();
  if (auto done = environment->open_files(0); !done) return done.error();
  environment->measure();
  if (auto done = environment->check_format(); !done) return done.error();
  if (auto done = environment->open_databases(); !done) return done.error();
  return environment;
}

Error LmdbEnvironment::failure(std::string_view what, int code) const {
  // Never "no space": that is said where nothing was written yet, and may be tried again.
  const int reason = code > 0 && code != ENOSPC ? code : EIO;
  return {{reason, boost::system::system_category()},
          fmt::format("{} in {}: {}", what, options_.directory.string(), mdb_strerror(code))};
}

Error LmdbEnvironment::full(std::string_view what) const {
  const std::string& directory = options_.directory.string();
  struct statvfs disk {};
  const bool known = ::statvfs(directory.c_str(), &disk) == 0;
  const std::uint64_t left = known ? std::uint64_t{disk.f_bavail} * disk.f_frsize : 0;
  return {make_error_code(boost::system::errc::no_space_on_device),
          fmt::format("{} in {}: the disk is full ({} KiB left)", what, directory, left >> 10)};
}

Result<void> LmdbEnvironment::prepare_directory() {
  const std::filesystem::path& directory = options_.directory;
  std::error_code code;
  if (!std::filesystem::exists(directory, code)) {
    std::filesystem::create_directories(directory, code);
    if (!code) ::chmod(directory.c_str(), S_IRWXU);
  }
  if (code || ::access(directory.c_str(), W_OK | X_OK) != 0) {
    const int reason = code ? code.value() : errno;
    return Error{{reason, boost::system::system_category()},
                 fmt::format("cannot write to {}", directory.string())};
  }
  auto lock = Lock::take(directory);
  if (!lock) return lock.error();
  lock_ = std::move(*lock);
  return {};
}

Result<void> LmdbEnvironment::check_pages() const {
  auto damage = find_damage(options_.directory / "data.mdb");
  if (!damage) return damage.error();
  if (!*damage) return {};
  return damaged(**damage);
}

Error LmdbEnvironment::damaged(std::string_view what) const {
  return bad_input(
      fmt::format("{}/data.mdb is damaged ({}): restore it, or move it away and let the node copy "
                  "its tables from others",
                  options_.directory.string(), what));
}

Result<void> LmdbEnvironment::open_files(unsigned flags) {
  if (const int code = mdb_env_create(&environment_); code != 0) {
    return failure("cannot create an LMDB environment", code);
  }
  mdb_env_set_maxdbs(environment_, databases_max);
  mdb_env_set_mapsize(environment_, step_least);  // LMDB takes what the file needs.
  const int code =
      mdb_env_open(environment_, options_.directory.c_str(), MDB_NOTLS | flags, S_IRUSR | S_IWUSR);
  if (code == MDB_INVALID) {
    return bad_input(
        fmt::format("{}/data.mdb is not an LMDB file: move it away, or choose another "
                    "directory",
                    options_.directory.string()));
  }
  if (code == MDB_VERSION_MISMATCH) {
    return bad_input(fmt::format("{}/data.mdb was written by another version of LMDB",
                                 options_.directory.string()));
  }
  if (code != 0) return failure("cannot open data.mdb", code);
  return {};
}

int LmdbEnvironment::read_format(MDB_txn* transaction, std::string& found, bool& foreign) const {
  MDB_dbi database = 0;
  const int code = mdb_dbi_open(transaction, format_database, 0, &database);
  if (code == MDB_NOTFOUND) {
    MDB_dbi names = 0;
    MDB_stat stat{};
    if (const int main = mdb_dbi_open(transaction, nullptr, 0, &names); main != 0) return main;
    if (const int main = mdb_stat(transaction, names, &stat); main != 0) return main;
    foreign = stat.ms_entries > 0;
    return 0;
  }
  if (code == MDB_INCOMPATIBLE) foreign = true;
  if (code != 0) return foreign ? 0 : code;
  MDB_val key = lmdb::value_of(format_key);
  MDB_val value{};
  const int got = mdb_get(transaction, database, &key, &value);
  if (got == MDB_NOTFOUND) foreign = true;
  if (got != 0) return foreign ? 0 : got;
  found = lmdb::view_of(value);
  return 0;
}

Result<void> LmdbEnvironment::check_format() {
  std::string found;
  bool foreign = false;
  {
    const Reading reading(*this);
    const int code =
        reading.code() != 0 ? reading.code() : read_format(reading.get(), found, foreign);
    if (code != 0) return failure("cannot read data.mdb", code);
  }
  const std::string here = options_.directory.string();
  if (foreign) {
    return bad_input(
        fmt::format("{}/data.mdb belongs to another program (no format row of muster): "
                    "choose another directory",
                    here));
  }
  if (found == std::to_string(format)) return {};
  if (found == "1" || found == "2") {
    return bad_input(
        fmt::format("{}/data.mdb has format {}, of a muster before its first release: move it "
                    "away and let the node copy its tables from others",
                    here, found));
  }
  if (!found.empty()) {
    return bad_input(
        fmt::format("{}/data.mdb has format {}, written by a newer muster; this one "
                    "reads format {}: update this node, or choose another directory",
                    here, found, format));
  }
  return commit([](MDB_txn* transaction) {
    MDB_dbi database = 0;
    const int code = mdb_dbi_open(transaction, format_database, MDB_CREATE, &database);
    if (code != 0) return code;
    const std::string text = std::to_string(format);
    MDB_val key = lmdb::value_of(format_key);
    MDB_val value = lmdb::value_of(text);
    return mdb_put(transaction, database, &key, &value, 0);
  });
}

/// All that are there, once and for all readers: LMDB wants them opened by one at a time.  Nobody
/// reads meanwhile.
Result<void> LmdbEnvironment::open_databases() {
  readable_.clear();
  MDB_txn* reading = nullptr;
  int code = mdb_txn_begin(environment_, nullptr, MDB_RDONLY, &reading);
  if (code != 0) return failure("cannot read tables", code);
  Database names = 0;
  code = mdb_dbi_open(reading, nullptr, 0, &names);
  std::vector<std::string> databases;
  if (code == 0) {
    code = lmdb::each_raw(reading, names, [&](const MDB_val& key, const MDB_val&) {
      databases.emplace_back(lmdb::view_of(key));
    });
  }
  for (auto name = databases.begin(); code == 0 && name != databases.end(); ++name) {
    Database database = 0;
    code = mdb_dbi_open(reading, name->c_str(), 0, &database);
    if (code == 0) readable_.emplace(*name, database);
  }
  mdb_txn_commit(reading);  // So they stay open.
  if (code != 0) return failure("cannot read tables", code);
  databases_ = readable_;
  return {};
}

std::vector<std::string> LmdbEnvironment::tables() const {
  std::set<std::string> names;
  const Reading reading(*this);
  for (const auto& [name, database] : readable_) {
    if (const auto dot = name.rfind('.'); dot != std::string::npos) {
      names.emplace(name.substr(0, dot));
    }
  }
  return {names.begin(), names.end()};
}

Result<void> LmdbEnvironment::look(std::string_view table, const Look& look) const {
  const Reading reading(*this);
  int code = reading.code();
  if (code == 0) code = look(reading.get());
  if (code == MDB_CORRUPTED) {
    return damaged(fmt::format("a row of table {} is not what was written", table));
  }
  if (code != 0) return failure(fmt::format("cannot read table {}", table), code);
  return {};
}

bool LmdbEnvironment::find(std::string_view table, std::string_view part,
                           Database& database) const {
  const auto found = readable_.find(database_name(table, part));
  if (found == readable_.end()) return false;
  database = found->second;
  return true;
}

Result<std::optional<std::string>> LmdbEnvironment::read(std::string_view table, Space space,
                                                         std::string_view key) const {
  std::optional<std::string> row;
  const auto done = look(table, [&](MDB_txn* transaction) {
    Database database = 0;
    std::string_view value;
    if (!find(table, part_name(space), database)) return 0;
    const int code = lmdb::get(transaction, database, key, value);
    if (code == 0) row = value;
    return code == MDB_NOTFOUND ? 0 : code;
  });
  if (!done) return done.error();
  return row;
}

int LmdbEnvironment::database(MDB_txn* transaction, std::string_view table, std::string_view part,
                              Database& database) {
  std::string name = database_name(table, part);
  if (const auto known = databases_.find(name); known != databases_.end()) {
    database = known->second;
    return 0;
  }
  const int code = mdb_dbi_open(transaction, name.c_str(), MDB_CREATE, &database);
  if (code == 0) databases_.emplace(std::move(name), database);
  return code;
}

Result<void> LmdbEnvironment::commit(const Write& write) {
  // What lies within the file and was never written may be used next.
  if (const std::size_t have = map_bytes(); reserved_ < have) {
    if (reserve_disk(have, have) == ENOSPC) return full("cannot write tables");
    reserved_ = have;  // Where another error forbids it, the write will say so.
  }
  for (;;) {
    const int code = write_once(write);
    if (code == 0) {
      measure();
      if (databases_.size() == readable_.size()) return {};
      const std::scoped_lock gate(gate_);
      const std::scoped_lock alone(map_);
      readable_ = databases_;
      return {};
    }
    databases_ = readable_;  // Those opened in a transaction that failed are void.
    if (code != MDB_MAP_FULL) {
      Error error = failure("cannot write tables", code);
      reopen_for_reading();
      return error;
    }
    if (auto grown = grow(); !grown) return grown;
  }
}

int LmdbEnvironment::write_once(const Write& write) {
  MDB_txn* transaction = nullptr;
  if (const int code = mdb_txn_begin(environment_, nullptr, 0, &transaction); code != 0) {
    return code;
  }
  if (const int code = write(transaction); code != 0) {
    mdb_txn_abort(transaction);
    return code;
  }
  return mdb_txn_commit(transaction);
}

/// After a commit that failed LMDB may refuse even to read.
void LmdbEnvironment::reopen_for_reading() {
  const std::scoped_lock gate(gate_);
  const std::scoped_lock alone(map_);
  mdb_env_close(std::exchange(environment_, nullptr));
  if (open_files(MDB_RDONLY) && open_databases()) return;
  mdb_env_close(std::exchange(environment_, nullptr));
}

std::size_t LmdbEnvironment::map_bytes() const {
  MDB_envinfo info{};
  mdb_env_info(environment_, &info);
  return info.me_mapsize;
}

/// Hole by hole, and piece by piece: XFS asks for as much free space as a call names, even for what
/// is reserved already.
int LmdbEnvironment::reserve_disk(std::size_t least, std::size_t most) {
  int file = -1;
  mdb_env_get_fd(environment_, &file);
  std::size_t piece = piece_most;
  for (std::size_t wanted = most; reserved_ < wanted;) {
    const auto [hole, end] = next_hole(file, reserved_, wanted);
    reserved_ = hole;
    if (hole == end) continue;
    const std::size_t bytes = std::min(end - hole, piece);
    if (::fallocate(file, FALLOC_FL_KEEP_SIZE, static_cast<off_t>(hole),
                    static_cast<off_t>(bytes)) == 0) {
      reserved_ += bytes;
      continue;
    }
    if (errno == EINTR) continue;
    if (errno == EOPNOTSUPP) break;  // Nothing can be reserved here.
    const int reason = errno == EDQUOT ? ENOSPC : errno;
    if (reason != ENOSPC || piece == step_least) return reason;
    wanted = least;
    piece /= 2;
  }
  return 0;
}

Result<void> LmdbEnvironment::grow() {
  const std::size_t have = map_bytes();
  if (have >= options_.map_max) {
    return Error{make_error_code(boost::system::errc::no_space_on_device),
                 fmt::format("the tables in {} have reached their limit of {} MiB",
                             options_.directory.string(), options_.map_max >> 20)};
  }
  const std::size_t room = options_.map_max - have;
  const std::size_t least = have + std::min(step_least, room);
  const std::size_t most = have + std::min(std::clamp(have, ahead_least, ahead_most), room);
  const int code = reserve_disk(least, most);
  if (code == ENOSPC) return full("cannot write tables");
  if (code != 0) return failure("cannot reserve disk space", code);
  const std::size_t next = reserved_ < least ? most : std::min(reserved_, most);
  const std::scoped_lock gate(gate_);
  const std::scoped_lock alone(map_);
  if (const int moved = mdb_env_set_mapsize(environment_, next); moved != 0) {
    return failure("cannot grow the map of data.mdb", moved);
  }
  return {};
}

void LmdbEnvironment::measure() {
  MDB_envinfo info{};
  MDB_stat stat{};
  mdb_env_info(environment_, &info);
  mdb_env_stat(environment_, &stat);
  used_.store((info.me_last_pgno + 1) * stat.ms_psize, std::memory_order_relaxed);
}

Result<void> LmdbEnvironment::reserve() {
  const std::size_t ahead = std::clamp(bytes() / 2, ahead_least / 2, ahead_most / 2);
  const auto enough = [&] {
    const std::size_t have = map_bytes();
    return bytes() + ahead <= have || have >= options_.map_max;
  };
  if (enough()) return {};
  if (auto grown = grow(); !grown && !is_full(grown.error())) return grown;
  if (enough()) return {};
  return full("little room is left for tables");
}

}  // namespace muster::cache
