// SPDX-License-Identifier: MIT
#include "read_ahead.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace muster::cache {
namespace {

using testing::ElementsAreArray;

std::vector<std::string> numbers(std::size_t count) {
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < count; ++i) texts.push_back(std::to_string(i));
  return texts;
}

TEST(ReadAhead, HandsOverEveryRowInOrderHoweverMany) {
  for (const std::size_t count : {0, 1, 511, 512, 513, 5'000, 100'000}) {
    const std::vector<std::string> rows = numbers(count);
    std::vector<std::string> used;
    const int code = read_ahead(
        [&](const UseRow& hand_over) {
          for (const std::string& row : rows) hand_over(row, row);
          return 7;
        },
        [&](std::string_view key, std::string_view value) {
          EXPECT_EQ(key, value);
          used.emplace_back(key);
        });
    EXPECT_EQ(code, 7);
    EXPECT_TRUE(used == rows) << count;
  }
}

TEST(ReadAhead, FindsOnAnotherThreadAndUsesOnThisOne) {
  const auto self = std::this_thread::get_id();
  std::thread::id finder;
  const std::string row = "row";
  read_ahead(
      [&](const UseRow& hand_over) {
        finder = std::this_thread::get_id();
        hand_over(row, row);
        return 0;
      },
      [&](std::string_view, std::string_view) { EXPECT_EQ(std::this_thread::get_id(), self); });
  EXPECT_NE(finder, self);
}

TEST(ReadAhead, WhereARowCannotBeUsedTheFinderEndsToo) {
  const std::vector<std::string> rows = numbers(100'000);
  std::size_t found = 0;
  const auto reading = [&] {
    read_ahead(
        [&](const UseRow& hand_over) {
          for (const std::string& row : rows) {
            hand_over(row, row);
            ++found;
          }
          return 0;
        },
        [](std::string_view key, std::string_view) {
          if (key == "700") throw std::runtime_error("enough");
        });
  };
  EXPECT_THROW(reading(), std::runtime_error);
  EXPECT_EQ(found, rows.size());  // It has ended, and nobody waited for anybody.
}

}  // namespace
}  // namespace muster::cache
