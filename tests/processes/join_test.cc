// SPDX-License-Identifier: MIT
// A node alone begins a table; others join it, take over what it is and what is in it, and outlive
// it.
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "cluster.h"

namespace muster::testing {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

class Join : public Cluster {
 protected:
  static std::string both() { return "a@127.0.0.1 b@127.0.0.1"; }
  static std::string text(const boost::json::object& table, const char* field) {
    const auto* value = table.if_contains(field);
    return value && value->is_string() ? std::string(value->as_string()) : "";
  }
  static std::string expired(const TestNode& node) {
    const auto table = node.table();
    return table.empty() ? "" : boost::json::serialize(table.at("expired"));
  }

  TestNode a_{*this, "a"};
  TestNode b_{*this, "b"};
  TestNode c_{*this, "c"};
};

// A value with a time to live, between the moments at which that began at the earliest and at the
// latest.
struct ShortLived {
  ShortLived(const TestNode& writer, std::string its_key, std::chrono::milliseconds time_to_live)
      : key(std::move(its_key)), ttl(time_to_live) {
    not_before = Clock::now();
    EXPECT_EQ(writer.redis({"SET", key, "short", "PX", std::to_string(ttl.count())}), "+OK");
    not_after = Clock::now();
  }

  // Reads until it is gone: there as long as it lives, and not any longer.  Nodes measure each
  // other's clocks over links and agree no better than a loaded machine lets them.
  static constexpr auto clocks_agree = 100ms;
  void expect_to_be_seen_expiring_on(const TestNode& node) const {
    std::string answer;
    while (Clock::now() < not_after + ttl + 2s) {
      const auto asked = Clock::now();
      answer = node.redis({"GET", key});
      if (answer != "short" || asked >= not_after + ttl + clocks_agree) break;
      pause_briefly();
    }
    EXPECT_EQ(answer, "(nil)") << key << " on " << node.name();
    EXPECT_GE(Clock::now() + clocks_agree, not_before + ttl)
        << key << " is gone too early on " << node.name();
  }

