// SPDX-License-Identifier: MIT
#include "muster/unsplit/journal.h"

#include <gtest/gtest.h>

#include <chrono>
#include <random>

namespace muster::unsplit {
namespace {

using namespace std::chrono_literals;

JournalEntry some_value() {
  JournalEntry entry;
  entry.key = cache::Key{"user", "42"}.encoded();
  entry.value = "signed in";
  entry.stamp = {.time = 123456789, .boot = {7}};
  entry.created = {.origin = {.boot = {7}, .number = 3}, .sequence = 99};
  entry.before = {.time = 1234, .boot = {8}};
  entry.line = 5;
  entry.expiry = cache::Expiry(1h);
  entry.writer = "b@host";
  entry.set_aside = Timestamp(5s);
  entry.why = "line of b@host lost to line of a@host (oldest)";
  entry.to_merge = true;
  return entry;
}

TEST(Journal, ARecordReadsBackAsItWasWritten) {
  const auto record = encode(some_value());
  const auto entry = decode(record.key, record.value);
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->row, record.key);
  EXPECT_EQ(entry->key, some_value().key);
  EXPECT_EQ(entry->value, "signed in");
  EXPECT_EQ(entry->stamp, some_value().stamp);
  EXPECT_EQ(entry->written(), Timestamp(123456789us));
  EXPECT_EQ(entry->created, some_value().created);
  EXPECT_EQ(entry->before, some_value().before);
  EXPECT_EQ(entry->line, 5u);
  EXPECT_EQ(entry->expiry, cache::Expiry(1h));
  EXPECT_EQ(entry->writer, "b@host");
  EXPECT_EQ(entry->set_aside, Timestamp(5s));
  EXPECT_EQ(entry->why, some_value().why);
  EXPECT_TRUE(entry->to_merge);
}

TEST(Journal, AnEntryThatNeverExpiresKeepsThat) {
  auto aside = some_value();
  aside.expiry = cache::never_expires;
  const auto record = encode(aside);
  EXPECT_EQ(decode(record.key, record.value)->expiry, cache::never_expires);
}

TEST(Journal, RecordsOfOneKeyStandTogetherAndApartFromThoseOfLongerKeys) {
  auto aside = some_value();
  const auto first = encode(aside);
  aside.stamp.time += 1;
  const auto second = encode(aside);
  aside.key = cache::Key{"user", "42", "more"}.encoded();
  const auto longer = encode(aside);
  const auto prefix = row_prefix(cache::Key{"user", "42"}.encoded());
  EXPECT_TRUE(first.key.starts_with(prefix));
  EXPECT_TRUE(second.key.starts_with(prefix));
  EXPECT_LT(first.key, second.key);
  EXPECT_FALSE(longer.key.starts_with(prefix));
}

TEST(Journal, AMangledRecordIsAnErrorAndNeverACrash) {
  const auto record = encode(some_value());
  std::mt19937_64 random(1);
  for (int round = 0; round < 20'000; ++round) {
    std::string mangled = record.value.substr(0, random() % (record.value.size() + 1));
    for (auto flips = random() % 4; flips > 0 && !mangled.empty(); --flips)
      mangled[random() % mangled.size()] = static_cast<char>(random());
    if (const auto entry = decode(record.key, mangled)) {
      EXPECT_LE(entry->value.size(), mangled.size());
    }
  }
  EXPECT_FALSE(decode(record.key, ""));
}

}  // namespace
}  // namespace muster::unsplit
