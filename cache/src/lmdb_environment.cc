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

namespace muster::cache {
namespace {

constexpr std::array<std::string_view, spaces> space_names{"entries", "deletes", "meta", "journal"};
constexpr const char* format_database = "muster";
constexpr std::string_view format_key = "format";
constexpr unsigned databases_max = 64 * spaces + 8;

std::string database_name(std::string_view table, Space space) {
  return fmt::format("{}.{}", table, space_names.at(static_cast<std::size_t>(space)));
}

MDB_val value_of(std::string_view bytes) {
  return {bytes.size(), const_cast<char*>(bytes.data())};  // LMDB does not write through it.
}

std::string_view view_of(const MDB_val& value) {
  return {static_cast<const char*>(value.mv_data), value.mv_size};
}

/// A transaction for reading, over at the end of the block.
class Reading {
 public:
  explicit Reading(MDB_env* environment)
      : code_(mdb_txn_begin(environment, nullptr, MDB_RDONLY, &transaction_)) {}
  ~Reading() {
    if (transaction_ != nullptr) mdb_txn_abort(transaction_);
  }
  Reading(const Reading&) = delete;
  Reading& operator=(const Reading&) = delete;
  [[nodiscard]] int code() const { return code_; }
  [[nodiscard]] MDB_txn* get() const { return transaction_; }

 private:
  MDB_txn* transaction_ = nullptr;
  int code_;
};

/// Calls `visit` with each row; 0 at the end, else LMDB's error.
template <class Visit>
int each_row(MDB_txn* transaction, MDB_dbi database, const Visit& visit) {
  MDB_cursor* cursor = nullptr;
  if (const int code = mdb_cursor_open(transaction, database, &cursor); code != 0) return code;
  MDB_val key{};
  MDB_val value{};
  int code = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
  for (; code == 0; code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) visit(key, value);
  mdb_cursor_close(cursor);
  return code == MDB_NOTFOUND ? 0 : code;
}

}  // namespace

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
  if (auto done = environment->open_files(); !done) return done.error();
  if (auto done = environment->check_length(); !done) return done.error();
  if (auto done = environment->check_format(); !done) return done.error();
  return environment;
}

