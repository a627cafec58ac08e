// SPDX-License-Identifier: MIT
// The parser of Redis requests: whole, in pieces, broken, and mutated from a seed.
#include "resp_parser.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <random>

namespace muster::app {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Status = RespParser::Status;
using namespace std::string_literals;

std::vector<std::string> words(const RespParser& parser) {
  return {parser.arguments().begin(), parser.arguments().end()};
}
std::string error_of(std::string_view bytes, const RespLimits& limits = {}) {
  RespParser parser;
  return parser.parse(bytes, limits) == Status::error ? std::string(parser.error()) : "no error";
}

TEST(RespParser, ReadsAnArrayOfBulkStrings) {
  RespParser parser;
  const auto bytes = "*2\r\n$3\r\nGET\r\n$5\r\na\r\n\0b\r\nrest"s;
  ASSERT_EQ(parser.parse(bytes, {}), Status::complete);
  EXPECT_THAT(words(parser), ElementsAre("GET", "a\r\n\0b"s));
  EXPECT_EQ(bytes.substr(parser.used()), "rest");
}

TEST(RespParser, ReadsAnInlineCommandWithQuotes) {
  RespParser parser;
  ASSERT_EQ(parser.parse("SET  a \"b \\x41\\n\\\"\" 'c\\'d'\r\n", {}), Status::complete);
  EXPECT_THAT(words(parser), ElementsAre("SET", "a", "b A\n\"", "c'd"));
}

TEST(RespParser, PassesOverEmptyLinesAndEmptyArrays) {
  for (const std::string_view bytes : {"\r\n", "\n", "  \r\n", "*0\r\n", "*-1\r\n"}) {
    RespParser parser;
    ASSERT_EQ(parser.parse(bytes, {}), Status::complete) << bytes;
    EXPECT_THAT(words(parser), IsEmpty());
    EXPECT_EQ(parser.used(), bytes.size());
  }
}

TEST(RespParser, ReadsTheSameHoweverTheBytesArrive) {
  const auto bytes = "*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$0\r\n\r\nPING x\r\n*1\r\n$4\r\nPING\r\n"s;
  RespParser parser;
  std::string buffer;
  std::vector<std::vector<std::string>> requests;
  for (const char c : bytes) {
    buffer += c;
    const auto status = parser.parse(buffer, {});
    ASSERT_NE(status, Status::error);
    if (status == Status::partial) continue;
    requests.push_back(words(parser));
    buffer.erase(0, parser.used());
  }
  EXPECT_THAT(requests, ElementsAre(ElementsAre("SET", "key", ""), ElementsAre("PING", "x"),
                                    ElementsAre("PING")));
  EXPECT_THAT(buffer, IsEmpty());
}

TEST(RespParser, RefusesWhatIsNoProtocolInTheWordsOfRedis) {
  EXPECT_EQ(error_of("*x\r\n"), "-ERR Protocol error: invalid multibulk length\r\n");
  EXPECT_EQ(error_of("*16385\r\n"), "-ERR Protocol error: invalid multibulk length\r\n");
  EXPECT_EQ(error_of("*1\r\nGET\r\n"), "-ERR Protocol error: expected '$', got 'G'\r\n");
  EXPECT_EQ(error_of("*1\r\n\x01\r\n"), "-ERR Protocol error: expected '$', got ' '\r\n");
  EXPECT_EQ(error_of("*1\r\n$-1\r\n"), "-ERR Protocol error: invalid bulk length\r\n");
  EXPECT_EQ(error_of("*1\r\n$524289\r\n"), "-ERR Protocol error: invalid bulk length\r\n");
  EXPECT_EQ(error_of("GET \"a\r\n"), "-ERR Protocol error: unbalanced quotes in request\r\n");
  EXPECT_EQ(error_of("GET \"a\"b\r\n"), "-ERR Protocol error: unbalanced quotes in request\r\n");
  EXPECT_EQ(error_of(std::string(65 * 1024, 'a')),
            "-ERR Protocol error: too big inline request\r\n");
  EXPECT_EQ(error_of("*" + std::string(65 * 1024, '1')),
            "-ERR Protocol error: too big mbulk count string\r\n");
}

TEST(RespParser, TakesWhatIsAtTheLimits) {
  RespParser parser;
  EXPECT_EQ(parser.parse("*16384\r\n", {}), Status::partial);
  RespParser other;
  EXPECT_EQ(other.parse("*1\r\n$524288\r\n", {}), Status::partial);
  EXPECT_EQ(other.wanted(), 4 + 9 + 524288 + 2u);
}

TEST(RespParser, AllowsLittleBeforeThePassword) {
  const RespLimits limits = limits_before_auth();
  EXPECT_EQ(error_of("*10\r\n", limits), "no error");
  EXPECT_EQ(error_of("*11\r\n", limits),
            "-ERR Protocol error: unauthenticated multibulk length\r\n");
  EXPECT_EQ(error_of("*1\r\n$16385\r\n", limits),
            "-ERR Protocol error: unauthenticated bulk length\r\n");
  EXPECT_EQ(error_of("*2\r\n$16000\r\n" + std::string(16000, 'a') + "\r\n$16000\r\n", limits),
            "-ERR Protocol error: too big request\r\n");
}

TEST(RespParser, SurvivesMutatedRequestsWithinItsLimits) {
  const char* given = std::getenv("MUSTER_SEED");
  const std::uint64_t seed = given ? std::strtoull(given, nullptr, 10) : std::random_device()();
  SCOPED_TRACE("MUSTER_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  const std::vector<std::string> seeds{"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nvalue\r\n",
                                       "*1\r\n$4\r\nPING\r\n", "SET a \"b\\x41\" 'c'\r\n",
                                       "*-1\r\n", "*2\r\n$0\r\n\r\n$1\r\nx\r\n"};
  const std::string alphabet = "*$\r\n0123456789-\"'\\x:+ \0abcGET"s;
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes;
    for (std::size_t i = random() % 4; i < 4; ++i) bytes += seeds[random() % seeds.size()];
    for (std::size_t i = random() % 6; i > 0; --i) {
      const std::size_t at = random() % bytes.size();
      if (random() % 3 == 0)
        bytes.erase(at, random() % 5);
      else if (random() % 2 == 0)
        bytes.insert(at, 1, alphabet[random() % alphabet.size()]);
      else
        bytes[at] = alphabet[random() % alphabet.size()];
      if (bytes.empty()) bytes = "\r";
    }
    // A buffer of its own that ends where the bytes do: a sanitizer sees any look beyond.
    RespParser parser;
    std::vector<char> buffer;
    for (std::size_t at = 0; at < bytes.size();) {
      const std::size_t piece = std::min<std::size_t>(1 + random() % 16, bytes.size() - at);
      buffer.insert(buffer.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at),
                    bytes.begin() + static_cast<std::ptrdiff_t>(at + piece));
      at += piece;
      std::vector<char> exact(buffer);
      Status status = Status::complete;
      std::size_t used = 0;
      while (status == Status::complete && used < exact.size()) {
        status = parser.parse({exact.data() + used, exact.size() - used}, {});
        if (status != Status::complete) break;
        ASSERT_LE(used + parser.used(), exact.size());
        for (const auto argument : parser.arguments()) ASSERT_LE(argument.size(), exact.size());
        used += parser.used();
      }
      if (status == Status::error) break;
      buffer.erase(buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(used));
    }
  }
}

}  // namespace
}  // namespace muster::app
