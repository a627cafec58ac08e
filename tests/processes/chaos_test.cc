// SPDX-License-Identifier: MIT
//
// Nodes on hosts of their own (network namespaces) are cut apart in every way, frozen, killed and
// disconnected while clients write through all of them.  During each fault who can write does, and
// everybody is answered; after it everybody writes again without a refusal, all nodes answer alike
// over their public ports, no acknowledged key is lost, nothing deleted or expired is back, and
// nobody who stayed on one node read back in time.
//
// With MUSTER_KILLS=30 MUSTER_SEED=7 thirty random faults more, from that seed.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <random>

#include "chaos_clients.h"
#include "cluster.h"
#include "faults.h"
#include "hosted_nodes.h"
#include "visibility_probe.h"

namespace muster::testing {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto recovery = 40s;
constexpr std::uint64_t clean_rounds = 10;
constexpr auto ttl_slack = 2s;
constexpr auto expiry_slack = 50ms;
constexpr std::size_t most_resident_mebibytes = 400;
/// By then those who do not hear each other have given each other up, and write again.
constexpr auto long_enough_to_write = 4s;

constexpr auto row =
    "| %-23s | %5lld ms | %5llu written | %4llu refused | %3llu lost | longest write %4lld ms "
    "| all write again in %5lld ms | seen in %lld/%lld/%lld ms | %4llu stale "
    "| %3zu MiB |\n";

std::uint64_t seed() {
  const char* const given = std::getenv("MUSTER_SEED");
  const std::uint64_t seed = given ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  std::cout << "MUSTER_SEED=" << seed << std::endl;
  return seed;
}

long long in_ms(Clock::duration span) { return static_cast<long long>(span / 1ms); }

class Chaos : public ::testing::Test {
 protected:
  void start(std::size_t nodes) {
    hosts_ = std::make_unique<Switch>(nodes);
    if (!hosts_->missing().empty()) GTEST_SKIP() << hosts_->missing();
    nodes_ = std::make_unique<HostedNodes>(*hosts_);
    faults_ = std::make_unique<Faults>(*hosts_, *nodes_, seed());
    ASSERT_TRUE(eventually(60s, [&] { return nodes_->converged(); })) << nodes_->states();
    const std::size_t clients = 2 * nodes;
    generations_ = std::make_unique<Generations>(clients);
    for (std::size_t client = 0; client < clients; ++client)
      clients_.push_back(std::make_unique<PinnedClient>(
          hosts_->host(client % nodes), HostedNodes::redis_port, client, *generations_));
    for (std::size_t node = 0; node < nodes; ++node)
      probes_.push_back(std::make_unique<VisibilityProbe>(*hosts_, HostedNodes::redis_port, node));
    expect_all_write_again();
    live_in_peace(1s);
  }
  void TearDown() override {
    probes_.clear();
    clients_.clear();
    if (HasFailure() && nodes_) std::cerr << nodes_->logs();
  }

  // What happens.
  static void wait_for(std::chrono::milliseconds span) {
    const auto until = Clock::now() + span;
    (void)eventually(span, [&] { return Clock::now() >= until; });
  }
  void live_in_peace(std::chrono::milliseconds span) {
    const std::uint64_t stale_before = stale();
    wait_for(span);
    EXPECT_EQ(stale() - stale_before, 0u) << "without any fault";
    rest();
    const auto seen = times_until_seen();
    std::printf("| %-23s | %5lld ms | seen in %lld/%lld/%lld ms (half, 99 %%, all) |\n",
                "without any fault", in_ms(span), in_ms(seen[0]), in_ms(seen[1]), in_ms(seen[2]));
    go_on();
  }
  void suffer(Fault fault, std::chrono::milliseconds span) {
    SCOPED_TRACE(said(fault));
    const std::uint64_t stale_before = stale();
    for (const auto& client : clients_) client->count_anew();
    faults_->begin(fault);
    wait_for(span);
    if (span >= long_enough_to_write) expect_most_have_written();
    const auto written = sum([](const auto& tally) { return tally.acknowledged.load(); });
    faults_->end();
    const auto ended = Clock::now();
    expect_all_write_again();
    const auto took = Clock::now() - ended;
    rest();
    expect_all_were_answered();
    EXPECT_TRUE(eventually(recovery, [&] { return nodes_->converged(); })) << nodes_->states();
    expect_what_was_promised();
    const auto seen = times_until_seen();
    std::printf(
        row, said(fault), in_ms(span), static_cast<unsigned long long>(written),
        static_cast<unsigned long long>(
            sum([](const auto& tally) { return tally.refused.load(); })),
        static_cast<unsigned long long>(sum([](const auto& tally) { return tally.lost.load(); })),
        in_ms(longest_write()), in_ms(took), in_ms(seen[0]), in_ms(seen[1]), in_ms(seen[2]),
        static_cast<unsigned long long>(stale() - stale_before), largest_resident());
    std::fflush(stdout);
    go_on();
  }
  void rest() {
    for (const auto& client : clients_) client->rest();
    for (const auto& probe : probes_) probe->rest();
  }
  void go_on() {
    for (const auto& client : clients_) client->go_on();
    for (const auto& probe : probes_) probe->go_on();
  }

