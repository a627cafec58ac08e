// SPDX-License-Identifier: MIT
#include "muster/unsplit/unsplit_machine.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "unsplit/forks.h"

namespace muster::unsplit {
namespace {

using cache::Verdict;
using testing::fork_of;
using testing::line;
using testing::path;

class UnsplitMachineTest : public ::testing::Test {
 protected:
  UnsplitMachine machine(UnsplitOptions options) {
    return UnsplitMachine(
        std::move(options), [this](Now, const Heal& heal) { told.push_back(heal); },
        [](node::BootId boot) { return boot.value == 10 ? "a@127.0.0.1" : ""; });
  }

  const cache::Fork fork =
      fork_of(path({line(1, 1, 10), line(2, 1, 10)}), path({line(1, 1, 10), line(3, 2, 20)}));
  const cache::TableDefinition session;
  const cache::TableDefinition jobs{.name = "jobs"};
  std::vector<Heal> told;
};

TEST_F(UnsplitMachineTest, AForeignTableStaysApartWithTheModelsErrorToldOnce) {
  auto unsplit = machine({});
  EXPECT_EQ(unsplit.judge({}, jobs, fork), Verdict::apart);
  EXPECT_EQ(unsplit.judge({}, jobs, fork), Verdict::apart);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_TRUE(
      told[0].text.starts_with("Can't force reload unexpected tables [jobs] to heal b@127.0.0.1"));
}

TEST_F(UnsplitMachineTest, FlushTablesAllowsTheTableToBeHealed) {
  EXPECT_EQ(machine({.flush_tables = {.names = {"unrelated"}}}).judge({}, jobs, fork),
            Verdict::apart);
  EXPECT_EQ(machine({.flush_tables = {.names = {"jobs"}}}).judge({}, jobs, fork),
            Verdict::ours_wins);
  EXPECT_EQ(machine({.flush_tables = {.all = true}}).judge({}, jobs, fork), Verdict::ours_wins);
}

TEST_F(UnsplitMachineTest, ClustersThatNeverMetStayApartWhenTheyMustNotInitialize) {
  const auto strangers = fork_of(path({line(8, 1, 10, 1, 5)}), path({line(9, 1, 20, 1, 6)}));
  EXPECT_EQ(machine({.auto_initialize_cluster = false}).judge({}, session, strangers),
            Verdict::apart);
  EXPECT_EQ(told.size(), 1u);
  EXPECT_EQ(machine({}).judge({}, session, strangers), Verdict::ours_wins);
}

TEST_F(UnsplitMachineTest, AHealIsRememberedWithWinnerRuleAndCount) {
  auto unsplit = machine({});
  const auto verdict = unsplit.judge({}, session, fork);
  unsplit.healed({}, {.fork = fork, .verdict = verdict, .set_aside = 3});
  ASSERT_EQ(unsplit.heals().size(), 1u);
  const Heal heal = unsplit.heals().front();
  EXPECT_EQ(heal.winner, "a@127.0.0.1");
  EXPECT_EQ(heal.rule, Rule::oldest);
  EXPECT_EQ(heal.set_aside, 3u);
}

TEST_F(UnsplitMachineTest, AForkIsRefusedOnceWhateverLinesFollowAndTheNextForkAnew) {
  auto unsplit = machine({});
  std::ignore = unsplit.judge({}, jobs, fork);
  const auto longer = fork_of(path({line(1, 1, 10), line(2, 1, 10), line(5, 1, 10)}),
                              path({line(1, 1, 10), line(3, 2, 20)}));
  std::ignore = unsplit.judge({}, jobs, longer);
  EXPECT_EQ(told.size(), 1u);
  const auto next =
      fork_of(path({line(1, 1, 10), line(6, 1, 10)}), path({line(1, 1, 10), line(7, 2, 20)}));
  std::ignore = unsplit.judge({}, jobs, next);
  EXPECT_EQ(told.size(), 2u);
  EXPECT_EQ(unsplit.totals().at("jobs").refusals, 2u);
}

TEST_F(UnsplitMachineTest, TotalsAddUpAndNameTheLastWinner) {
  auto unsplit = machine({});
  const auto verdict = unsplit.judge({}, session, fork);
  using namespace std::chrono_literals;
  unsplit.healed({}, {.fork = fork, .verdict = verdict, .set_aside = 3, .took = 2s});
  unsplit.healed({}, {.fork = fork, .verdict = verdict, .took = 1s, .complete = false});
  const auto& totals = unsplit.totals().at("session");
  EXPECT_EQ(totals.heals, 2u);
  EXPECT_EQ(totals.cut_off, 1u);
  EXPECT_EQ(totals.took, Duration(3s));
  EXPECT_EQ(totals.last_took, Duration(1s));
  EXPECT_EQ(totals.last_winner, "a@127.0.0.1");
  EXPECT_NE(told.back().text.find("cut off"), std::string::npos);
}

TEST_F(UnsplitMachineTest, KeepsABoundedNumberOfHeals) {
  auto unsplit = machine({.heals_kept = 5});
  for (int i = 0; i < 50; ++i) unsplit.healed({}, {.fork = fork});
  EXPECT_EQ(unsplit.heals().size(), 5u);
}

}  // namespace
}  // namespace muster::unsplit
