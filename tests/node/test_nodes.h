// SPDX-License-Identifier: MIT
//
// Real nodes in one process for tests: an io_context run by two threads, ports of the system's
// choice, one cookie, logs kept to be looked at.  Whatever a test leaves running is stopped.
#pragma once

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_future.hpp>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "muster/node/node.h"

namespace muster::node {

inline const std::string test_cookie = "0123456789abcdefghijklmnopqrstuv";

/// Lines of all levels, from any thread; wait_for() waits for one.
class LogBook {
 public:
  [[nodiscard]] Log log() {
    return Log(
        [this](Level, std::string_view line) {
          const std::lock_guard lock(mutex_);
          lines_.emplace_back(line);
          changed_.notify_all();
        },
        Level::debug);
  }
  [[nodiscard]] std::size_t count(std::string_view part) const {
    const std::lock_guard lock(mutex_);
    return count_locked(part);
  }
  [[nodiscard]] bool wait_for(std::string_view part, std::size_t times = 1) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20),
                             [&] { return count_locked(part) >= times; });
  }
  [[nodiscard]] std::string all() const {
    const std::lock_guard lock(mutex_);
    std::string text;
    for (const auto& line : lines_) text += line + "\n";
    return text;
  }

 private:
  [[nodiscard]] std::size_t count_locked(std::string_view part) const {
    std::size_t found = 0;
    for (const auto& line : lines_) found += line.find(part) != std::string::npos ? 1 : 0;
    return found;
  }
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> lines_;
};

class Loop {
 public:
  explicit Loop(int threads = 2) : work_(io_.get_executor()) {
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { io_.run(); });
  }
  ~Loop() { finish(); }
  /// Ends when nothing runs on it any more.
  void finish() {
    work_.reset();
    for (auto& thread : threads_) thread.join();
    threads_.clear();
  }
  template <class T>
  T run(boost::asio::awaitable<T> task) {
    return boost::asio::co_spawn(io_, std::move(task), boost::asio::use_future).get();
  }
  [[nodiscard]] boost::asio::io_context& io() { return io_; }

 private:
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  std::vector<std::thread> threads_;
};

[[nodiscard]] inline NodeName name_of(std::string_view text) {
  return NodeName::parse(text).value();
}

[[nodiscard]] inline NodeSettings settings_of(std::string_view name) {
  NodeSettings settings;
  settings.name = name_of(name);
  settings.cookie = Cookie(test_cookie);
  settings.use_port_mapper = false;
  return settings;
}

/// One node, stopped when it goes away.
class TestNode {
 public:
  TestNode(Loop& loop, NodeSettings settings) : loop_(loop) {
    node_.emplace(loop.io().get_executor(), std::move(settings), book.log());
    node_->on_event([this](Now, const NodeEvent& event) {
      const std::lock_guard lock(mutex_);
      events_.push_back(event);
      changed_.notify_all();
    });
  }
  ~TestNode() { stop(); }

  [[nodiscard]] Result<void> start() { return loop_.run(node_->start()); }
  void stop() {
    if (node_) loop_.run(node_->stop());
  }
  /// Stopped and gone.
  void destroy() {
    stop();
    node_.reset();
  }
  [[nodiscard]] ConnectOutcome connect(const TestNode& other) {
    return loop_.run(node_->connect(other.node().view()->advertised));
  }
  [[nodiscard]] bool saw(NodeEvent::Kind kind, std::string_view name) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20), [&] {
      for (const auto& event : events_) {
        if (event.kind == kind && event.node.name.text() == name) return true;
      }
      return false;
    });
  }
  [[nodiscard]] bool connected_to(std::size_t count) {
    // Every nodeup and nodedown is followed by a fresh view.
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (std::chrono::steady_clock::now() < deadline) {
      if (node_->view()->connected.size() == count) return true;
      std::this_thread::yield();
    }
    return false;
  }
  [[nodiscard]] std::uint16_t port() const { return node_->view()->advertised.port; }
  [[nodiscard]] Node& node() { return *node_; }
  [[nodiscard]] const Node& node() const { return *node_; }
  [[nodiscard]] Loop& loop() { return loop_; }
  /// On the node's strand, within a turn.
  template <class Work>
  void on_strand(Work work) {
    std::promise<void> done;
    boost::asio::post(node_->strand(), [&] {
      node_->turn([&](Now now) { work(now); });
      done.set_value();
    });
    done.get_future().get();
  }

  LogBook book;

 private:
  Loop& loop_;
  std::optional<Node> node_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<NodeEvent> events_;
};

}  // namespace muster::node
