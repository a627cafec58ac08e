// SPDX-License-Identifier: MIT
//
// Nodes on hosts of their own (network namespaces) are cut apart in every way, frozen and
// disconnected while clients write through all of them.  After each fault: equal digests on all, no
// acknowledged key lost, nobody who stayed on one node read back in time.
//
// With MUSTER_KILLS=30 MUSTER_SEED=7 thirty random faults more, from that seed.
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <random>

#include "chaos_clients.h"
#include "cluster.h"
#include "namespaces.h"

namespace muster::testing {
namespace {

using namespace std::chrono_literals;

constexpr std::uint16_t http_port = 4000;
constexpr std::uint16_t redis_port = 4001;

class Chaos : public ::testing::Test {
 protected:
  void start(std::size_t nodes) {
    hosts_ = std::make_unique<Switch>(nodes);
    if (!hosts_->missing().empty()) GTEST_SKIP() << hosts_->missing();
    const char* const seed = std::getenv("MUSTER_SEED");
    seed_ = seed ? std::strtoull(seed, nullptr, 10) : std::random_device{}();
    random_.seed(seed_);
    std::cout << "MUSTER_SEED=" << seed_ << "\n";
    std::string list;
    for (std::size_t node = 0; node < nodes; ++node) list += (node == 0 ? "" : ", ") + name(node);
    std::ofstream(file("muster.yaml"))
        << "topologies:\n  static: {strategy: epmd, config: {hosts: [" << list << "]}}\n"
        << "tables: {session: {ttl: 1h, on_split: merge}}\n";
    for (std::size_t node = 0; node < nodes; ++node) start_node(node);
    ASSERT_TRUE(eventually(60s, [&] { return converged(); })) << states();
    for (std::size_t client = 0; client < 2 * nodes; ++client)
      clients_.push_back(std::make_unique<PinnedClient>(hosts_->host(client % nodes), redis_port,
                                                        client, 2 * nodes));
  }
  void TearDown() override {
    clients_.clear();
    if (!HasFailure()) return;
    for (std::size_t node = 0; node < processes_.size(); ++node)
      std::cerr << "---- end of the log of " << name(node) << '\n'
                << run({"tail", "-n", "60", file(name(node) + ".log")}).output;
  }

  // Nodes.
  [[nodiscard]] static std::string name(std::size_t node) {
    return std::string(1, static_cast<char>('a' + node)) + "@" + Switch::address(node);
  }
  [[nodiscard]] std::string file(const std::string& base) const {
    return (directory_.path() / base).string();
  }
  void start_node(std::size_t node) {
    auto command = hosts_->host(node).enter();
    command.insert(command.end(),
                   {muster_program(), "start", file("muster.yaml"), "--name", name(node), "--port",
                    std::to_string(http_port), "--resp-port", std::to_string(redis_port), "--dir",
                    file(name(node)), "--cookie-file", file("cookie")});
    processes_.push_back(std::make_unique<Process>(
        command, Environment{{"HOME", directory_.path().string()}}, file(name(node) + ".log")));
  }
  [[nodiscard]] boost::json::value get(std::size_t node, const std::string& path) const {
    const Inside inside(hosts_->host(node));
    boost::system::error_code error;
    auto answer = boost::json::parse(http_get(http_port, path).body, error);
    return error ? boost::json::value() : answer;
  }
  /// What has to be equal on all: readiness, digest, the oldest, how many are linked.
  [[nodiscard]] std::string state(std::size_t node) const {
    const auto tables = get(node, "/v1/tables");
    const auto status = get(node, "/v1/status");
    const auto nodes = get(node, "/v1/nodes");
    if (!tables.is_object() || !status.is_object() || !nodes.is_object()) return "";
    std::size_t linked = 0;
    for (const auto& each : nodes.at("nodes").as_array())
      linked += each.at("connected").as_bool() ? 1 : 0;
    std::string text =
        std::to_string(linked) + " linked, oldest " + std::string(status.at("oldest").as_string());
    for (const auto& each : tables.at("tables").as_array()) {
      text += ", " + std::string(each.at("readiness").as_string());
      if (const auto* digest = each.as_object().if_contains("digest"))
        text += " " + std::string(digest->as_string());
    }
    return text;
  }
  [[nodiscard]] bool converged() const {
    const std::string first = state(0);
    if (!first.starts_with(std::to_string(hosts_->size() - 1) + " linked") ||
        first.find(", ready") == std::string::npos)
      return false;
    for (std::size_t node = 1; node < hosts_->size(); ++node)
      if (state(node) != first) return false;
    return true;
  }
  [[nodiscard]] std::string states() const {
    std::string text;
    for (std::size_t node = 0; node < hosts_->size(); ++node)
      text += "\n" + name(node) + ": " + state(node);
    return text;
  }

  // Faults.
  std::size_t any() { return random_() % hosts_->size(); }
  [[nodiscard]] std::vector<std::size_t> in_random_order() {
    std::vector<std::size_t> order(hosts_->size());
    for (std::size_t node = 0; node < order.size(); ++node) order[node] = node;
    std::shuffle(order.begin(), order.end(), random_);
    return order;
  }
  static void cut(Switch::Matrix& passes, std::size_t a, std::size_t b) {
    passes[a][b] = passes[b][a] = false;
  }
  /// Two halves; with `bridge` the first node of the order sees both.
  void cut_in_two(bool bridge) {
    const auto order = in_random_order();
    auto passes = hosts_->all_passes();
    const std::size_t first = bridge ? 1 : 0;
    const std::size_t left = (order.size() - first + 1) / 2;
    for (std::size_t i = first; i < first + left; ++i)
      for (std::size_t k = first + left; k < order.size(); ++k) cut(passes, order[i], order[k]);
    hosts_->set(passes);
  }
  void cut_one_way() {
    auto passes = hosts_->all_passes();
    const std::size_t from = any();
    for (std::size_t to = 0; to < hosts_->size(); ++to)
      if (to != from) passes[from][to] = false;
    hosts_->set(passes);
  }
  void leave_a_ring() {
    const auto order = in_random_order();
    auto passes = hosts_->all_passes();
    for (std::size_t i = 0; i < order.size(); ++i)
      for (std::size_t k = i + 2; k < order.size(); ++k)
        if (i != 0 || k + 1 != order.size()) cut(passes, order[i], order[k]);
    hosts_->set(passes);
  }

