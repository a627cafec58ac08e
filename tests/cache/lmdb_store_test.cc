// SPDX-License-Identifier: MIT
//
// The store on a real disk: what was answered is there after reopening, whole batches only, and
// every bad directory is refused with a sentence.
#include "lmdb_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <lmdb.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <future>
#include <map>
#include <random>

namespace muster::cache {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (fs::temp_directory_path() / "muster_store_XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~TemporaryDirectory() { fs::remove_all(path_); }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  [[nodiscard]] const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

/// Waits, off the storage thread, for what a store says.
class Answers {
 public:
  void run(LmdbStore& store) {
    store.run(
        [this](std::vector<StoreAnswer> answers) {
          const std::scoped_lock lock(mutex_);
          for (StoreAnswer& answer : answers) all_.push_back(std::move(answer));
          changed_.notify_all();
        },
        [this](DiskState state, const std::string&) {
          const std::scoped_lock lock(mutex_);
          states_.push_back(state);
          changed_.notify_all();
        });
  }
  std::vector<StoreAnswer> wait_for(std::size_t count) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, 30s, [&] { return all_.size() >= count; }));
    return all_;
  }
  /// Until `count` batches are answered or the disk takes no more; the number answered.
  std::size_t wait_while_good(std::size_t count) {
    std::unique_lock lock(mutex_);
    const auto over = [&] { return all_.size() >= count || !is_good(); };
    EXPECT_TRUE(changed_.wait_for(lock, 30s, over));
    return all_.size();
  }
  std::vector<DiskState> states() {
    const std::scoped_lock lock(mutex_);
    return states_;
  }

 private:
  [[nodiscard]] bool is_good() const {
    return states_.empty() || states_.back() == DiskState::good;
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<StoreAnswer> all_;
  std::vector<DiskState> states_;
};

class LmdbStoreTest : public testing::Test {
 protected:
  LmdbStore::Options options() const {
    LmdbStore::Options options;
    options.environment.directory = directory_.path() / "tables";
    options.gather = 1ms;
    options.log_least = 4'000;  // So it is folded all the time.
    return options;
  }
  Result<std::unique_ptr<LmdbStore>> try_open() { return LmdbStore::open(options(), Log()); }
  std::unique_ptr<LmdbStore> open() {
    auto store = try_open();
    EXPECT_TRUE(store) << (store ? "" : store.error().text());
    return store ? std::move(*store) : nullptr;
  }
  std::string refusal() {
    auto store = try_open();
    return store ? "opened" : store.error().text();
  }
  /// Writes the batches and ends; all of them must be answered well.
  void write(std::vector<StoreBatch> batches) {
    const auto store = open();
    ASSERT_TRUE(store);
    Answers answers;
    answers.run(*store);
    for (StoreBatch& batch : batches) store->submit(std::move(batch));
    answers.wait_for(batches.size());
    store->stop();
  }
  static std::vector<std::pair<std::string, std::string>> rows(const LmdbStore& store,
                                                               std::string_view table,
                                                               Space space) {
    std::vector<std::pair<std::string, std::string>> rows;
    EXPECT_TRUE(store.for_each(table, space, [&](std::string_view key, std::string_view value) {
      rows.emplace_back(key, value);
    }));
    return rows;
  }
  fs::path data() const { return directory_.path() / "tables" / "data.mdb"; }

  TemporaryDirectory directory_;
};

StoreBatch batch_of(std::uint64_t number, Rows rows) {
  StoreBatch batch;
  batch.table = "session";
  batch.number = number;
  batch.rows = std::move(rows);
  return batch;
}
StoreBatch batch_of(std::uint64_t number, std::initializer_list<Row> rows) {
  Rows copies;
  for (const Row& row : rows) copies.add(row);
  return batch_of(number, std::move(copies));
}