  std::string key;
  std::chrono::milliseconds ttl;
  Clock::time_point not_before;
  Clock::time_point not_after;
};

TEST_F(Join, NobodyToJoinANodeBeginsTheTableAndSaysSo) {
  a_.start_ready();
  EXPECT_EQ(a_.count_in_log("table session initiated on a@127.0.0.1"), 1u);
  const auto shown = a_.command({"tables", "--json"});
  EXPECT_EQ(shown.status, 0) << shown.output;
  const auto table = a_.table();
  EXPECT_EQ(text(table, "readiness"), "ready") << shown.output;
  EXPECT_EQ(text(table, "storage"), "disc_copies") << shown.output;
  EXPECT_EQ(text(table, "detail"), "alone") << shown.output;
  EXPECT_EQ(a_.replicas(), "a@127.0.0.1") << shown.output;
}

TEST_F(Join, TheNextOneTakesStorageReplicasAndContentFromTheFirst) {
  configure_static({"a", "b"}, "ttl: 1h");
  a_.start_ready();
  EXPECT_EQ(a_.redis({"SET", "from a", "1"}), "+OK");
  configure_static({"a", "b"}, "ttl: 1h, storage: ram_copies");
  b_.start_ready();
  EXPECT_EQ(b_.redis({"GET", "from a"}), "1");
  EXPECT_EQ(b_.count_in_log("table session joins a@127.0.0.1 for b@127.0.0.1"), 1u);
  EXPECT_EQ(b_.count_in_log("joined a@127.0.0.1 for b@127.0.0.1"), 1u);
  EXPECT_EQ(b_.count_in_log("initiated"), 0u);
  EXPECT_EQ(text(b_.table(), "storage"), "disc_copies");
  EXPECT_TRUE(b_.sees(a_));
  EXPECT_EQ(b_.replicas(), both());
  EXPECT_EQ(b_.redis({"SET", "from b", "2"}), "+OK");
  EXPECT_EQ(a_.redis({"GET", "from b"}), "2");
  EXPECT_EQ(a_.replicas(), both());
}

// Nobody lists a node for b: those that are connected are the nodes to join.
TEST_F(Join, WithoutAListItIsWhoeverIsConnected) {
  configure("topologies: {local: {strategy: gossip, config: {multicast_if: 127.0.0.1}}}");
  a_.start_ready();
  EXPECT_EQ(a_.redis({"SET", "from a", "1"}), "+OK");
  b_.start_ready();
  EXPECT_TRUE(eventually(5s, [&] { return b_.redis({"GET", "from a"}) == "1"; }));
  EXPECT_EQ(b_.count_in_log("table session joins a@127.0.0.1 for b@127.0.0.1"), 1u);
  EXPECT_TRUE(eventually(5s, [&] { return a_.replicas() == both() && b_.replicas() == both(); }));
}

// The list of c names b, which is not the oldest, and one that does not exist.
TEST_F(Join, OneLiveNodeOfTheListIsEnoughAndTheOtherReplicasAreLearned) {
  configure_static({"a", "b"}, "ttl: 1h");
  a_.start_ready();
  b_.start_ready();
  ASSERT_TRUE(form_a_cluster({&a_, &b_}));
  configure_static({"nobody", "b"}, "ttl: 1h");
  c_.start_ready();
  EXPECT_EQ(c_.redis({"GET", "founded"}), "1");
  EXPECT_EQ(c_.count_in_log("initiated"), 0u);
  EXPECT_TRUE(form_a_mesh({&a_, &b_, &c_}));
  EXPECT_TRUE(eventually(5s, [&] { return c_.replicas() == both() + " c@127.0.0.1"; }));
}

TEST_F(Join, ASurvivorExpiresWhatADeadNodeWrote) {
  a_.start_ready();
  b_.start_ready();
  ASSERT_TRUE(form_a_cluster({&a_, &b_}));
  const ShortLived written(a_, "of a dead node", 500ms);
  a_.process().kill_hard();
  written.expect_to_be_seen_expiring_on(b_);
  EXPECT_TRUE(eventually(3s, [&] { return !b_.sees(a_) && b_.replicas() == b_.name(); }))
      << b_.replicas();
  EXPECT_TRUE(eventually(2s, [&] { return expired(b_) == "1"; })) << expired(b_);
  const auto metrics = http_get(b_.http_port(), "/metrics").body;
  EXPECT_NE(metrics.find("muster_table_expired_total{table=\"session\"} 1"), std::string::npos)
      << metrics;
}

TEST_F(Join, AJoinerExpiresWhatItLoaded) {
  b_.start_ready();
  const ShortLived written(b_, "loaded", 2500ms);
  a_.start_ready();
  EXPECT_EQ(a_.redis({"GET", "loaded"}), "short");
  b_.process().signal(SIGTERM);
  EXPECT_EQ(b_.process().wait(10s), 0);
  written.expect_to_be_seen_expiring_on(a_);
  EXPECT_TRUE(eventually(2s, [&] { return expired(a_) == "1"; })) << expired(a_);
}

TEST_F(Join, ANodeThatComesBackWithAnEmptyDirectoryHasWhatTheOthersKept) {
  a_.start_ready();
  b_.start_ready();
  ASSERT_TRUE(form_a_cluster({&a_, &b_}));
  EXPECT_EQ(a_.redis({"SET", "kept", "1"}), "+OK");
  const ShortLived gone(a_, "gone meanwhile", 200ms);
  a_.process().kill_hard();
  gone.expect_to_be_seen_expiring_on(b_);
  std::filesystem::remove_all(a_.data);
  a_.start_ready();
  EXPECT_EQ(a_.redis({"GET", "kept"}), "1");
  EXPECT_EQ(a_.redis({"GET", "gone meanwhile"}), "(nil)");
  EXPECT_TRUE(eventually(5s, [&] { return a_.replicas() == both() && b_.replicas() == both(); }));
  EXPECT_EQ(expired(b_), "1") << "nothing expires twice";
}

}  // namespace
}  // namespace muster::testing