Error LmdbEnvironment::failure(std::string_view what, int code) const {
  const std::string& directory = options_.directory.string();
  if (code == EIO || code == ENOSPC) {
    // LMDB reports a short write as EIO, and that is what a full disk looks like.
    struct statvfs disk {};
    const bool known = ::statvfs(directory.c_str(), &disk) == 0;
    const std::uint64_t free_bytes = known ? std::uint64_t{disk.f_bavail} * disk.f_frsize : 0;
    if (known && free_bytes < std::uint64_t{1} << 20) {
      return {
          make_error_code(boost::system::errc::no_space_on_device),
          fmt::format("{} in {}: the disk is full ({} bytes left)", what, directory, free_bytes)};
    }
  }
  const boost::system::error_code system(code > 0 ? code : EIO, boost::system::system_category());
  return {system, fmt::format("{} in {}: {}", what, directory, mdb_strerror(code))};
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

Result<void> LmdbEnvironment::open_files() {
  if (const int code = mdb_env_create(&environment_); code != 0) {
    return failure("cannot create an LMDB environment", code);
  }
  mdb_env_set_maxdbs(environment_, databases_max);
  mdb_env_set_mapsize(environment_, options_.map_start);
  const int code =
      mdb_env_open(environment_, options_.directory.c_str(), MDB_NOTLS, S_IRUSR | S_IWUSR);
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

/// A page beyond the end of the file would be a SIGBUS when touched.  The last pages may be missing
/// in good order (allocated and given back in one transaction), so the file is made long enough and
/// then read whole.
Result<void> LmdbEnvironment::check_length() {
  MDB_envinfo info{};
  MDB_stat stat{};
  mdb_env_info(environment_, &info);
  mdb_env_stat(environment_, &stat);
  const std::uint64_t needed = (std::uint64_t{info.me_last_pgno} + 1) * stat.ms_psize;
  int file = -1;
  mdb_env_get_fd(environment_, &file);
  struct stat status {};
  if (::fstat(file, &status) != 0) return failure("cannot look at data.mdb", errno);
  const auto length = static_cast<std::uint64_t>(status.st_size);
  if (length >= needed) return {};
  if (::ftruncate(file, static_cast<off_t>(needed)) != 0) {
    return failure("cannot repair the length of data.mdb", errno);
  }
  if (walk()) return {};
  return bad_input(
      fmt::format("{}/data.mdb is damaged: {} of {} bytes are there; restore it, or "
                  "move it away and let the node copy its tables from others",
                  options_.directory.string(), length, needed));
}

/// Reads every row of every database.
Result<void> LmdbEnvironment::walk() const {
  const Reading reading(environment_);
  if (reading.code() != 0) return failure("cannot read data.mdb", reading.code());
  MDB_dbi names = 0;
  int code = mdb_dbi_open(reading.get(), nullptr, 0, &names);
  if (code != 0) return failure("cannot read data.mdb", code);
  std::vector<std::string> databases;
  code = each_row(reading.get(), names, [&](const MDB_val& key, const MDB_val&) {
    databases.emplace_back(view_of(key));
  });
  for (auto name = databases.begin(); code == 0 && name != databases.end(); ++name) {
    MDB_dbi database = 0;
    code = mdb_dbi_open(reading.get(), name->c_str(), 0, &database);
    if (code == 0) {
      code = each_row(reading.get(), database, [](const MDB_val&, const MDB_val&) {});
    }
  }
  if (code != 0) return failure("cannot read data.mdb", code);
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
  MDB_val key = value_of(format_key);
  MDB_val value{};
  const int got = mdb_get(transaction, database, &key, &value);
  if (got == MDB_NOTFOUND) foreign = true;
  if (got != 0) return foreign ? 0 : got;
  found = view_of(value);
  return 0;
}

Result<void> LmdbEnvironment::check_format() {
  std::string found;
  bool foreign = false;
  {
    const Reading reading(environment_);
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
  if (found == std::to_string(format)) {
    measure();
    return {};
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
    MDB_val key = value_of(format_key);
    MDB_val value = value_of(text);
    return mdb_put(transaction, database, &key, &value, 0);
  });
}

std::vector<std::string> LmdbEnvironment::tables() const {
  std::set<std::string> names;
  const std::scoped_lock guard(transaction_);
  const Reading reading(environment_);
  MDB_dbi database = 0;
  if (reading.code() != 0 || mdb_dbi_open(reading.get(), nullptr, 0, &database) != 0) return {};
  each_row(reading.get(), database, [&](const MDB_val& key, const MDB_val&) {
    const std::string_view name = view_of(key);
    if (const auto dot = name.rfind('.'); dot != std::string_view::npos) {
      names.emplace(name.substr(0, dot));
    }
  });
  return {names.begin(), names.end()};
}

Result<void> LmdbEnvironment::for_each(std::string_view table, Space space,
                                       const StoreImage::Visit& visit) const {
  const std::scoped_lock guard(transaction_);
  const Reading reading(environment_);
  if (reading.code() != 0) return failure("cannot read tables", reading.code());
  MDB_dbi database = 0;
  int code = mdb_dbi_open(reading.get(), database_name(table, space).c_str(), 0, &database);
  if (code == MDB_NOTFOUND) return {};
  if (code == 0) {
    code = each_row(reading.get(), database, [&](const MDB_val& key, const MDB_val& value) {
      visit(view_of(key), view_of(value));
    });
  }
  if (code != 0) return failure(fmt::format("cannot read table {}", table), code);
  return {};
}

int LmdbEnvironment::database(MDB_txn* transaction, std::string_view table, Space space,
                              Database& database) {
  std::string name = database_name(table, space);
  if (const auto known = databases_.find(name); known != databases_.end()) {
    database = known->second;
    return 0;
  }
  const int code = mdb_dbi_open(transaction, name.c_str(), MDB_CREATE, &database);
  if (code == 0) databases_.emplace(std::move(name), database);
  return code;
}

Result<void> LmdbEnvironment::commit(const Write& write) {
  const std::scoped_lock guard(transaction_);
  for (;;) {
    MDB_txn* transaction = nullptr;
    int code = mdb_txn_begin(environment_, nullptr, 0, &transaction);
    if (code == 0) {
      code = write(transaction);
      if (code == 0) {
        code = mdb_txn_commit(transaction);
      } else {
        mdb_txn_abort(transaction);
      }
    }
    if (code == 0) {
      measure();
      return {};
    }
    databases_.clear();  // Handles opened in a transaction that failed are void.
    if (code != MDB_MAP_FULL) return failure("cannot write tables", code);
    if (auto grown = grow(); !grown) return grown;
  }
}

Result<void> LmdbEnvironment::grow() {
  MDB_envinfo info{};
  mdb_env_info(environment_, &info);
  if (info.me_mapsize >= options_.map_max) {
    return Error{make_error_code(boost::system::errc::no_space_on_device),
                 fmt::format("the tables in {} have reached their limit of {} MiB",
                             options_.directory.string(), options_.map_max >> 20)};
  }
  const std::size_t size = std::min(options_.map_max, std::size_t{info.me_mapsize} * 2);
  if (const int code = mdb_env_set_mapsize(environment_, size); code != 0) {
    return failure("cannot grow the map of data.mdb", code);
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
  constexpr std::size_t least = std::size_t{1} << 20;
  constexpr std::size_t most = std::size_t{64} << 20;
  const std::size_t used = bytes();
  const std::size_t ahead = std::clamp(used / 8, least, most);
  if (used + ahead / 2 <= reserved_) return {};
  int file = -1;
  mdb_env_get_fd(environment_, &file);
  if (::fallocate(file, FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(used + ahead)) != 0) {
    if (errno == EOPNOTSUPP || errno == EINTR) return {};
    return failure("cannot reserve disk space", errno);
  }
  reserved_ = used + ahead;
  return {};
}

}  // namespace muster::cache
