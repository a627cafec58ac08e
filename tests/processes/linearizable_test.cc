// SPDX-License-Identifier: MIT
//
// One node alone is a linearizable register per key, as a client of its Redis port sees it; and the
// checker that says so finds planted faults.
#include "linearizable.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <map>
#include <random>
#include <thread>

#include "cluster.h"

namespace muster::testing {
namespace {

using Kind = RegisterOperation::Kind;

RegisterOperation set(const std::string& value, std::int64_t called, std::int64_t answered) {
  return {.kind = Kind::set, .value = value, .called = called, .answered = answered};
}
RegisterOperation get(const std::optional<std::string>& value, std::int64_t called,
                      std::int64_t answered) {
  return {.kind = Kind::get, .value = value, .called = called, .answered = answered};
}
RegisterOperation erase(bool erased, std::int64_t called, std::int64_t answered) {
  return {
      .kind = Kind::erase, .value = {}, .erased = erased, .called = called, .answered = answered};
}

TEST(Linearizable, IsWhatHappensOneAfterTheOther) {
  EXPECT_TRUE(linearizable({}));
  EXPECT_TRUE(linearizable({get({}, 0, 1), set("a", 2, 3), get("a", 4, 5), erase(true, 6, 7),
                            erase(false, 8, 9), get({}, 10, 11)}));
}

TEST(Linearizable, AreConcurrentWritesInEitherOrder) {
  EXPECT_TRUE(linearizable({set("a", 0, 10), set("b", 0, 10), get("a", 11, 12)}));
  EXPECT_TRUE(linearizable({set("a", 0, 10), set("b", 0, 10), get("b", 11, 12)}));
  EXPECT_TRUE(linearizable({set("a", 0, 10), erase(true, 0, 10), get({}, 11, 12)}));
  EXPECT_TRUE(linearizable({set("a", 0, 10), erase(false, 0, 10), get("a", 11, 12)}));
}

TEST(Linearizable, IsAReadOfTheOldOrTheNewDuringAWrite) {
  EXPECT_TRUE(linearizable({set("a", 0, 10), get({}, 1, 2), get("a", 3, 4)}));
  EXPECT_FALSE(linearizable({set("a", 0, 10), get("a", 1, 2), get({}, 3, 4)}));
}

TEST(Linearizable, IsNoStaleRead) {
  EXPECT_FALSE(linearizable({set("a", 0, 1), set("b", 2, 3), get("a", 4, 5)}));
  EXPECT_FALSE(linearizable({set("a", 0, 1), erase(true, 2, 3), get("a", 4, 5)}));
  EXPECT_FALSE(linearizable({set("a", 0, 1), get({}, 2, 3)}));
}

TEST(Linearizable, IsNoReadOfAValueBeforeItsWrite) {
  EXPECT_FALSE(linearizable({get("a", 0, 1), set("a", 2, 3)}));
  EXPECT_FALSE(linearizable({get("a", 0, 10)}));
}

TEST(Linearizable, IsNoLostUpdate) {
  EXPECT_FALSE(linearizable({set("a", 0, 1), set("b", 2, 3), get("b", 4, 5), get("a", 6, 7)}));
  EXPECT_FALSE(
      linearizable({set("a", 0, 10), set("b", 0, 10), get("a", 11, 12), get("b", 13, 14)}));
}

TEST(Linearizable, IsNoEraseThatCountsWhatIsNotThere) {
  EXPECT_FALSE(linearizable({erase(true, 0, 1)}));
  EXPECT_FALSE(linearizable({set("a", 0, 1), erase(false, 2, 3)}));
  EXPECT_FALSE(linearizable({set("a", 0, 1), erase(true, 2, 10), erase(true, 2, 10)}));
}

TEST(Linearizable, IsFoundInALongHistoryOfManyClientsAndNotWithOneStaleReadInIt) {
  constexpr std::int64_t writes = 100, overlap = 20;
  std::vector<RegisterOperation> history;
  for (std::int64_t i = 0; i < writes; ++i) {
    const std::int64_t at = 10 * i;
    history.push_back(set(std::to_string(i), at - overlap, at + overlap));
    history.push_back(get(std::to_string(i), at, at + 2 * overlap));
  }
  EXPECT_TRUE(linearizable(history));
  history.push_back(get("1", 10 * writes, 10 * writes + 1));
  EXPECT_FALSE(linearizable(history));
}

class OneNode : public Cluster {
 protected:
  using History = std::map<std::string, std::vector<RegisterOperation>>;

  static std::int64_t now() {
    return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
  }
  static RegisterOperation ask(RedisClient& redis, Kind kind, const std::string& key,
                               const std::string& value) {
    std::vector<std::string> command{kind == Kind::set   ? "SET"
                                     : kind == Kind::get ? "GET"
                                                         : "DEL",
                                     key};
    if (kind == Kind::set) command.push_back(value);
    RegisterOperation operation{.kind = kind, .value = {}, .called = now()};
    const std::string reply = redis.ask(command);
    operation.answered = now();
    EXPECT_FALSE(reply.starts_with('-') || reply.starts_with('!')) << reply;
    if (kind == Kind::set) operation.value = value;
    if (kind == Kind::get && reply != "(nil)") operation.value = reply;
    operation.erased = reply == ":1";
    return operation;
  }
  static History converse(std::uint16_t port, std::size_t client, std::uint64_t seed,
                          int operations) {
    std::mt19937_64 random(seed + client);
    RedisClient redis(port);
    History history;
    for (int i = 0; i < operations; ++i) {
      const auto key = "key-" + std::to_string(random() % keys);
      const auto dice = random() % 10;
      const Kind kind = dice < 4 ? Kind::set : dice < 9 ? Kind::get : Kind::erase;
      history[key].push_back(
          ask(redis, kind, key, std::to_string(client) + "-" + std::to_string(i)));
    }
    return history;
  }

  static constexpr std::size_t clients = 8;
  static constexpr std::size_t keys = 4;
};

TEST_F(OneNode, IsALinearizableRegisterPerKey) {
  const char* const given = std::getenv("MUSTER_SEED");
  const std::uint64_t seed = given ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  std::cout << "MUSTER_SEED=" << seed << '\n';
  TestNode node(*this, "a");
  node.start_ready();
  std::vector<History> of_clients(clients);
  {
    std::vector<std::jthread> threads;
    for (std::size_t client = 0; client < clients; ++client)
      threads.emplace_back([&, client] {
        of_clients[client] =
            converse(node.redis_port(), client, seed, 500 * std::min(repetitions(1), 20));
      });
  }
  History all;
  for (const auto& history : of_clients)
    for (const auto& [key, operations] : history)
      all[key].insert(all[key].end(), operations.begin(), operations.end());
  EXPECT_EQ(all.size(), keys);
  for (const auto& [key, operations] : all)
    EXPECT_TRUE(linearizable(operations)) << key << ", " << operations.size() << " operations";
}

}  // namespace
}  // namespace muster::testing