  // Of the clients.
  [[nodiscard]] bool silenced(std::size_t client) const {
    return faults_->silences(client % hosts_->size());
  }
  template <class Of>
  [[nodiscard]] std::uint64_t sum(Of of) const {
    std::uint64_t all = 0;
    for (const auto& client : clients_) all += of(client->tally());
    return all;
  }
  [[nodiscard]] std::uint64_t stale() const {
    std::uint64_t all = 0;
    for (const auto& probe : probes_) all += probe->stale();
    return all;
  }
  [[nodiscard]] std::chrono::milliseconds longest_write() const {
    std::chrono::milliseconds longest{};
    for (std::size_t client = 0; client < clients_.size(); ++client)
      if (!silenced(client))
        longest = std::max(longest, clients_[client]->tally().longest_write.load());
    return longest;
  }
  /// Half of them, 99 of 100, all.
  [[nodiscard]] std::array<std::chrono::milliseconds, 3> times_until_seen() {
    std::vector<std::chrono::milliseconds> all;
    for (const auto& probe : probes_) {
      const auto times = probe->take_times();
      all.insert(all.end(), times.begin(), times.end());
    }
    if (all.empty()) return {};
    std::ranges::sort(all);
    return {all[all.size() / 2], all[all.size() * 99 / 100], all.back()};
  }
  [[nodiscard]] std::size_t largest_resident() const {
    std::size_t largest = 0;
    for (std::size_t node = 0; node < nodes_->size(); ++node)
      largest = std::max(largest, nodes_->resident_mebibytes(node));
    return largest;
  }

  // What must hold while they run.
  void expect_most_have_written() {
    std::size_t may = 0, have = 0;
    for (std::size_t client = 0; client < clients_.size(); ++client) {
      if (silenced(client)) continue;
      ++may;
      have += clients_[client]->tally().acknowledged > 0 ? 1 : 0;
    }
    EXPECT_GT(2 * have, may) << have << " of " << may << " clients could write during the fault";
  }
  /// Each of them, many times in a row; and each probe has seen on every node what it wrote.
  void expect_all_write_again() {
    for (const auto& client : clients_) client->count_clean_rounds_anew();
    std::vector<std::uint64_t> seen;
    for (const auto& probe : probes_) seen.push_back(probe->seen());
    EXPECT_TRUE(eventually(recovery,
                           [&] {
                             for (const auto& client : clients_)
                               if (client->tally().clean_rounds < clean_rounds) return false;
                             for (std::size_t i = 0; i < probes_.size(); ++i)
                               if (probes_[i]->seen() < seen[i] + hosts_->size() - 1) return false;
                             return true;
                           }))
        << "not all clients write, or see what others wrote, without a refusal again:"
        << nodes_->states();
  }

