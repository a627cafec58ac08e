// SPDX-License-Identifier: MIT
//
// Keys of parts: order, escapes, limits, patterns.
#include "muster/cache/key.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace muster::cache {
namespace {

using testing::ElementsAre;
using namespace std::string_literals;

std::vector<std::string> random_parts(std::mt19937_64& random) {
  std::vector<std::string> parts(1 + random() % 4);
  for (std::string& part : parts) {
    part.resize(random() % 4);
    for (char& byte : part)
      byte =
          "\0\x01\x02"
          "a\xFE\xFF"[random() % 6];
  }
  return parts;
}

TEST(KeyTest, OfOnePartWithoutZeroBytesIsThatPart) {
  EXPECT_EQ(Key("user:42").encoded(), "user:42");
  EXPECT_THAT(Key("user:42").parts(), ElementsAre("user:42"));
}

TEST(KeyTest, GivesBackItsParts) {
  EXPECT_THAT(Key({"user", "42"}).parts(), ElementsAre("user", "42"));
  EXPECT_THAT(Key({"a", "", "\0b"s}).parts(), ElementsAre("a", "", "\0b"s));
  EXPECT_TRUE(Key().parts().empty());
}

TEST(KeyTest, IsOrderedAsTheListOfItsParts) {
  constexpr std::uint64_t seed = 7;
  std::mt19937_64 random(seed);
  for (int i = 0; i < 20000; ++i) {
    const auto a = random_parts(random);
    const auto b = random_parts(random);
    EXPECT_EQ(a < b, Key(a).encoded() < Key(b).encoded()) << "seed " << seed << " round " << i;
    if (!Key(a).valid()) continue;  // One empty part is no key.
    EXPECT_EQ(Key(a).parts(), a);
    EXPECT_EQ(Key::decode(Key(a).encoded()).value(), Key(a));
  }
}

TEST(KeyTest, DecodeRefusesWhatNoKeyEncodesTo) {
  EXPECT_FALSE(Key::decode(""));
  EXPECT_FALSE(Key::decode("a\0"s));
  EXPECT_FALSE(Key::decode("a\0b"s));
  EXPECT_FALSE(Key::decode("\0\0\x01"s));
  EXPECT_TRUE(Key::decode("a\0\x01"s));
  EXPECT_TRUE(Key::decode("\0\xFF"s));
}

TEST(KeyTest, BeyondTheLimitIsNotValidAndTheErrorNamesTheLimit) {
  EXPECT_TRUE(Key(std::string(480, 'k')).valid());
  EXPECT_FALSE(Key(std::string(481, 'k')).valid());
  EXPECT_FALSE(Key("").valid());
  const auto refused = Key::decode(std::string(481, 'k'));
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().text(), testing::HasSubstr("480"));
}

TEST(PatternTest, AWildcardMatchesExactlyOnePart) {
  const Pattern pattern{{"user", std::nullopt, "x"}};
  EXPECT_TRUE(pattern.matches(Key({"user", "42", "x"}).encoded()));
  EXPECT_TRUE(pattern.matches(Key({"user", "\0"s, "x"}).encoded()));
  EXPECT_FALSE(pattern.matches(Key({"user", "42"}).encoded()));
  EXPECT_FALSE(pattern.matches(Key({"user", "42", "y"}).encoded()));
  EXPECT_FALSE(pattern.matches(Key({"user", "42", "x", "more"}).encoded()));
  EXPECT_EQ(pattern.prefix(), Key({"user", ""}).encoded());
}

TEST(PatternTest, WithATailMatchesFurtherParts) {
  const Pattern pattern{{"user"}, true};
  EXPECT_TRUE(pattern.matches(Key("user").encoded()));
  EXPECT_TRUE(pattern.matches(Key({"user", "42"}).encoded()));
  EXPECT_FALSE(pattern.matches(Key("users").encoded()));
  EXPECT_EQ(pattern.prefix(), "user");
}

TEST(PatternTest, WithoutPartsMatchesAllOrNothing) {
  EXPECT_TRUE((Pattern{{}, true}).matches("anything"));
  EXPECT_FALSE((Pattern{{}, false}).matches("anything"));
  EXPECT_EQ((Pattern{{}, true}).prefix(), "");
}

TEST(PatternTest, AgreesWithTheParts) {
  constexpr std::uint64_t seed = 11;
  std::mt19937_64 random(seed);
  for (int i = 0; i < 20000; ++i) {
    const auto parts = random_parts(random);
    Pattern pattern;
    for (auto& part : random_parts(random)) {
      pattern.parts.push_back(random() % 2 == 0 ? std::optional<std::string>() : std::move(part));
    }
    pattern.any_tail = random() % 2 == 0;
    bool expected = pattern.any_tail ? parts.size() >= pattern.parts.size()
                                     : parts.size() == pattern.parts.size();
    for (std::size_t part = 0; expected && part < pattern.parts.size(); ++part) {
      expected = !pattern.parts[part] || *pattern.parts[part] == parts[part];
    }
    const Key key(parts);
    EXPECT_EQ(pattern.matches(key.encoded()), expected) << "seed " << seed << " round " << i;
    if (expected) {
      EXPECT_TRUE(key.encoded().starts_with(pattern.prefix()));
    }
  }
}

}  // namespace
}  // namespace muster::cache
