// SPDX-License-Identifier: MIT
#include "muster/lab/agenda.h"

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

namespace muster::lab {
namespace {

using namespace std::chrono_literals;

TEST(Action, CallsWhatItHoldsWhereverItFits) {
  int calls = 0;
  Action small = [&calls] { ++calls; };
  std::array<char, 200> ballast{};
  ballast[7] = 1;
  Action large = [&calls, ballast] { calls += 10 * ballast[7]; };
  Action moved = std::move(large);
  small();
  moved();
  EXPECT_EQ(calls, 11);
  EXPECT_FALSE(large);  // NOLINT(bugprone-use-after-move): a moved-from action is empty
}

TEST(Action, DestroysItsCapturesOnce) {
  auto witness = std::make_shared<int>(1);
  {
    Action first = [witness] {};
    Action second = std::move(first);
    first = [witness] {};
    EXPECT_EQ(witness.use_count(), 3);
  }
  EXPECT_EQ(witness.use_count(), 1);
}

TEST(Agenda, RunsByTimeAndThenInTheOrderOfScheduling) {
  Agenda agenda;
  std::string order;
  agenda.in(2s, [&] { order += 'd'; });
  agenda.in(1s, [&] { order += 'a'; });
  agenda.in(1s, [&] { order += 'b'; });
  agenda.in(1s, [&] {
    order += 'c';
    agenda.in(0s, [&] { order += 'x'; });
  });
  agenda.run_for(3s);
  EXPECT_EQ(order, "abcxd");
  EXPECT_EQ(agenda.now(), Instant{} + 3s);
  EXPECT_EQ(agenda.executed(), 5u);
}

TEST(Agenda, RunsWhatIsDueInThePastNow) {
  Agenda agenda;
  agenda.run_for(5s);
  Instant ran{};
  agenda.at(Instant{} + 1s, [&] { ran = agenda.now(); });
  EXPECT_TRUE(agenda.step());
  EXPECT_EQ(ran, Instant{} + 5s);
  EXPECT_FALSE(agenda.step());
}

TEST(Agenda, LeavesWhatIsNotDueYet) {
  Agenda agenda;
  int ran = 0;
  for (int second = 1; second <= 4; ++second)
    agenda.at(Instant{} + std::chrono::seconds(second), [&] { ++ran; });
  agenda.run_until(Instant{} + 2s);
  EXPECT_EQ(ran, 2);
  EXPECT_EQ(agenda.size(), 2u);
  EXPECT_EQ(agenda.next(), Instant{} + 3s);
}

}  // namespace
}  // namespace muster::lab
