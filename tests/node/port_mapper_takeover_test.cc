// SPDX-License-Identifier: MIT
// Nodes take the port mapper over from each other, and nobody is listed who is gone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "node/port_mapper_world.h"

namespace muster::node {
namespace {

using namespace std::chrono_literals;

/// Nodes of one process that share a port mapper.
class TakeOver : public ::testing::Test {
 protected:
  void start(const std::string& base) {
    auto& node = nodes.emplace_back();
    node.base = base;
    node.node = std::make_unique<TestNode>(loop, mapped(base + "@127.0.0.1", port));
    const auto started = node.node->start();
    EXPECT_TRUE(started) << base << ": " << started.error().text();
  }
  [[nodiscard]] std::vector<std::string> expected() const {
    std::vector<std::string> names;
    for (const auto& node : nodes) names.push_back(node.base);
    std::ranges::sort(names);
    return names;
  }
  /// The one that serves; a node that has begun to never stops before its end.
  [[nodiscard]] std::string server() const {
    std::string found;
    for (const auto& node : nodes) {
      if (node.node->book.count("serving it") == 0) continue;
      EXPECT_EQ(found, "") << "beside " << node.base;
      found = node.base;
    }
    return found;
  }
  void end(const std::string& base) {
    std::erase_if(nodes, [&](const auto& node) { return node.base == base; });
  }
  /// Until all are listed.  Whatever the port mapper says meanwhile, it is not `gone`.
  void await_all(const std::string& gone) {
    std::vector<std::string> names;
    while (names != expected()) {
      names = names_at(loop, port);
      ASSERT_THAT(names, ::testing::Not(::testing::Contains(gone)));
    }
  }

  struct Named {
    std::string base;
    std::unique_ptr<TestNode> node;
  };
  Loop loop;
  std::uint16_t port = free_port();
  std::list<Named> nodes;
};

TEST_F(TakeOver, PassesFromNodeToNodeUntilTheLast) {
  for (int i = 0; i < 10; ++i) start("n" + std::to_string(i));
  await_all("");
  while (nodes.size() > 1) {
    const std::string gone = server();
    ASSERT_NE(gone, "");
    end(gone);
    await_all(gone);
    if (HasFatalFailure()) return;
  }
  EXPECT_EQ(server(), nodes.front().base);
}

TEST_F(TakeOver, ALateNodeMayHaveTheNameOfTheOneThatServed) {
  for (const auto* base : {"a", "b", "c"}) start(base);
  for (int round = 0; round < 5; ++round) {
    const std::string gone = server();
    end(gone);
    start(gone);
    await_all("");
    if (HasFatalFailure()) return;
  }
}

TEST_F(TakeOver, AStrangersRegistrationIsItsOwnAffair) {
  for (const auto* base : {"a", "b"}) start(base);
  RawClient stranger(port);
  port_mapper::Registration node;
  node.name = "erlang";
  node.port = 1;
  ASSERT_TRUE(stranger.register_node(node).ok);
  end(server());
  await_all("erlang");
  EXPECT_EQ(stranger.hear_all(), "");
  ASSERT_TRUE(RawClient(port).register_node(node).ok);
}

}  // namespace
}  // namespace muster::node
