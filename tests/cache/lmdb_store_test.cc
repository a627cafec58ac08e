// SPDX-License-Identifier: MIT
//
// The store on a real disk: what was answered is there after reopening, whole batches only.
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

#include "store_fixture.h"

namespace muster::cache {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

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

TEST_F(LmdbStoreTest, WhatIsSubmittedTogetherBecomesOneCommit) {
  const auto commits_of = [&](std::uint64_t first, std::size_t batches) {
    const std::size_t before = commits();
    std::vector<StoreBatch> together;
    for (std::size_t i = 0; i < batches; ++i)
      together.push_back(batch_of(first + i, {{Space::entries, "k" + std::to_string(i), "v"}}));
    write(std::move(together));
    return commits() - before;
  };
  write({batch_of(1, {{Space::entries, "a", "1"}})});
  const std::size_t one = commits_of(2, 1);
  EXPECT_EQ(commits_of(3, 2), one);
  EXPECT_EQ(commits_of(5, 20), one);
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
