// SPDX-License-Identifier: MIT
//
// Directories that a store must not open: each is refused with a sentence, and none crashes it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <lmdb.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

#include "store_fixture.h"

namespace muster::cache {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

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

/// Says so in the file.
void set_format(const fs::path& directory, std::string format) {
  MDB_env* environment = nullptr;
  MDB_txn* transaction = nullptr;
  MDB_dbi database = 0;
  mdb_env_create(&environment);
  mdb_env_set_maxdbs(environment, 4);
  ASSERT_EQ(mdb_env_open(environment, directory.c_str(), 0, 0600), 0);
  mdb_txn_begin(environment, nullptr, 0, &transaction);
  ASSERT_EQ(mdb_dbi_open(transaction, "muster", 0, &database), 0);
  MDB_val key{6, const_cast<char*>("format")};
  MDB_val value{format.size(), format.data()};
  mdb_put(transaction, database, &key, &value, 0);
  ASSERT_EQ(mdb_txn_commit(transaction), 0);
  mdb_env_close(environment);
}

TEST_F(LmdbStoreTest, AnotherFormatIsRefusedAndItIsSaidWhatToDo) {
  open().reset();
  set_format(data().parent_path(), "9");
  EXPECT_THAT(refusal(), HasSubstr("has format 9, written by a newer muster"));
  EXPECT_THAT(refusal(), HasSubstr("update this node, or choose another directory"));
  set_format(data().parent_path(), "2");
  EXPECT_THAT(refusal(), HasSubstr("has format 2, of a muster before its first release"));
  EXPECT_THAT(refusal(), HasSubstr("move it away and let the node copy its tables from others"));
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

/// Of both meta pages, how large the map is and which page is the last one.
TEST_F(LmdbStoreTest, AFlippedBitOfASizeIsRefusedOrHarmlessAndTakesNoMemory) {
  for (std::uint64_t number = 1; number <= 3; ++number) {
    write({batch_of(number, {{Space::entries, "key", std::string(9'000, 'v')}})});
  }
  const auto good = rows(*open(), "session", Space::entries);
  std::string file(fs::file_size(data()), '\0');
  std::ifstream(data()).read(file.data(), static_cast<std::streamsize>(file.size()));
  constexpr std::size_t page_bytes = 4096, map_size_at = 16 + 16, last_page_at = 16 + 120;
  int refused = 0;
  for (const std::size_t place :
       {map_size_at, last_page_at, page_bytes + map_size_at, page_bytes + last_page_at}) {
    for (std::size_t bit = 0; bit < 64; ++bit) {
      SCOPED_TRACE(fmt::format("bit {} at {}", bit, place));
      std::string flipped = file;
      flipped[place + bit / 8] = static_cast<char>(flipped[place + bit / 8] ^ (1 << bit % 8));
      std::ofstream(data()).write(flipped.data(), static_cast<std::streamsize>(flipped.size()));
      if (const auto store = try_open()) {
        EXPECT_TRUE(rows(**store, "session", Space::entries) == good);
      } else {
        EXPECT_THAT(store.error().text(), HasSubstr("data.mdb is damaged"));
        ++refused;
      }
    }
  }
  EXPECT_GE(refused, 40) << "all beyond the map, of the latest page";
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

/// So many pages that they are looked at on two threads.
TEST_F(LmdbStoreTest, ADamagedPageOfALargeTableIsRefusedWhereverItLies) {
  Rows many;
  for (int i = 0; i < 30'000; ++i) {
    many.add({Space::entries, fmt::format("key{:08}", i), std::string(300, 'v')});
  }
  write({batch_of(1, std::move(many))});
  ASSERT_TRUE(open());
  constexpr std::size_t page_bytes = 4096;
  const std::size_t pages = fs::file_size(data()) / page_bytes;
  int damaged = 0;
  for (std::size_t page = 10; page < pages; page += pages / 12) {
    std::fstream file(data());
    const auto flags_at = static_cast<std::streamoff>(page * page_bytes + 10);
    std::uint16_t flags = 0;
    file.seekg(flags_at).read(reinterpret_cast<char*>(&flags), sizeof(flags));
    constexpr std::uint16_t leaf = 2;
    if (flags != leaf) continue;
    const auto set_flags = [&](std::uint16_t value) {
      file.seekp(flags_at).write(reinterpret_cast<const char*>(&value), sizeof(value)).flush();
    };
    set_flags(0);
    EXPECT_THAT(refusal(), HasSubstr(fmt::format("page {}: its header is damaged", page)));
    set_flags(leaf);
    ++damaged;
  }
  EXPECT_GE(damaged, 8);
  EXPECT_TRUE(open());
}

}  // namespace
}  // namespace muster::cache
