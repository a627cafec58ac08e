// SPDX-License-Identifier: MIT
#include "task_group.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/multiple_exceptions.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>
#include <cassert>
#include <exception>

namespace muster::discovery {
namespace {

namespace asio = boost::asio;

asio::awaitable<void> run_later(asio::any_io_executor executor, asio::awaitable<void> task) {
  co_await asio::post(executor, asio::use_awaitable);
  co_await std::move(task);
}

void only_cancelled(const std::exception_ptr& exception) {
  if (!exception) return;
  try {
    std::rethrow_exception(exception);
  } catch (const boost::system::system_error& error) {
    if (error.code() != asio::error::operation_aborted) std::terminate();
  } catch (const asio::multiple_exceptions& several) {  // Of `a || b`, both cancelled.
    only_cancelled(several.first_exception());
  }
}

}  // namespace

TaskGroup::TaskGroup(asio::any_io_executor executor)
    : executor_(std::move(executor)), idle_(executor_) {}

TaskGroup::~TaskGroup() { assert(children_.empty() && "stop() was not awaited"); }

TaskGroup::Id TaskGroup::spawn(asio::awaitable<void> task) {
  const Id id = ++last_;
  if (stopping_) return id;
  const auto child = children_.try_emplace(id).first;
  asio::co_spawn(executor_, run_later(executor_, std::move(task)),
                 asio::bind_cancellation_slot(child->second.slot(),
                                              [this, child](const std::exception_ptr& exception) {
                                                children_.erase(child);
                                                if (children_.empty()) idle_.cancel();
                                                only_cancelled(exception);
                                              }));
  return id;
}

void TaskGroup::cancel(Id id) {
  const auto child = children_.find(id);
  if (child != children_.end()) child->second.emit(asio::cancellation_type::terminal);
}

asio::awaitable<void> TaskGroup::stop() {
  // Whoever cancels the caller must still not leave children behind.
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  stopping_ = true;
  for (auto child = children_.begin(); child != children_.end();)
    (child++)->second.emit(asio::cancellation_type::terminal);
  while (!children_.empty()) {
    idle_.expires_at(asio::steady_timer::time_point::max());
    co_await idle_.async_wait(await_tuple);
  }
}

asio::awaitable<void> TaskGroup::finish(Duration within) {
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  if (!children_.empty()) {
    idle_.expires_after(within);
    co_await idle_.async_wait(await_tuple);
  }
  co_await stop();
}

}  // namespace muster::discovery