TEST_F(LmdbStoreTest, GivesBackInKeyOrderWhatWasStored) {
  write({batch_of(1, {{Space::entries, "b", "2"},
                      {Space::entries, "a", "1"},
                      {Space::meta, "path", "root"},
                      {Space::journal, "j", "lost"}})});
  const auto store = open();
  EXPECT_THAT(store->tables(), ElementsAre("session"));
  EXPECT_THAT(rows(*store, "session", Space::entries), ElementsAre(Pair("a", "1"), Pair("b", "2")));
  EXPECT_THAT(rows(*store, "session", Space::meta), ElementsAre(Pair("path", "root")));
  EXPECT_THAT(rows(*store, "session", Space::journal), ElementsAre(Pair("j", "lost")));
  EXPECT_THAT(rows(*store, "session", Space::deletes), IsEmpty());
  EXPECT_THAT(rows(*store, "other", Space::entries), IsEmpty());
}

TEST_F(LmdbStoreTest, TheLastRowOfAKeyCountsWithinAGroupToo) {
  write({batch_of(1, {{Space::entries, "a", "1"}, {Space::entries, "b", "1"}}),
         batch_of(2, {{Space::entries, "a", "2"}, {Space::entries, "b", std::nullopt}}),
         batch_of(3, {{Space::entries, "b", std::nullopt}, {Space::entries, "c", "3"}})});
  EXPECT_THAT(rows(*open(), "session", Space::entries),
              ElementsAre(Pair("a", "2"), Pair("c", "3")));
}

TEST_F(LmdbStoreTest, ClearFirstErasesTheCopyAndNothingElse) {
  write({batch_of(1, {{Space::entries, "old", "1"},
                      {Space::deletes, "d", "1"},
                      {Space::meta, "m", "1"},
                      {Space::journal, "j", "1"}})});
  StoreBatch anew = batch_of(3, {{Space::entries, "new", "3"}});
  anew.clear_first = true;
  write({batch_of(2, {{Space::entries, "between", "2"}, {Space::meta, "n", "2"}}), anew,
         batch_of(4, {{Space::deletes, "e", "4"}})});
  const auto store = open();
  EXPECT_THAT(rows(*store, "session", Space::entries), ElementsAre(Pair("new", "3")));
  EXPECT_THAT(rows(*store, "session", Space::deletes), ElementsAre(Pair("e", "4")));
  EXPECT_THAT(rows(*store, "session", Space::meta), ElementsAre(Pair("m", "1"), Pair("n", "2")));
  EXPECT_THAT(rows(*store, "session", Space::journal), ElementsAre(Pair("j", "1")));
}

TEST_F(LmdbStoreTest, AnswersInOrderAndWritesWhatIsQueuedWhenStopped) {
  const auto store = open();
  Answers answers;
  answers.run(*store);
  for (std::uint64_t number = 1; number <= 500; ++number) {
    StoreBatch batch = batch_of(number, {{Space::entries, "k" + std::to_string(number), "v"}});
    batch.urgent = number % 50 == 0;
    store->submit(std::move(batch));
  }
  store->stop();
  const auto all = answers.wait_for(500);
  for (std::uint64_t number = 1; number <= 500; ++number) {
    EXPECT_EQ(all.at(number - 1).number, number);
  }
  EXPECT_EQ(rows(*store, "session", Space::entries).size(), 500u);
}

