// SPDX-License-Identifier: MIT
//
// A host of a test: a thread with an event loop, in a network namespace of its own where asked
// for, that runs one gossip topology.  What it made is gone when its thread ends, however the test
// ends.
#pragma once

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <cstdlib>
#include <future>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>

#include "muster/discovery/topologies.h"

namespace muster::discovery::test {

namespace asio = boost::asio;

/// A transport without links: what is found is all that is asked.
class NoPlumbing : public Plumbing {
 public:
  void connect(const Peer&, Duration, Done done) override { done({}); }
  void disconnect(const NodeName&, Done done) override { done({}); }
  std::set<NodeName> list_nodes() override { return {}; }
};

class GossipHost {
 public:
  enum class Network { shared, own };

  explicit GossipHost(Network network) {
    std::promise<int> begun;
    auto outcome = begun.get_future();
    thread_ = std::thread([this, network, &begun] {
      const bool works = network == Network::shared || ::unshare(CLONE_NEWNET) == 0;
      space_ =
          "/proc/" + std::to_string(::getpid()) + "/task/" + std::to_string(::gettid()) + "/ns/net";
      begun.set_value(works ? 0 : errno);
      if (works) io_.run();
    });
    error_ = outcome.get();
  }
  ~GossipHost() {
    if (error_ == 0) stop();
    work_.reset();
    thread_.join();
  }
  GossipHost(const GossipHost&) = delete;
  GossipHost& operator=(const GossipHost&) = delete;

  [[nodiscard]] int error() const { return error_; }  ///< errno, where there is no namespace.
  [[nodiscard]] const std::string& space() const { return space_; }

  /// In its thread: what is opened or started there belongs to its network.
  template <class Work>
  auto run(Work work) const {
    std::packaged_task<decltype(work())()> task(std::move(work));
    auto done = task.get_future();
    asio::post(io_, [&task] { task(); });
    return done.get();
  }
  /// A command line of `ip`, there; fails the test where it does not work.
  void ip(const std::string& command) const {
    const std::string line = "PATH=$PATH:/usr/sbin:/sbin ip " + command;
    EXPECT_EQ(run([&] { return std::system(line.c_str()); }), 0) << line;
  }

  void start(const std::string& name, const Settings& config) {
    run([&] {
      running_ = std::make_unique<Running>(io_, name);
      const auto plan = plan_topology("t", "gossip", config, StrategyRegistry());
      ASSERT_TRUE(plan) << plan.error().text();
      ASSERT_TRUE(running_->topologies.add(*plan));
    });
  }
  void stop() {
    std::promise<void> stopped;
    run([&] {
      if (running_)
        asio::co_spawn(io_, running_->topologies.stop(),
                       [&](const std::exception_ptr&) { stopped.set_value(); });
      else
        stopped.set_value();
    });
    stopped.get_future().wait();
    run([&] { running_.reset(); });
  }

  [[nodiscard]] Pass last_pass() const {
    return run([&] { return running_->last_pass; });
  }
  [[nodiscard]] std::set<std::string> sees() const {
    std::set<std::string> names;
    for (const Peer& peer : last_pass().peers) names.insert(peer.name.text());
    return names;
  }
  [[nodiscard]] std::uint64_t count(const std::string& what) const {
    return run([&] { return running_->topologies.status().at(0).counters.at(what); });
  }
  [[nodiscard]] std::string log() const {
    return run([&] { return running_->log; });
  }

 private:
  struct Running {
    Running(asio::io_context& io, const std::string& name)
        : topologies(
              io.get_executor(), plumbing,
              {.context = {.self = NodeName::parse(name).value(),
                           .cookie = "a cookie of more than thirty-two bytes",
                           .boot_id = std::hash<std::string>()(name),
                           .link_port = 7000},
               .log = Log([this](Level, std::string_view line) { log.append(line).append("\n"); },
                          Level::info),
               .on_pass = [this](const std::string&, const Pass& pass) { last_pass = pass; }}) {}
    NoPlumbing plumbing;
    std::string log;
    Pass last_pass;
    Topologies topologies;
  };

  mutable asio::io_context io_;
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>> work_{
      asio::make_work_guard(io_)};
  std::unique_ptr<Running> running_;
  std::string space_;
  int error_ = 0;
  std::thread thread_;
};

/// Looks again and again, for at most 30 s.
template <class Condition>
bool eventually(Condition what) {
  asio::io_context pause;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!what()) {
    if (std::chrono::steady_clock::now() > end) return false;
    asio::steady_timer timer(pause, std::chrono::milliseconds(20));
    timer.wait();
  }
  return true;
}

}  // namespace muster::discovery::test
