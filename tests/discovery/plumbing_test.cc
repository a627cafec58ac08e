// SPDX-License-Identifier: MIT
#include "muster/discovery/plumbing.h"

#include <gtest/gtest.h>

#include <boost/asio/error.hpp>

namespace muster::discovery {
namespace {

TEST(DialOutcome, NamesTheReasonAndThePlace) {
  EXPECT_EQ((DialOutcome{DialProblem::refused, "127.0.0.1:4370"}).text(),
            "refused (127.0.0.1:4370)");
  EXPECT_EQ((DialOutcome{DialProblem::wrong_cookie}).text(), "wrong cookie");
  EXPECT_TRUE(DialOutcome{}.ok());
}

TEST(DialOutcome, KnowsTheErrorsOfTheSystem) {
  const auto problem_of = [](auto code) {
    return DialOutcome::failed(Error{code, "127.0.0.1:1"}).problem;
  };
  EXPECT_EQ(problem_of(boost::asio::error::connection_refused), DialProblem::refused);
  EXPECT_EQ(problem_of(boost::asio::error::timed_out), DialProblem::timed_out);
  EXPECT_EQ(problem_of(boost::asio::error::network_unreachable), DialProblem::unreachable);
  EXPECT_EQ(problem_of(boost::asio::error::host_not_found), DialProblem::unresolved);
  const auto other = DialOutcome::failed(Error{boost::asio::error::broken_pipe, "127.0.0.1:1"});
  EXPECT_EQ(other.text(), "failed (127.0.0.1:1: Broken pipe)");
}

}  // namespace
}  // namespace muster::discovery