TEST_F(LmdbStoreTest, TheMapGrowsByItselfAndIsReservedOnTheDisk) {
  auto store = open();
  Answers answers;
  answers.run(*store);
  for (std::uint64_t number = 1; number <= 64; ++number) {
    store->submit(batch_of(
        number, {{Space::entries, "k" + std::to_string(number), std::string(200'000, 'v')}}));
  }
  answers.wait_for(64);
  store->stop();
  EXPECT_EQ(rows(*store, "session", Space::entries).size(), 64u);
  struct stat status {};
  ASSERT_EQ(::stat(data().c_str(), &status), 0);
  EXPECT_GT(static_cast<std::size_t>(status.st_blocks) * 512, store->bytes());
}

TEST_F(LmdbStoreTest, BeyondItsLimitItStopsAcknowledgingAndSaysSoOnce) {
  std::vector<std::string> said;
  LmdbStore::Options small = options();
  small.environment.map_max = std::size_t{2} << 20;
  small.full_retry = 1ms;
  auto store =
      LmdbStore::open(
          small, Log([&](Level, std::string_view line) { said.emplace_back(line); }, Level::info))
          .value();
  Answers answers;
  answers.run(*store);
  store->submit(batch_of(1, {{Space::entries, "small", "v"}}));
  answers.wait_for(1);
  for (std::uint64_t number = 2; number <= 20; ++number) {
    store->submit(batch_of(
        number, {{Space::entries, "k" + std::to_string(number), std::string(200'000, 'v')}}));
  }
  EXPECT_LT(answers.wait_while_good(20), 20u);
  store->stop();
  EXPECT_THAT(answers.states(), ElementsAre(DiskState::full));
  ASSERT_EQ(said.size(), 1u);
  EXPECT_THAT(said.front(), HasSubstr("limit of 2 MiB"));
  EXPECT_THAT(rows(*store, "session", Space::entries), testing::Contains(Pair("small", "v")));
}

TEST_F(LmdbStoreTest, FilesAndDirectoryAreForTheOwnerAlone) {
  write({batch_of(1, {{Space::entries, "a", "1"}})});
  struct stat status {};
  ASSERT_EQ(::stat(data().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777u, 0600u);
  ASSERT_EQ(::stat(data().parent_path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777u, 0700u);
}

TEST_F(LmdbStoreTest, ASecondOpenerIsTurnedAway) {
  const auto store = open();
  EXPECT_THAT(refusal(), HasSubstr("is in use by another process"));
}

TEST_F(LmdbStoreTest, AFileThatIsNotLmdbIsRefused) {
  fs::create_directories(data().parent_path());
  std::ofstream(data()) << std::string(10'000, 'x');
  EXPECT_THAT(refusal(), HasSubstr("is not an LMDB file"));
}

TEST_F(LmdbStoreTest, AnotherProgramsDataIsRefused) {
  fs::create_directories(data().parent_path());
  MDB_env* environment = nullptr;
  MDB_txn* transaction = nullptr;
  MDB_dbi database = 0;
  mdb_env_create(&environment);
  ASSERT_EQ(mdb_env_open(environment, data().parent_path().c_str(), 0, 0600), 0);
  mdb_txn_begin(environment, nullptr, 0, &transaction);
  mdb_dbi_open(transaction, nullptr, 0, &database);
  MDB_val key{3, const_cast<char*>("key")};
  mdb_put(transaction, database, &key, &key, 0);
  ASSERT_EQ(mdb_txn_commit(transaction), 0);
  mdb_env_close(environment);
  EXPECT_THAT(refusal(), HasSubstr("belongs to another program"));
}

TEST_F(LmdbStoreTest, ANewerFormatIsRefused) {
  open().reset();
  MDB_env* environment = nullptr;
  MDB_txn* transaction = nullptr;
  MDB_dbi database = 0;
  mdb_env_create(&environment);
  mdb_env_set_maxdbs(environment, 4);
  ASSERT_EQ(mdb_env_open(environment, data().parent_path().c_str(), 0, 0600), 0);
  mdb_txn_begin(environment, nullptr, 0, &transaction);
  ASSERT_EQ(mdb_dbi_open(transaction, "muster", 0, &database), 0);
  MDB_val key{6, const_cast<char*>("format")};
  MDB_val value{1, const_cast<char*>("9")};
  mdb_put(transaction, database, &key, &value, 0);
  ASSERT_EQ(mdb_txn_commit(transaction), 0);
  mdb_env_close(environment);
  EXPECT_THAT(refusal(), HasSubstr("has format 9, written by a newer muster"));
}

TEST_F(LmdbStoreTest, AFlippedByteIsRefusedOrHarmlessAndNeverACrash) {
  constexpr std::uint64_t seed = 11;
  std::mt19937_64 random(seed);
  for (std::uint64_t number = 1; number <= 8; ++number) {  // Several, so there are free pages too.
    Rows some;
    for (int i = 0; i < 200; ++i) {
      some.add({Space::entries, "key" + std::to_string(random() % 400),
                std::string(i % 50 == 0 ? 9'000 : 100, static_cast<char>('a' + number))});
    }
    write({batch_of(number, std::move(some))});
  }
  const auto good = rows(*open(), "session", Space::entries);
  std::string file(fs::file_size(data()), '\0');
  std::ifstream(data()).read(file.data(), static_cast<std::streamsize>(file.size()));
  int refused = 0, harmless = 0;
  for (int round = 0; round < 500; ++round) {
    const std::size_t place = random() % file.size();
    std::string flipped = file;
    flipped[place] = static_cast<char>(flipped[place] ^ (1 << random() % 8));
    std::ofstream(data()).write(flipped.data(), static_cast<std::streamsize>(flipped.size()));
    SCOPED_TRACE("seed " + std::to_string(seed) + " byte " + std::to_string(place));
    auto store = try_open();
    std::vector<std::pair<std::string, std::string>> read;
    if (!store || !(*store)->for_each("session", Space::entries, [&](auto key, auto value) {
          read.emplace_back(key, value);
        })) {
      ++refused;
      continue;
    }
    ++harmless;
    EXPECT_TRUE(read == good);
  }
  EXPECT_GT(refused, 80);
  EXPECT_GT(harmless, 20);
}

TEST_F(LmdbStoreTest, ATruncatedFileIsRefused) {
  Rows many;
  for (int i = 0; i < 5000; ++i) {
    many.add({Space::entries, "key" + std::to_string(i), std::string(300, 'v')});
  }
  write({batch_of(1, std::move(many))});
  const auto length = fs::file_size(data());
  for (const auto part : {length / 2, length * 9 / 10}) {
    fs::resize_file(data(), part);
    EXPECT_THAT(refusal(), HasSubstr("data.mdb is damaged")) << part << " of " << length;
  }
  fs::resize_file(data(), 100);
  EXPECT_THAT(refusal(),
              testing::AnyOf(HasSubstr("is not an LMDB file"), HasSubstr("cannot open")));
}

TEST_F(LmdbStoreTest, ADirectoryThatCannotBeWrittenIsRefused) {
  if (::geteuid() == 0) {
    // Root writes everywhere; a file in the place of the directory will do.
    std::ofstream(data().parent_path()) << "file";
  } else {
    fs::create_directories(data().parent_path());
    ::chmod(data().parent_path().c_str(), 0500);
  }
  EXPECT_NE(refusal(), "opened");
}

/// A file system of 2 MiB in memory; gone with it.
class SmallDisk {
 public:
  explicit SmallDisk(fs::path where) : where_(std::move(where)) {
    fs::create_directories(where_);
    mounted_ = ::mount("tmpfs", where_.c_str(), "tmpfs", 0, "size=2m") == 0;
  }
  ~SmallDisk() {
    if (mounted_) ::umount2(where_.c_str(), MNT_DETACH);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  [[nodiscard]] bool mounted() const { return mounted_; }
  void enlarge() const {
    ASSERT_EQ(::mount("tmpfs", where_.c_str(), "tmpfs", MS_REMOUNT, "size=16m"), 0);
  }

 private:
  fs::path where_;
  bool mounted_ = false;
};

TEST_F(LmdbStoreTest, OnAFullDiskBatchesWaitUntilThereIsRoom) {
  const SmallDisk disk(directory_.path() / "tables");
  if (!disk.mounted()) GTEST_SKIP() << "no tmpfs can be mounted here: needs root";
  std::vector<std::string> said;
  LmdbStore::Options quick = options();
  quick.full_retry = 1ms;
  const auto keep = [&](Level level, std::string_view line) {
    if (level == Level::error) said.emplace_back(line);
  };
  auto store = LmdbStore::open(quick, Log(keep, Level::info));
  ASSERT_TRUE(store) << store.error().text();
  Answers answers;
  answers.run(**store);
  std::size_t sent = 0, stored = 0;
  for (; sent == stored && sent < 40; stored = answers.wait_while_good(sent)) {
    ++sent;
    (*store)->submit(
        batch_of(sent, {{Space::entries, "k" + std::to_string(sent), std::string(100'000, 'v')}}));
  }
  ASSERT_LT(stored, sent) << "the disk never was full";
  ASSERT_GT(stored, 3u);
  EXPECT_EQ(rows(**store, "session", Space::entries).size(), stored);
  disk.enlarge();
  answers.wait_for(sent);
  EXPECT_EQ(rows(**store, "session", Space::entries).size(), sent);
  (*store)->stop();
  EXPECT_THAT(answers.states(), ElementsAre(DiskState::full, DiskState::good));
  EXPECT_THAT(said, ElementsAre(HasSubstr("the disk is full")));
}

TEST_F(LmdbStoreTest, OnAFullDiskItStopsAndOpensAgainWithAllThatWasAnswered) {
  const SmallDisk disk(directory_.path() / "tables");
  if (!disk.mounted()) GTEST_SKIP() << "no tmpfs can be mounted here: needs root";
  std::size_t stored = 0;
  {
    const auto store = open();
    Answers answers;
    answers.run(*store);
    for (std::uint64_t number = 1; number <= 40; ++number) {
      store->submit(batch_of(
          number, {{Space::entries, "k" + std::to_string(number), std::string(100'000, 'v')}}));
      if ((stored = answers.wait_while_good(number)) < number) break;
    }
    store->stop();
  }
  EXPECT_LT(stored, 40u);
  const auto store = open();
  ASSERT_TRUE(store);
  EXPECT_EQ(rows(*store, "session", Space::entries).size(), stored);
}

/// In a process of its own: writes batches of ten rows that all say the batch's number, and tells
/// through the pipe what was answered, until it is killed.
[[noreturn]] void write_until_killed(const LmdbStore::Options& options, int pipe,
                                     std::uint64_t from) {
  auto store = LmdbStore::open(options, Log());
  if (!store) ::_exit(1);
  std::atomic<std::uint64_t> answered = from - 1;
  (*store)->run(
      [&](const std::vector<StoreAnswer>& answers) {
        const std::uint64_t number = answers.back().number;
        if (::write(pipe, &number, sizeof(number)) < 0) ::_exit(1);
        answered = number;
        answered.notify_all();
      },
      [](DiskState, const std::string&) { ::_exit(1); });
  for (std::uint64_t number = from;; ++number) {
    Rows rows;
    for (int i = 0; i < 10; ++i) {
      rows.add({Space::entries, "row" + std::to_string(i), std::to_string(number)});
    }
    rows.add({Space::journal, std::to_string(number), "j"});
    StoreBatch batch = batch_of(number, std::move(rows));
    batch.urgent = number % 3 == 0;
    (*store)->submit(std::move(batch));
    for (std::uint64_t upto = answered; number - upto >= 50; upto = answered) answered.wait(upto);
  }
}

TEST_F(LmdbStoreTest, KilledAtAnyMomentItKeepsWholeBatchesAndAllThatWereAnswered) {
  constexpr std::uint64_t seed = 9;
  std::mt19937_64 random(seed);
  std::uint64_t latest = 0;
  for (int round = 0; round < 20; ++round) {
    std::array<int, 2> ends{};
    ASSERT_EQ(::pipe(ends.data()), 0);
    const pid_t child = ::fork();
    if (child == 0) write_until_killed(options(), ends[1], latest + 1);
    ::close(ends[1]);
    std::uint64_t answered = 0;
    const std::uint64_t patience = 1 + random() % 40;
    for (std::uint64_t number = 0, i = 0;
         i < patience && ::read(ends[0], &number, sizeof(number)) == sizeof(number); ++i) {
      answered = number;
    }
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    for (std::uint64_t number = 0; ::read(ends[0], &number, sizeof(number)) == sizeof(number);) {
      answered = number;
    }
    ::close(ends[0]);
    ASSERT_GT(answered, latest) << "seed " << seed << " round " << round;
    const auto store = open();
    ASSERT_TRUE(store);
    const auto kept = rows(*store, "session", Space::entries);
    ASSERT_EQ(kept.size(), 10u);
    for (const auto& [key, value] : kept) {
      EXPECT_EQ(value, kept.front().second) << "seed " << seed << " round " << round;
    }
    latest = std::stoull(kept.front().second);
    EXPECT_GE(latest, answered) << "seed " << seed << " round " << round;
    EXPECT_EQ(rows(*store, "session", Space::journal).size(), latest);
  }
}

/// Random batches on a disk and on maps.
class AnyRows {
 public:
  explicit AnyRows(std::uint64_t seed) : random_(seed) {}

  StoreBatch next() {
    StoreBatch batch = batch_of(++number_, Rows());
    if (random_() % 40 == 0) {
      batch.clear_first = true;
      entries.clear();
      deletes.clear();
    }
    batch.read_back = random_() % 30 == 0;
    const bool rising = random_() % 10 == 0;
    for (std::uint64_t rows = random_() % 40; rows-- > 0;) add(batch, rising);
    return batch;
  }
  std::map<std::string, std::string> entries, deletes;

 private:
  void add(StoreBatch& batch, bool rising) {
    const bool is_delete = random_() % 8 == 0;
    const std::string key =
        rising ? fmt::format("z{:08}", ++risen_) : fmt::format("key number {}", random_() % 300);
    const Space space = is_delete ? Space::deletes : Space::entries;
    auto& rows = is_delete ? deletes : entries;
    if (random_() % 4 == 0) {
      batch.rows.add({space, key, std::nullopt});
      rows.erase(key);
      return;
    }
    const std::size_t size = random_() % 60 == 0 ? 9'000 : random_() % 300;
    const std::string value(size, static_cast<char>('a' + number_ % 26));
    batch.rows.add({space, key, value});
    rows[key] = value;
  }
  std::mt19937_64 random_;
  std::uint64_t number_ = 0, risen_ = 0;
};

TEST_F(LmdbStoreTest, WhateverTheOrderOfRowsTheLastOfEachKeyComesBack) {
  using Sorted = std::vector<std::pair<std::string, std::string>>;
  const auto sorted = [](const auto& map) { return Sorted(map.begin(), map.end()); };
  constexpr std::uint64_t seed = 4;
  AnyRows any(seed);
  std::mt19937_64 random(seed);
  for (int life = 0; life < 60; ++life) {
    SCOPED_TRACE(fmt::format("seed {} life {}", seed, life));
    const auto store = open();
    ASSERT_TRUE(store);
    ASSERT_EQ(rows(*store, "session", Space::entries), sorted(any.entries));
    ASSERT_EQ(rows(*store, "session", Space::deletes), sorted(any.deletes));
    Answers answers;
    answers.run(*store);
    const std::size_t batches = random() % 30;
    bool read_back = store->reads_back("session");
    for (std::size_t i = 0; i < batches; ++i) {
      StoreBatch batch = any.next();
      read_back = batch.read_back;
      store->submit(std::move(batch));
      if (random() % 3 == 0) answers.wait_for(i + 1);
    }
    answers.wait_for(batches);
    ASSERT_EQ(rows(*store, "session", Space::entries), sorted(any.entries));
    ASSERT_EQ(rows(*store, "session", Space::deletes), sorted(any.deletes));
    if (!read_back) continue;
    for (const auto& [key, value] : any.entries) {
      const auto row = store->read("session", key);
      ASSERT_TRUE(row && *row == value) << key;
    }
  }
}

TEST_F(LmdbStoreTest, AHundredThousandRowsComeBackInOneGo) {
  const auto store = open();
  Answers answers;
  answers.run(*store);
  constexpr int batches = 20;
  for (int batch = 0; batch < batches; ++batch) {
    Rows rows;
    for (int i = 0; i < 5'000; ++i) {
      rows.add(
          {Space::entries, fmt::format("session:{:08}", batch * 5'000 + i), std::string(64, 'v')});
    }
    store->submit(batch_of(static_cast<std::uint64_t>(batch) + 1, std::move(rows)));
  }
  answers.wait_for(batches);
  store->stop();
  std::size_t count = 0;
  ASSERT_TRUE(store->for_each("session", Space::entries,
                              [&](std::string_view, std::string_view) { ++count; }));
  EXPECT_EQ(count, 100'000u);
}

}  // namespace
}  // namespace muster::cache