  enum class Fault { halves, one_way, bridge, ring, frozen, cable, resets };
  static constexpr Fault every_fault[] = {Fault::halves, Fault::one_way, Fault::bridge, Fault::ring,
                                          Fault::frozen, Fault::cable,   Fault::resets};
  static const char* said(Fault fault) {
    switch (fault) {
      case Fault::halves:
        return "two halves";
      case Fault::one_way:
        return "one node is not heard";
      case Fault::bridge:
        return "two halves and a bridge";
      case Fault::ring:
        return "a ring";
      case Fault::frozen:
        return "a frozen node";
      case Fault::cable:
        return "a pulled cable";
      case Fault::resets:
        return "connections reset";
    }
    return "";
  }
  void begin(Fault fault) {
    victim_ = any();
    switch (fault) {
      case Fault::halves:
        return cut_in_two(false);
      case Fault::one_way:
        return cut_one_way();
      case Fault::bridge:
        return cut_in_two(true);
      case Fault::ring:
        return leave_a_ring();
      case Fault::frozen:
        return processes_[victim_]->signal(SIGSTOP);
      case Fault::cable:
        return hosts_->cable(victim_, false);
      case Fault::resets:
        return hosts_->reset_connections(victim_);
    }
  }
  void end_faults() {
    for (const auto& process : processes_) process->signal(SIGCONT);
    hosts_->heal();
  }

  // What must hold.
  void suffer(Fault fault, std::chrono::milliseconds span) {
    SCOPED_TRACE(said(fault));
    begin(fault);
    // The clients are what happens meanwhile.
    const auto until = std::chrono::steady_clock::now() + span;
    (void)eventually(span, [&] { return std::chrono::steady_clock::now() >= until; });
    end_faults();
    const auto healed = std::chrono::steady_clock::now();
    for (const auto& client : clients_) client->rest();
    EXPECT_TRUE(eventually(40s, [&] { return converged(); })) << states();
    const auto took = std::chrono::steady_clock::now() - healed;
    expect_all_keys();
    std::chrono::milliseconds longest{};
    std::uint64_t refused = 0;
    for (std::size_t client = 0; client < clients_.size(); ++client) {
      for (const auto& violation : clients_[client]->violations()) ADD_FAILURE() << violation;
      const auto waited = clients_[client]->take_longest_write();
      const bool froze = fault == Fault::frozen && client % hosts_->size() == victim_;
      if (!froze) longest = std::max(longest, waited);
      refused += clients_[client]->refused();
    }
    std::printf(
        "| %-25s | %5lld ms | healed in %5lld ms | longest write %5lld ms | %llu refused |\n",
        said(fault), static_cast<long long>(span.count()), static_cast<long long>(took / 1ms),
        static_cast<long long>(longest.count()), static_cast<unsigned long long>(refused));
    std::fflush(stdout);
    for (const auto& client : clients_) client->go_on();
  }
  void expect_all_keys() {
    for (std::size_t node = 0; node < hosts_->size(); ++node) {
      const Inside inside(hosts_->host(node));
      RedisClient redis(redis_port);
      for (std::size_t client = 0; client < clients_.size(); ++client) {
        const auto& keys = clients_[client]->acknowledged();
        for (std::size_t from = 0; from < keys.size(); from += 200) {
          std::vector<std::string> command{"EXISTS"};
          command.insert(
              command.end(), keys.begin() + static_cast<std::ptrdiff_t>(from),
              keys.begin() + static_cast<std::ptrdiff_t>(std::min(from + 200, keys.size())));
          EXPECT_EQ(redis.ask(command), ":" + std::to_string(command.size() - 1))
              << name(node) << " lost keys of client " << client << " from " << keys[from];
        }
      }
    }
  }

  TemporaryDirectory directory_;
  std::uint64_t seed_ = 0;
  std::mt19937_64 random_;
  std::size_t victim_ = 0;
  std::unique_ptr<Switch> hosts_;
  std::vector<std::unique_ptr<Process>> processes_;
  std::vector<std::unique_ptr<PinnedClient>> clients_;
};

TEST_F(Chaos, ThreeHostsSurviveCutsFreezesAndResetsUnderLoad) {
  ASSERT_NO_FATAL_FAILURE(start(3));
  if (IsSkipped()) return;
  for (const Fault fault : {Fault::halves, Fault::frozen, Fault::resets}) suffer(fault, 4s);
}

TEST_F(Chaos, FiveHostsSurviveOneWayCutsAndBridgesUnderLoad) {
  ASSERT_NO_FATAL_FAILURE(start(5));
  if (IsSkipped()) return;
  for (const Fault fault : {Fault::one_way, Fault::bridge}) suffer(fault, 4s);
  const int more = std::min(repetitions(0), 30);
  for (int round = 0; round < more && !HasFailure(); ++round) {
    const Fault fault = every_fault[random_() % std::size(every_fault)];
    const auto most = fault == Fault::frozen ? 30'000U : 12'000U;
    suffer(fault, std::chrono::milliseconds(100 + random_() % most));
  }
}

}  // namespace
}  // namespace muster::testing
