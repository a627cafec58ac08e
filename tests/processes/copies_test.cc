// SPDX-License-Identifier: MIT
// Tables that not every node holds: whoever has no copy says so, never a false miss, and works
// through a node that has one.
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "cluster.h"

namespace muster::testing {
namespace {

using namespace std::chrono_literals;

class Copies : public Cluster {
 protected:
  Copies() {
    configure(
        "topologies:\n"
        "  static: {strategy: epmd, config: {hosts: [a@127.0.0.1, b@127.0.0.1, c@127.0.0.1]}}\n"
        "tables:\n"
        "  session: {ttl: 1h, on_split: merge}\n"
        "  jobs: {copies: [c@127.0.0.1]}\n");
  }
  // A command about the table `jobs`.
  static std::string jobs(const TestNode& node, const std::vector<std::string>& words) {
    RedisClient client(node.redis_port());
    const auto selected = client.ask({"SELECT", "1"});
    return selected == "+OK" ? client.ask(words) : selected;
  }
  static bool is_refused_for_want_of_a_holder(const std::string& answer) {
    return answer.starts_with("-LOADING ") && answer.find("not ready") != std::string::npos &&
           answer.find("no ready member is connected") != std::string::npos;
  }

  TestNode a_{*this, "a"};
  TestNode b_{*this, "b"};
  TestNode c_{*this, "c"};
};

TEST_F(Copies, WhoHoldsNoneStartsAndSaysSo) {
  a_.start_ready();
  const auto shown = a_.command({"tables"});
  EXPECT_EQ(shown.status, 0);
  EXPECT_NE(shown.output.find("no copy on this node"), std::string::npos) << shown.output;
  EXPECT_EQ(a_.replicas("jobs"), "");
  EXPECT_NE(shown.output.find("elsewhere"), std::string::npos) << shown.output;
  EXPECT_FALSE(a_.table("jobs").at("held").as_bool());
  EXPECT_TRUE(a_.table("session").at("held").as_bool());
  EXPECT_EQ(a_.redis({"SET", "other table", "1"}), "+OK");
}

TEST_F(Copies, ReadsAndWritesFailClearlyWhileNoHolderIsConnected) {
  a_.start_ready();
  b_.start_ready();
  ASSERT_TRUE(form_a_mesh({&a_, &b_}));
  for (const auto& words : std::vector<std::vector<std::string>>{{"GET", "job"},
                                                                 {"EXISTS", "job"},
                                                                 {"TTL", "job"},
                                                                 {"SET", "job", "1"},
                                                                 {"SETNX", "job", "1"},
                                                                 {"PEXPIRE", "job", "1000"},
                                                                 {"DEL", "job"}}) {
    const auto answer = jobs(a_, words);
    EXPECT_TRUE(is_refused_for_want_of_a_holder(answer)) << words[0] << ": " << answer;
  }
  for (const auto& words :
       std::vector<std::vector<std::string>>{{"MGET", "job", "other"}, {"KEYS", "*"}, {"DBSIZE"}}) {
    const auto answer = jobs(a_, words);
    EXPECT_TRUE(answer.starts_with("-LOADING table 'jobs' is not ready: no copy on this node"))
        << words[0] << ": " << answer;
  }
  EXPECT_EQ(http_get(a_.http_port(), "/v1/tables/jobs/keys/job").status, 503);
  const auto told = a_.command({"get", "job", "--table", "jobs"});
  EXPECT_NE(told.status, 0);
  EXPECT_NE(told.output.find("no ready member is connected"), std::string::npos) << told.output;
}

TEST_F(Copies, WorkThroughAHolderAsSoonAsItIsThere) {
  a_.start_ready();
  b_.start_ready();
  c_.start_ready();
  ASSERT_TRUE(form_a_mesh({&a_, &b_, &c_}));
  EXPECT_TRUE(eventually(5s, [&] {
    return jobs(a_, {"SET", "job", "1"}) == "+OK";
  })) << jobs(a_, {"SET", "job", "1"});
  EXPECT_EQ(jobs(c_, {"GET", "job"}), "1");
  EXPECT_TRUE(eventually(5s, [&] { return jobs(b_, {"GET", "job"}) == "1"; }));
  EXPECT_EQ(a_.replicas("jobs"), c_.name());
  EXPECT_EQ(boost::json::serialize(a_.table("jobs").at("entries")), "0");
  EXPECT_EQ(jobs(b_, {"SETNX", "job", "2"}), ":0");
  EXPECT_EQ(jobs(b_, {"PEXPIRE", "job", "100000"}), ":1");
  EXPECT_NE(jobs(c_, {"PTTL", "job"}), ":-1");
  EXPECT_EQ(jobs(b_, {"DEL", "job"}), ":1");
  EXPECT_EQ(jobs(a_, {"GET", "job"}), "(nil)") << "a miss that a holder told";
  c_.process().kill_hard();
  EXPECT_TRUE(eventually(5s, [&] {
    return is_refused_for_want_of_a_holder(jobs(a_, {"GET", "job"}));
  }));
}

}  // namespace
}  // namespace muster::testing
