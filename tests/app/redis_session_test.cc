// SPDX-License-Identifier: MIT
// One Redis client without a socket: order of replies, batches, passwords, patience.
#include "redis_session.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "glob.h"
#include "map_store.h"

namespace muster::app {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using namespace std::string_literals;

class RedisSessionTest : public ::testing::Test {
 protected:
  void use_password(const std::string& password) {
    const auto file =
        std::filesystem::temp_directory_path() / ("muster-password-" + std::to_string(getpid()));
    std::ofstream(file) << password << '\n';
    std::filesystem::permissions(file, std::filesystem::perms::owner_read);
    access_ = *Access::load(file);
    std::filesystem::remove(file);
    session_ = std::make_unique<RedisSession>(service_, 7, [this] { ++woken_; });
  }
  /// What is ready to be sent after these bytes.
  std::string say(const std::string& bytes) {
    EXPECT_EQ(session_->consume(bytes), bytes.size());
    return ready();
  }
  std::string ready() {
    std::string out;
    session_->replies().take_ready(out);
    return out;
  }

  MapStore store_;
  Access access_;
  RedisCounters counters_;
  RedisService service_{store_, access_, counters_, "a@127.0.0.1", 0, {}};
  int woken_ = 0;
  std::unique_ptr<RedisSession> session_ =
      std::make_unique<RedisSession>(service_, 7, [this] { ++woken_; });
};

TEST_F(RedisSessionTest, AnswersAPipelineInOrder) {
  EXPECT_EQ(say("SET a 1\r\nGET a\r\nPING\r\nGET b\r\nDEL a\r\nGET a\r\n"),
            "+OK\r\n$1\r\n1\r\n+PONG\r\n$-1\r\n:1\r\n$-1\r\n");
}

TEST_F(RedisSessionTest, LooksUpTheGetsOfAPipelineInBatches) {
  std::string pipeline;
  for (int i = 0; i < 28; ++i) pipeline += "*2\r\n$3\r\nGET\r\n$1\r\na\r\n";
  say(pipeline);
  EXPECT_EQ(store_.lookups, 3u) << "4, 8 and 16, for large values are found out by few";
  say(pipeline);
  EXPECT_EQ(store_.lookups, 4u);
}

TEST_F(RedisSessionTest, StartsAllWritesOfAPipelineBeforeAnyIsAnswered) {
  store_.hold_writes = true;
  EXPECT_EQ(say("PING\r\nSET a 1\r\nSET b 2\r\nGET a\r\n"), "+PONG\r\n");
  EXPECT_EQ(store_.waiting.size(), 2u);
  store_.release();
  EXPECT_EQ(ready(), "+OK\r\n+OK\r\n$1\r\n1\r\n");
  EXPECT_GT(woken_, 0);
}

TEST_F(RedisSessionTest, KeepsTheOrderWhenALaterWriteIsAnsweredFirst) {
  store_.hold_writes = true;
  say("SET a 1\r\nDEL nothing\r\nPING\r\n");
  auto waiting = std::exchange(store_.waiting, {});
  waiting[1]();
  EXPECT_EQ(ready(), "");
  waiting[0]();
  EXPECT_EQ(ready(), "+OK\r\n:0\r\n+PONG\r\n");
}

TEST_F(RedisSessionTest, AWriteThatIsNotAcknowledgedSaysWhoHasIt) {
  cache::Written written{.applied = true};
  for (const char* name : {"a@host", "b@host"})
    written.holders.push_back(NodeName::parse(name).value());
  store_.answer = Result<cache::Written>(written);
  const std::string expected =
      "-NOREPLICAS not acknowledged in time; it is not rolled back; held by a@host b@host\r\n";
  EXPECT_EQ(say("SET a 1\r\n"), expected);
  EXPECT_EQ(say("DEL a\r\n"), expected);
}

TEST_F(RedisSessionTest, AWriteOfWhichNobodyKnowsWhatBecameOfItIsNoRefusalToTryAgain) {
  store_.ready = false;
  store_.answer = Result<cache::Written>(
      Error{make_error_code(boost::system::errc::timed_out), "b@host has not answered"});
  EXPECT_THAT(say("SET a 1\r\n"),
              AllOf(StartsWith("-NOREPLICAS "), HasSubstr("b@host has not answered")));
}

TEST_F(RedisSessionTest, TakesNoMoreRequestsThanItMayOwe) {
  store_.hold_writes = true;
  std::string pipeline;
  for (std::size_t i = 0; i < RedisSession::open_max + 10; ++i) pipeline += "SET a 1\r\n";
  EXPECT_EQ(session_->consume(pipeline), RedisSession::open_max * 9);
  EXPECT_TRUE(session_->held_back());
  store_.release();
  EXPECT_FALSE(session_->held_back());
}

TEST_F(RedisSessionTest, ForgetsNothingThatWasConsumedWhenItIsHeldBack) {
  for (int i = 0; i < 100; ++i) say("SET a " + std::string(16000, 'x') + "\r\n");
  std::string pipeline;
  for (int i = 0; i < 200; ++i) pipeline += "*2\r\n$3\r\nGET\r\n$1\r\na\r\n";
  std::size_t replies = 0, used = 0;
  while (used < pipeline.size()) {
    used += session_->consume(std::string_view(pipeline).substr(used));
    const std::string out = ready();
    EXPECT_LT(out.size(), RedisSession::output_max + 33 * 17000);
    replies += static_cast<std::size_t>(std::count(out.begin(), out.end(), '$'));
  }
  EXPECT_EQ(replies, 200u);
}

TEST_F(RedisSessionTest, AnswersNotReadyNeverAFalseMiss) {
  say("SET a 1\r\n");
  store_.ready = false;
  EXPECT_EQ(say("MGET a b\r\n"), "-LOADING table 'session' is not ready\r\n");
  EXPECT_EQ(say("SCAN 0\r\n"), "-LOADING table 'session' is not ready\r\n");
  EXPECT_EQ(say("GET a\r\n"), "$1\r\n1\r\n") << "one key is fetched from a ready member";
  EXPECT_EQ(say("TTL a\r\n"), ":-1\r\n");
}

TEST_F(RedisSessionTest, WritesGoToAReadyMemberWhileThisOneIsNot) {
  store_.ready = false;
  EXPECT_EQ(say("SET a 1\r\n"), "+OK\r\n");
  EXPECT_EQ(say("SET a 2 NX\r\n"), "$-1\r\n");
  EXPECT_EQ(say("SETNX b 2\r\n"), ":1\r\n");
  EXPECT_EQ(say("MSETNX c 3 b 3\r\n"), ":0\r\n");
  EXPECT_EQ(say("EXPIRE a 100\r\n"), ":1\r\n");
  EXPECT_EQ(say("EXPIRE nothing 100\r\n"), ":0\r\n");
  EXPECT_EQ(say("EXPIRE a 50 LT\r\n"), "-LOADING table 'session' is not ready\r\n");
  EXPECT_EQ(say("GETSET a 9\r\n"), "-LOADING table 'session' is not ready\r\n");
  EXPECT_EQ(say("DEL a b c\r\n"), ":2\r\n");
  EXPECT_EQ(say("EXPIRE a -1\r\n"), ":0\r\n");
}

TEST_F(RedisSessionTest, AsksForThePasswordFirst) {
  use_password("sesame");
  EXPECT_EQ(say("GET a\r\n"), "-NOAUTH Authentication required.\r\n");
  EXPECT_THAT(say("AUTH wrong\r\n"), StartsWith("-WRONGPASS "));
  EXPECT_EQ(say("AUTH default sesame\r\nGET a\r\n"), "+OK\r\n$-1\r\n");
  EXPECT_EQ(say("RESET\r\nGET a\r\n"), "+RESET\r\n-NOAUTH Authentication required.\r\n");
  EXPECT_THAT(say("HELLO 3 AUTH default sesame\r\n"), StartsWith("%7\r\n"));
}

TEST_F(RedisSessionTest, ClosesOnAWebPageThatPostsToIt) {
  session_->consume("POST / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_TRUE(session_->closing());
  EXPECT_EQ(ready(), "");
}

TEST_F(RedisSessionTest, ClosesAfterAProtocolErrorWithTheReasonAsTheLastReply) {
  session_->consume("PING\r\n*1\r\nx\r\nPING\r\n");
  EXPECT_TRUE(session_->closing());
  EXPECT_EQ(ready(), "+PONG\r\n-ERR Protocol error: expected '$', got 'x'\r\n");
}

TEST_F(RedisSessionTest, PutsNoUserBytesIntoErrorLinesThatCouldEndThem) {
  EXPECT_EQ(say("*2\r\n$4\r\nF\r\nO\r\n$5\r\na\r\n+x\r\n"),
            "-ERR unknown command 'F  O', with args beginning with: 'a  +x' \r\n");
}

TEST_F(RedisSessionTest, RefusesKeysBeyondTheLimitByName) {
  EXPECT_EQ(say("SET " + std::string(481, 'k') + " v\r\n"),
            "-ERR a key may have at most 480 bytes\r\n");
  EXPECT_EQ(say("SET " + std::string(480, 'k') + " v\r\n"), "+OK\r\n");
  EXPECT_EQ(say("SET \"\" v\r\n"), "-ERR a key may not be empty\r\n");
}

TEST_F(RedisSessionTest, ScansEveryKeyOnceInSteps) {
  for (int i = 0; i < 500; ++i) say("SET key" + std::to_string(i) + " v\r\n");
  std::string cursor = "0";
  std::size_t keys = 0;
  do {
    const std::string out = say("SCAN " + cursor + " COUNT 50 MATCH key*\r\n");
    const auto start = out.find("\r\n", 4) + 2;
    cursor = out.substr(start, out.find("\r\n", start) - start);
    keys += static_cast<std::size_t>(std::count(out.begin(), out.end(), '$')) - 1;
  } while (cursor != "0");
  EXPECT_EQ(keys, 500u);
}

TEST_F(RedisSessionTest, SelectsTablesByNumber) {
  EXPECT_EQ(say("SET a 1\r\nSELECT 1\r\nGET a\r\nSELECT 0\r\nGET a\r\n"),
            "+OK\r\n+OK\r\n$-1\r\n+OK\r\n$1\r\n1\r\n");
  EXPECT_EQ(say("SELECT 2\r\n"), "-ERR DB index is out of range\r\n");
}

TEST(Glob, MatchesAsRedisDoes) {
  const auto matches = [](std::string_view pattern, std::string_view text) {
    std::size_t steps = glob_steps_max;
    return glob_matches(pattern, text, steps);
  };
  EXPECT_TRUE(matches("*", ""));
  EXPECT_TRUE(matches("h?llo", "hello"));
  EXPECT_FALSE(matches("h?llo", "hllo"));
  EXPECT_TRUE(matches("h*llo", "heeeello"));
  EXPECT_TRUE(matches("h[ae]llo", "hallo"));
  EXPECT_FALSE(matches("h[^e]llo", "hello"));
  EXPECT_TRUE(matches("h[a-c]llo", "hbllo"));
  EXPECT_TRUE(matches("h[c-a]llo", "hbllo"));
  EXPECT_TRUE(matches("a\\*b", "a*b"));
  EXPECT_FALSE(matches("a\\*b", "axb"));
  EXPECT_TRUE(matches("*a*b*c", "xxaxxbxxc"));
  EXPECT_FALSE(matches("*a*b*c", "xxaxxbxxd"));
  EXPECT_TRUE(matches("[\\]]", "]"));
  EXPECT_TRUE(matches("abc[", "abc[") || !matches("abc[", "abc["));  // As Redis: no crash.
}

TEST(Glob, EndsEarlyOnAPatternMadeToBeSlow) {
  std::string pattern;
  for (int i = 0; i < 32 * 1024; ++i) pattern += "a*";
  const std::string text(64 * 1024, 'a');
  const auto start = std::chrono::steady_clock::now();
  std::size_t steps = glob_steps_max;
  EXPECT_FALSE(glob_matches(pattern + "b", text, steps));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(500));
}

}  // namespace
}  // namespace muster::app
