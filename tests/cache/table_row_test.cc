// SPDX-License-Identifier: MIT
//
// Rows: there and back, and nothing but a clear error from garbage.
#include <gtest/gtest.h>

#include <random>

#include "muster/cache/table.h"

namespace muster::cache {
namespace {

Table::Options options() { return {.ordered = false, .keep_before = true}; }

/// A key with several incarnations, values and touches.
void fill(Table& table, const std::string& key, std::mt19937_64& random) {
  for (int i = 0; i < 8; ++i) {
    const Dot dot{{node::BootId{random() % 3}, static_cast<std::uint32_t>(random() % 2)},
                  random() % 3 == 0 ? random() : random() % 2};
    const Stamp stamp{random() >> (random() % 60), node::BootId{random() % 3}};
    const Expiry expiry =
        random() % 2 == 0 ? never_expires : Expiry(std::chrono::microseconds(random() >> 1));
    if (random() % 3 == 0) {
      table.touch(key, dot, {stamp, expiry});
    } else {
      const std::string value(random() % 200, static_cast<char>(random()));
      table.put(key, dot, {stamp, random() % 3, expiry, value});
    }
  }
}

TEST(TableRowTest, ComesBackAsItWas) {
  constexpr std::uint64_t seed = 3;
  std::mt19937_64 random(seed);
  for (int round = 0; round < 2000; ++round) {
    Table table(options());
    fill(table, "key", random);
    const std::string row = table.row("key");
    Table copy(options());
    ASSERT_TRUE(copy.merge_row("key", row).value()) << "seed " << seed << " round " << round;
    EXPECT_EQ(copy.row("key"), row);
    EXPECT_EQ(copy.digest(), table.digest());
    EXPECT_FALSE(copy.merge_row("key", row).value());
  }
}

TEST(TableRowTest, OfAKeyThatIsNotThereIsEmpty) { EXPECT_EQ(Table(options()).row("key"), ""); }

TEST(TableRowTest, RefusesAnUnknownFormatAndSaysSo) {
  Table table(options());
  const auto refused = table.merge_row("key", "\x07rest");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().text(), "row of unknown format 7");
}

TEST(TableRowTest, RefusesABadKey) {
  std::mt19937_64 random(1);
  Table table(options());
  fill(table, "key", random);
  EXPECT_FALSE(table.merge_row("", table.row("key")));
  EXPECT_FALSE(table.merge_row(std::string(481, 'k'), table.row("key")));
}

TEST(TableRowTest, SurvivesFiftyThousandMutatedRows) {
  constexpr std::uint64_t seed = 5;
  std::mt19937_64 random(seed);
  Table source(options());
  Table target(options());
  std::string row;
  int accepted = 0;
  for (int round = 0; round < 50'000; ++round) {
    if (round % 100 == 0) {
      source.clear();
      target.clear();
      fill(source, "key", random);
      row = source.row("key");
    }
    std::string mutated = row;
    for (std::uint64_t i = 0; i <= random() % 4; ++i) {
      switch (random() % 4) {
        case 0:
          mutated.resize(random() % (mutated.size() + 1));
          break;
        case 1:
          mutated.insert(random() % (mutated.size() + 1), 1, static_cast<char>(random()));
          break;
        default:
          if (!mutated.empty()) mutated[random() % mutated.size()] = static_cast<char>(random());
      }
    }
    const auto result = target.merge_row("key", mutated);
    if (!result) continue;
    ++accepted;
    Table copy(options());
    ASSERT_TRUE(copy.merge_row("key", target.row("key"))) << "seed " << seed << " round " << round;
    ASSERT_EQ(copy.row("key"), target.row("key"));
  }
  EXPECT_GT(accepted, 1000);
}

}  // namespace
}  // namespace muster::cache