  // What must hold when they rest.
  void expect_all_were_answered() {
    for (std::size_t client = 0; client < clients_.size(); ++client) {
      if (silenced(client)) continue;
      EXPECT_EQ(clients_[client]->tally().lost, 0u)
          << "client " << client << " got no answer, longest write "
          << clients_[client]->tally().longest_write.load().count() << " ms";
    }
  }
  void expect_what_was_promised() {
    for (const auto& client : clients_)
      for (const auto& violation : client->violations()) ADD_FAILURE() << violation;
    EXPECT_LT(largest_resident(), most_resident_mebibytes);
    Contents first;
    for (std::size_t node = 0; node < hosts_->size(); ++node) {
      SCOPED_TRACE(HostedNodes::name(node));
      const auto asked = Clock::now();
      const auto redis = nodes_->redis(node);
      Contents contents = contents_of(*redis);
      expect_what_was_kept(contents);
      expect_nothing_is_back(contents, asked);
      expect_times_left(*redis);
      std::erase_if(contents, [](const auto& entry) { return entry.first.starts_with("short-"); });
      if (node == 0)
        first = std::move(contents);
      else
        expect_alike(first, contents);
    }
  }
  /// Once everything that has a short time has had it.
  void expect_what_was_promised_at_last() {
    rest();
    Clock::time_point last{};
    for (const auto& client : clients_)
      for (const auto& fleeting : client->told().fleeting)
        last = std::max(last, fleeting.gone_from() + 2 * expiry_slack);
    EXPECT_TRUE(eventually(recovery, [&] { return Clock::now() > last; }));
    expect_what_was_promised();
  }
  static void expect_alike(const Contents& first, const Contents& other) {
    std::vector<Contents::value_type> differing;
    std::ranges::set_symmetric_difference(first, other, std::back_inserter(differing));
    EXPECT_TRUE(differing.empty())
        << differing.size() << " entries differ from the first node's, of " << first.size()
        << ", like " << differing.front().first << ": " << differing.front().second;
  }
  void expect_what_was_kept(const Contents& contents) {
    for (const auto& client : clients_) {
      expect_values(contents, client->told().kept);
      if (client->counted() == 0) continue;
      const auto counter = contents.find(client->counter());
      const auto value =
          counter == contents.end() ? 0 : std::strtoull(counter->second.c_str(), nullptr, 10);
      EXPECT_TRUE(client->counted() <= value && value <= client->tried())
          << client->counter() << " is " << value << ", acknowledged was " << client->counted();
    }
    for (const auto& probe : probes_) expect_values(contents, probe->kept());
  }
  static void expect_values(const Contents& contents, const std::vector<std::string>& keys) {
    const auto has = [&](const std::string& key) {
      const auto entry = contents.find(key);
      return entry != contents.end() && entry->second == value_of(key);
    };
    const auto lost = std::ranges::find_if_not(keys, has);
    EXPECT_TRUE(lost == keys.end()) << std::ranges::count_if(keys, std::not_fn(has))
                                    << " acknowledged keys are lost, like " << *lost;
  }
  void expect_nothing_is_back(const Contents& contents, Clock::time_point asked) {
    std::vector<std::string> back;
    for (const auto& client : clients_) {
      for (const auto& key : client->told().deleted)
        if (contents.contains(key)) back.push_back(key);
      for (const auto& fleeting : client->told().fleeting)
        if (fleeting.gone_from() + expiry_slack < asked && contents.contains(fleeting.key))
          back.push_back(fleeting.key);
    }
    EXPECT_TRUE(back.empty()) << back.size() << " deleted or expired keys are there, like "
                              << back.front();
  }
  /// As the clients were told: so all nodes agree as well.
  void expect_times_left(RedisClient& redis) {
    std::vector<std::string> wrong;
    for (const auto& client : clients_) {
      std::vector<std::string> keys;
      for (const auto& lasting : client->told().lasting) keys.push_back(lasting.key);
      const auto before = Clock::now();
      const auto left = time_left(redis, keys);
      const auto after = Clock::now();
      for (const auto& lasting : client->told().lasting) {
        const std::chrono::milliseconds said(left.at(lasting.key));
        if (before + said > lasting.gone_from() + ttl_slack ||
            after + said < lasting.there_until() - ttl_slack)
          wrong.push_back(lasting.key + " has " + std::to_string(said.count()) +
                          " ms left, should have " +
                          std::to_string(in_ms(lasting.gone_from() - after)));
      }
    }
    EXPECT_TRUE(wrong.empty()) << wrong.size() << " keys expire at other times, like "
                               << wrong.front();
  }

  std::unique_ptr<Switch> hosts_;
  std::unique_ptr<HostedNodes> nodes_;
  std::unique_ptr<Faults> faults_;
  std::unique_ptr<Generations> generations_;
  std::vector<std::unique_ptr<PinnedClient>> clients_;
  std::vector<std::unique_ptr<VisibilityProbe>> probes_;
};

TEST_F(Chaos, ThreeHostsSurviveCutsFreezesKillsAndResetsUnderLoad) {
  ASSERT_NO_FATAL_FAILURE(start(3));
  if (IsSkipped()) return;
  suffer(Fault::halves, 4s);
  suffer(Fault::frozen, repetitions(0) > 0 ? 30s : 4s);
  suffer(Fault::killed, 4s);
  suffer(Fault::resets, 4s);
  expect_what_was_promised_at_last();
}

TEST_F(Chaos, FiveHostsSurviveOneWayCutsRingsAndBridgesUnderLoad) {
  ASSERT_NO_FATAL_FAILURE(start(5));
  if (IsSkipped()) return;
  for (const Fault fault : {Fault::one_way, Fault::bridge, Fault::ring, Fault::killed})
    suffer(fault, 4s);
  const int more = std::min(repetitions(0), 30);
  for (int round = 0; round < more && !HasFailure(); ++round) {
    const Fault fault = faults_->any_fault();
    const auto most = fault == Fault::frozen ? 30'000U : 12'000U;
    suffer(fault, std::chrono::milliseconds(100 + faults_->any_number() % most));
  }
  expect_what_was_promised_at_last();
}

}  // namespace
}  // namespace muster::testing
