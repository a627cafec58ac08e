// SPDX-License-Identifier: MIT
// Real nodes are cut apart, write on both sides, and heal.
#include <gtest/gtest.h>

#include "cluster.h"

namespace muster::testing {
namespace {

using namespace std::chrono_literals;

class CutApart : public Cluster {
 protected:
  void start(const std::string& session) {
    configure_static({"a", "b"}, session);
    a_.start_ready({"--allow-fault-injection"});
    b_.start_ready({"--allow-fault-injection"});
    ASSERT_TRUE(form_a_cluster({&a_, &b_}));
  }
  void cut() {
    const auto told = a_.command({"fault", "cut", a_.name(), b_.name()});
    ASSERT_EQ(told.status, 0) << told.output;
    ASSERT_TRUE(eventually(5s, [&] { return !a_.sees(b_) && !b_.sees(a_); }));
  }
  void heal() {
    for (auto* node : {&a_, &b_}) EXPECT_EQ(node->command({"fault", "heal"}).status, 0);
    ASSERT_TRUE(form_a_mesh({&a_, &b_}));
  }
  // Both answer alike, and as expected, within 15 s.
  void expect_on_both(const std::string& key, const std::string& value) {
    EXPECT_TRUE(
        eventually(15s,
                   [&] {
                     return a_.redis({"GET", key}) == value && b_.redis({"GET", key}) == value;
                   }))
        << key << " is " << a_.redis({"GET", key}) << " on a, " << b_.redis({"GET", key})
        << " on b";
  }

  TestNode a_{*this, "a"};
  TestNode b_{*this, "b"};
};

TEST_F(CutApart, UnderMergeKeepsBothSidesWritesAndEveryDelete) {
  start("ttl: 1h, on_split: merge");
  EXPECT_EQ(a_.redis({"SET", "before", "0"}), "+OK");
  cut();
  EXPECT_EQ(a_.redis({"SET", "from a", "1"}), "+OK");
  EXPECT_EQ(b_.redis({"SET", "from b", "2"}), "+OK");
  EXPECT_EQ(b_.redis({"DEL", "before"}), ":1");
  EXPECT_EQ(a_.redis({"GET", "from b"}), "(nil)");
  heal();
  expect_on_both("from a", "1");
  expect_on_both("from b", "2");
  expect_on_both("before", "(nil)");
}

TEST_F(CutApart, UnderOldestSetsTheYoungerSidesWritesAsideInTheJournal) {
  start("ttl: 1h, on_split: oldest");
  EXPECT_EQ(a_.redis({"SET", "before", "0"}), "+OK");
  const bool a_is_older = a_.oldest() == a_.name();
  EXPECT_EQ(a_.oldest(), b_.oldest());
  const auto& older = a_is_older ? a_ : b_;
  const auto& younger = a_is_older ? b_ : a_;
  cut();
  EXPECT_EQ(older.redis({"SET", "from the older", "1"}), "+OK");
  EXPECT_EQ(younger.redis({"SET", "from the younger", "2"}), "+OK");
  EXPECT_EQ(younger.redis({"DEL", "before"}), ":1");
  heal();
  expect_on_both("from the older", "1");
  expect_on_both("from the younger", "(nil)");
  expect_on_both("before", "(nil)");
  const auto journal = younger.command({"unsplit", "journal", "--show-keys"});
  EXPECT_EQ(journal.status, 0);
  EXPECT_NE(journal.output.find("from the younger"), std::string::npos) << journal.output;
}

TEST_F(CutApart, HealsAgainAfterTheNextOne) {
  start("ttl: 1h, on_split: merge");
  for (int round = 0; round < 2; ++round) {
    const std::string suffix = std::to_string(round);
    cut();
    EXPECT_EQ(a_.redis({"SET", "a" + suffix, suffix}), "+OK");
    EXPECT_EQ(b_.redis({"SET", "b" + suffix, suffix}), "+OK");
    heal();
    expect_on_both("a" + suffix, suffix);
    expect_on_both("b" + suffix, suffix);
  }
}

TEST_F(CutApart, IsNoneWhenOnlyOneSideWrote) {
  start("ttl: 1h, on_split: oldest");
  cut();
  EXPECT_EQ(b_.redis({"SET", "from b", "2"}), "+OK");
  heal();
  expect_on_both("from b", "2");
  EXPECT_EQ(a_.count_in_log("inconsistent_database"), 0u);
  EXPECT_EQ(b_.count_in_log("inconsistent_database"), 0u);
}

TEST_F(CutApart, FaultsAreRefusedUnlessAllowed) {
  a_.start_ready();
  const auto told = a_.command({"fault", "cut", a_.name(), b_.name()});
  EXPECT_NE(told.status, 0);
  EXPECT_NE(told.output.find("--allow-fault-injection"), std::string::npos) << told.output;
}

}  // namespace
}  // namespace muster::testing
