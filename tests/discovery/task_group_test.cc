// SPDX-License-Identifier: MIT
#include "task_group.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/io_context.hpp>

namespace muster::discovery {
namespace {

namespace asio = boost::asio;
using namespace asio::experimental::awaitable_operators;
using namespace std::chrono_literals;

asio::awaitable<void> wait_an_hour(asio::any_io_executor executor, bool& started) {
  started = true;
  asio::steady_timer timer(executor, 1h);
  co_await timer.async_wait(asio::use_awaitable);
}

class TaskGroupTest : public ::testing::Test {
 protected:
  void stop() {
    bool stopped = false;
    asio::co_spawn(io, group.stop(), [&](const std::exception_ptr&) { stopped = true; });
    io.restart();
    io.run_for(10s);
    EXPECT_TRUE(stopped);
    EXPECT_EQ(group.size(), 0u);
  }

  asio::io_context io{1};
  TaskGroup group{io.get_executor()};
};

TEST_F(TaskGroupTest, StartsATaskLater) {
  bool started = false;
  group.spawn(wait_an_hour(io.get_executor(), started));
  EXPECT_FALSE(started);
  io.poll();
  EXPECT_TRUE(started);
  stop();
}

TEST_F(TaskGroupTest, StopCancelsTasksThatHaveNotStarted) {
  bool started = false;
  for (int i = 0; i < 10; ++i) group.spawn(wait_an_hour(io.get_executor(), started));
  stop();
}

asio::awaitable<void> wait_for_either(asio::any_io_executor executor, bool& started) {
  co_await (wait_an_hour(executor, started) || wait_an_hour(executor, started));
}

TEST_F(TaskGroupTest, StopCancelsATaskThatWaitsForEitherOfTwo) {
  bool started = false;
  group.spawn(wait_for_either(io.get_executor(), started));
  io.poll();
  EXPECT_TRUE(started);
  stop();
}

TEST_F(TaskGroupTest, RefusesTasksOnceItStops) {
  stop();
  bool started = false;
  group.spawn(wait_an_hour(io.get_executor(), started));
  io.restart();
  io.run_for(10s);
  EXPECT_FALSE(started);
  EXPECT_EQ(group.size(), 0u);
}

}  // namespace
}  // namespace muster::discovery
