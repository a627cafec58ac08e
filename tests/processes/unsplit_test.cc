// SPDX-License-Identifier: MIT
// The conformance scenarios of Pow's Unsplit and uwiger/unsplit, and what broke those, with real
// nodes that are cut apart.
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include "cluster.h"

namespace muster::testing {
namespace {

using namespace std::chrono_literals;
namespace json = boost::json;

class Unsplit : public Cluster {
 protected:
  using Nodes = std::vector<TestNode*>;

  void start(const Nodes& nodes) {
    for (TestNode* node : nodes) node->start_ready({"--allow-fault-injection"});
  }
  void start_one_cluster(const Nodes& nodes) {
    start(nodes);
    ASSERT_TRUE(form_a_cluster({nodes.begin(), nodes.end()}));
  }
  void restart(const Nodes& nodes) {
    for (TestNode* node : nodes) node->process().kill_hard();
    start(nodes);
    ASSERT_TRUE(form_a_mesh({nodes.begin(), nodes.end()}));
  }
  void cut_link(const TestNode& one, const TestNode& other) {
    for (const auto& [at, from] : {std::pair(&one, &other), std::pair(&other, &one)}) {
      const auto told = at->command({"fault", "cut", at->name(), from->name()});
      ASSERT_EQ(told.status, 0) << told.output;
    }
  }
  void cut(const TestNode& one, const TestNode& other) {
    cut_link(one, other);
    ASSERT_TRUE(eventually(10s, [&] { return !one.sees(other) && !other.sees(one); }));
  }
  void heal(const Nodes& nodes) {
    for (TestNode* node : nodes) EXPECT_EQ(node->command({"fault", "heal"}).status, 0);
    ASSERT_TRUE(form_a_mesh({nodes.begin(), nodes.end()}));
  }
  static void put(const TestNode& node, const std::string& key, const std::string& value) {
    EXPECT_TRUE(eventually(10s,
                           [&] {
                             return node.redis({"SET", key, value}) == "+OK";
                           }))
        << node.name() << " " << node.redis({"SET", key, value});
  }
  static void put_in(const TestNode& node, const std::string& table, const std::string& key,
                     const std::string& value) {
    const auto told = node.command({"put", "--table", table, key, value});
    EXPECT_EQ(told.status, 0) << told.output;
  }
  static std::string get_from(const TestNode& node, const std::string& table,
                              const std::string& key) {
    std::string output = node.command({"get", "--table", table, key}).output;
    while (output.ends_with('\n')) output.pop_back();
    return output;
  }
  static std::string digest(const TestNode& node, const std::string& table) {
    const auto said = node.table(table);
    const auto* text = said.if_contains("digest");
    return text ? std::string(text->as_string()) : std::string();
  }
  static std::vector<std::string> apart_from(const TestNode& node, const std::string& table) {
    std::vector<std::string> names;
    const auto said = node.table(table);
    if (const auto* list = said.if_contains("apart"))
      for (const auto& name : list->as_array()) names.emplace_back(name.as_string());
    return names;
  }
  static json::object unsplit_status(const TestNode& node) {
    boost::system::error_code error;
    const auto answer = json::parse(http_get(node.http_port(), "/v1/unsplit").body, error);
    return error ? json::object() : answer.as_object();
  }
  /// Not apart, and the same content on all.
  static void expect_equal(const Nodes& nodes, const std::string& table = "session") {
    const auto equal = [&] {
      return std::ranges::all_of(nodes, [&](const TestNode* node) {
        const std::string mine = digest(*node, table);
        return node->ready() && !mine.empty() && mine == digest(*nodes.front(), table) &&
               apart_from(*node, table).empty();
      });
    };
    EXPECT_TRUE(eventually(20s, equal)) << table;
  }
  static void expect_on_all(const Nodes& nodes, const std::string& key, const std::string& value) {
    for (const TestNode* node : nodes)
      EXPECT_TRUE(eventually(20s,
                             [&] {
                               return node->redis({"GET", key}) == value;
                             }))
          << key << " is " << node->redis({"GET", key}) << " on " << node->name();
  }
  static bool eventually_logs(const TestNode& node, const std::string& words,
                              std::size_t times = 1) {
    return eventually(15s, [&] { return node.count_in_log(words) >= times; });
  }
  /// With the tables of D3 and what `unsplit` says.
  void configure_d3(const std::string& unsplit) {
    configure(
        "topologies:\n  static: {strategy: epmd, config: {hosts: [a@127.0.0.1, b@127.0.0.1]}}\n"
        "tables:\n"
        "  session: {ttl: 1h, on_split: oldest}\n"
        "  shared: {ttl: 1h}\n"
        "  node_a_table: {ttl: 1h, copies: [a@127.0.0.1]}\n"
        "  node_b_table: {ttl: 1h, copies: [b@127.0.0.1]}\n" +
        unsplit);
  }
  /// The older one's name first.
  [[nodiscard]] std::pair<TestNode*, TestNode*> by_age(TestNode& one, TestNode& other) const {
    return one.oldest() == one.name() ? std::pair(&one, &other) : std::pair(&other, &one);
  }
  void write_apart_to_shared(const std::string& suffix) {
    cut(a_, b_);
    put_in(a_, "shared", "key" + suffix, "a");
    put_in(b_, "shared", "key" + suffix, "b");
    heal({&a_, &b_});
  }
  void expect_shared_refused(const TestNode& node, const TestNode& other) {
    EXPECT_TRUE(eventually_logs(
        node, "Can't force reload unexpected tables [shared] to heal " + other.name()));
    EXPECT_EQ(apart_from(node, "shared"), std::vector<std::string>{other.name()});
    EXPECT_NE(
        http_get(node.http_port(), "/metrics").body.find("muster_table_apart{table=\"shared\"} 1"),
        std::string::npos);
  }

  TestNode a_{*this, "a"}, b_{*this, "b"}, c_{*this, "c"};
};

// D2, in our form: the younger root follows, whatever the sizes, and nothing is wiped.
TEST_F(Unsplit, SeparatelyGrownClustersJoinAndTheYoungerRootFollows) {
  configure("tables:\n  session: {ttl: 1h, on_split: oldest}\n");
  start({&a_, &b_, &c_});
  put(a_, "from a", "1");
  put(b_, "from b", "2");
  put(c_, "from c", "3");
  EXPECT_EQ(c_.command({"connect", b_.name()}).status, 0);
  expect_equal({&b_, &c_});
  expect_on_all({&b_, &c_}, "from b", "2");
  expect_on_all({&b_, &c_}, "from c", "(nil)");
  EXPECT_NE(c_.command({"unsplit", "journal", "--show-keys"}).output.find("from c"),
            std::string::npos);
  // The oldest is alone, the others are two: they come over to it all the same.
  EXPECT_EQ(b_.command({"connect", a_.name()}).status, 0);
  expect_equal({&a_, &b_, &c_});
  expect_on_all({&a_, &b_, &c_}, "from a", "1");
  expect_on_all({&a_, &b_, &c_}, "from b", "(nil)");
  EXPECT_NE(b_.command({"unsplit", "journal", "--show-keys"}).output.find("from b"),
            std::string::npos);
  EXPECT_GE(b_.count_in_log("inconsistent_database(never_met"), 1u);
}

// D3.
TEST_F(Unsplit, AfterANetsplitTheOldestsSideStaysAndTablesOfOneSideAreNotTouched) {
  configure_d3("");
  start_one_cluster({&a_, &b_});
  put(a_, "key_1", "value");
  expect_on_all({&a_, &b_}, "key_1", "value");
  put_in(a_, "node_a_table", "private", "a");
  put_in(b_, "node_b_table", "private", "b");
  const auto [older, younger] = by_age(a_, b_);
  cut(a_, b_);
  put(*older, "key_1", "older");
  put(*older, "key_1_older", "older");
  put(*younger, "key_1", "younger");
  put(*younger, "key_1_younger", "younger");
  EXPECT_EQ(older->redis({"GET", "key_1"}), "older");
  EXPECT_EQ(younger->redis({"GET", "key_1"}), "younger");
  heal({&a_, &b_});
  expect_equal({&a_, &b_});
  expect_on_all({&a_, &b_}, "key_1", "older");
  expect_on_all({&a_, &b_}, "key_1_older", "older");
  expect_on_all({&a_, &b_}, "key_1_younger", "(nil)");
  EXPECT_EQ(get_from(a_, "node_a_table", "private"), "a");
  EXPECT_EQ(get_from(b_, "node_b_table", "private"), "b");
  EXPECT_EQ(older->count_in_log("inconsistent_database(running_partitioned_network, " +
                                younger->name() + ", [session])"),
            1u);
  EXPECT_TRUE(eventually_logs(*older, "the line of " + older->name() + " wins by oldest"));
  EXPECT_TRUE(eventually_logs(*younger, "the line of " + older->name() + " wins by oldest"));
  const std::string metrics = http_get(younger->http_port(), "/metrics").body;
  EXPECT_NE(metrics.find("muster_unsplit_heals_total{table=\"session\"} 1"), std::string::npos);
  EXPECT_NE(metrics.find("muster_unsplit_discarded_total{table=\"session\"} 2"), std::string::npos);
  EXPECT_NE(metrics.find("winner=\"" + older->name() + "\""), std::string::npos) << metrics;
}

// D3b to D3e.
TEST_F(Unsplit, ASharedForeignTableStaysApartUntilFlushTablesNamesIt) {
  configure_d3("");
  start_one_cluster({&a_, &b_});
  put_in(a_, "shared", "before", "0");
  write_apart_to_shared("1");
  expect_shared_refused(a_, b_);
  expect_shared_refused(b_, a_);
  EXPECT_EQ(get_from(a_, "shared", "key1"), "a");
  EXPECT_EQ(get_from(b_, "shared", "key1"), "b");

  configure_d3("unsplit: {flush_tables: [unrelated]}\n");
  restart({&a_, &b_});
  expect_shared_refused(a_, b_);

  configure_d3("unsplit: {flush_tables: [shared]}\n");
  restart({&a_, &b_});
  expect_equal({&a_, &b_}, "shared");
  EXPECT_EQ(get_from(a_, "shared", "key1"), get_from(b_, "shared", "key1"));

  configure_d3("");
  restart({&a_, &b_});
  write_apart_to_shared("2");
  expect_shared_refused(a_, b_);

  configure_d3("unsplit: {flush_tables: all}\n");
  restart({&a_, &b_});
  expect_equal({&a_, &b_}, "shared");
  EXPECT_EQ(get_from(a_, "shared", "key2"), get_from(b_, "shared", "key2"));
}

// U1, with contents compared as well.
TEST_F(Unsplit, WhatOneSideWroteWhileTheOtherWasAwayIsOnBoth) {
  configure_static({"a", "b"}, "storage: ram_copies, on_split: custom");
  start_one_cluster({&a_, &b_});
  put(a_, "1", "one");
  put(a_, "2", "two");
  cut(a_, b_);
  put(a_, "3", "three");
  put(a_, "4", "four");
  heal({&a_, &b_});
  expect_equal({&a_, &b_});
  for (const TestNode* node : {&a_, &b_}) {
    EXPECT_EQ(node->redis({"DBSIZE"}), ":5");
    EXPECT_EQ(node->redis({"GET", "4"}), "four");
    EXPECT_EQ(node->count_in_log("inconsistent_database"), 0u);
  }
}

TEST_F(Unsplit, WithoutTheServiceEverySurfaceSaysOnceThatTheTableIsApart) {
  configure_d3("unsplit: false\n");
  start_one_cluster({&a_, &b_});
  for (int round = 0; round < 2; ++round) {
    cut(a_, b_);
    put(a_, "key", "a" + std::to_string(round));
    put(b_, "key", "b" + std::to_string(round));
    heal({&a_, &b_});
    EXPECT_TRUE(eventually(15s, [&] { return !apart_from(a_, "session").empty(); }));
  }
  EXPECT_EQ(a_.count_in_log("table session is apart from " + b_.name()), 1u);
  EXPECT_EQ(a_.count_in_log("inconsistent_database"), 1u);
  const auto told = a_.command({"unsplit", "status"});
  EXPECT_NE(told.output.find("unsplit     off"), std::string::npos) << told.output;
  EXPECT_NE(told.output.find("apart       table session from " + b_.name()), std::string::npos);
  EXPECT_NE(a_.command({"status"}).output.find(b_.name()), std::string::npos);
  const std::string metrics = http_get(a_.http_port(), "/metrics").body;
  EXPECT_NE(metrics.find("muster_unsplit_running 0"), std::string::npos);
  EXPECT_NE(metrics.find("muster_table_apart{table=\"session\"} 1"), std::string::npos);
  EXPECT_EQ(a_.redis({"GET", "key"}), "a1");
  EXPECT_EQ(b_.redis({"GET", "key"}), "b1");
}

// What left Mnesia's replicas different for good: one flapping link of three.
TEST_F(Unsplit, AFlappingLinkBetweenTwoThatShareANeighbourIsNoSplit) {
  configure_static({"a", "b", "c"}, "ttl: 1h, on_split: oldest");
  start_one_cluster({&a_, &b_, &c_});
  for (int flap = 0; flap < 3; ++flap) {
    const std::string suffix = std::to_string(flap);
    cut(b_, c_);
    put(a_, "w0 " + suffix, "a");
    put(b_, "w1 " + suffix, "b");
    put(c_, "w2 " + suffix, "c");
    expect_on_all({&a_, &b_, &c_}, "w2 " + suffix, "c");
    heal({&a_, &b_, &c_});
  }
  expect_equal({&a_, &b_, &c_});
  for (TestNode* node : {&a_, &b_, &c_}) {
    EXPECT_EQ(node->redis({"DBSIZE"}), ":10");
    EXPECT_EQ(node->count_in_log("inconsistent_database"), 0u);
  }
}

TEST_F(Unsplit, AThreeWaySplitHealsAndSoDoesTheNextOne) {
  configure_static({"a", "b", "c"}, "ttl: 1h, on_split: oldest");
  start_one_cluster({&a_, &b_, &c_});
  const Nodes all{&a_, &b_, &c_};
  for (int round = 0; round < 2; ++round) {
    const std::string key = "key" + std::to_string(round);
    cut(a_, b_);
    cut(a_, c_);
    cut(b_, c_);
    for (TestNode* node : all) put(*node, key, node->name());
    heal(all);
    expect_equal(all);
    const std::string winner = a_.redis({"GET", key});
    expect_on_all(all, key, winner);
    EXPECT_EQ(winner, a_.oldest());
  }
}

TEST_F(Unsplit, AHealedNodeBootsAloneAndNothingMustBeReset) {
  configure_static({"a", "b"}, "ttl: 1h, on_split: oldest");
  start_one_cluster({&a_, &b_});
  const auto [older, younger] = by_age(a_, b_);
  cut(a_, b_);
  put(*older, "key", "older");
  put(*younger, "key", "younger");
  heal({&a_, &b_});
  expect_equal({&a_, &b_});
  // Its disk is at most 100 ms behind.
  EXPECT_TRUE(eventually_logs(*younger, "wins by oldest"));
  older->process().signal(SIGTERM);
  ASSERT_TRUE(eventually(20s, [&] { return !older->process().running(); }));
  younger->process().signal(SIGTERM);
  ASSERT_TRUE(eventually(20s, [&] { return !younger->process().running(); }));
  younger->start_ready();
  EXPECT_EQ(younger->redis({"GET", "key"}), "older");
  put(*younger, "alone", "1");
}

TEST_F(Unsplit, UnderMajorityTheSmallerIslandIsReadOnly) {
  configure_static({"a", "b", "c"}, "ttl: 1h, on_split: majority");
  start_one_cluster({&a_, &b_, &c_});
  put(a_, "before", "0");
  expect_on_all({&a_, &b_, &c_}, "before", "0");
  cut_link(a_, c_);
  cut(b_, c_);
  ASSERT_TRUE(eventually(10s, [&] { return !a_.sees(c_) && !c_.sees(a_); }));
  put(a_, "key", "1");
  EXPECT_NE(c_.redis({"SET", "key", "2"}).find("no majority"), std::string::npos);
  EXPECT_EQ(c_.redis({"GET", "before"}), "0");
  EXPECT_NE(c_.command({"tables"}).output.find("read-only"), std::string::npos);
  EXPECT_NE(http_get(c_.http_port(), "/metrics")
                .body.find("muster_table_writable{table="
                           "\"session\"} 0"),
            std::string::npos);
  heal({&a_, &b_, &c_});
  expect_on_all({&a_, &b_, &c_}, "key", "1");
  put(c_, "key", "3");
  EXPECT_EQ(a_.count_in_log("inconsistent_database"), 0u);
}

TEST_F(Unsplit, TheJournalHidesKeysSaysWhoWroteWhatWhenAndWhyAndGivesValuesBack) {
  configure_static({"a", "b"}, "ttl: 1h, on_split: oldest");
  start_one_cluster({&a_, &b_});
  const auto [older, younger] = by_age(a_, b_);
  cut(a_, b_);
  put(*older, "elsewhere", "1");
  put(*younger, "alice", "signed in");
  put(*younger, "bob", "signed in");
  heal({&a_, &b_});
  expect_equal({&a_, &b_});
  const auto listed = younger->command({"unsplit", "journal"});
  EXPECT_EQ(listed.output.find("alice"), std::string::npos) << listed.output;
  EXPECT_NE(listed.output.find(younger->name()), std::string::npos) << listed.output;
  EXPECT_NE(listed.output.find("the line of " + younger->name() + " lost to that of " +
                               older->name() + " (oldest)"),
            std::string::npos)
      << listed.output;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(younger->data)) {
    if (!entry.is_regular_file()) continue;
    EXPECT_EQ(entry.status().permissions() & std::filesystem::perms(077),
              std::filesystem::perms::none)
        << entry.path();
  }
  const auto shown = younger->command({"unsplit", "journal", "--show-keys", "--json"});
  std::string record;
  const auto parsed = json::parse(shown.output);
  for (const auto& each : parsed.at("records").as_array())
    if (each.at("key").as_array().at(0) == "alice") record = each.at("record").as_string();
  ASSERT_NE(record, "") << shown.output;
  const auto replayed = younger->command({"unsplit", "replay", record});
  EXPECT_EQ(replayed.status, 0) << replayed.output;
  expect_on_all({&a_, &b_}, "alice", "signed in");
  EXPECT_NE(younger->command({"unsplit", "replay", record}).status, 0);

  // A logout takes what the journal still holds of the key.
  EXPECT_EQ(older->redis({"DEL", "bob"}), ":0");
  EXPECT_TRUE(eventually(10s, [&] {
    return json::parse(younger->command({"unsplit", "journal", "--json"}).output)
        .at("records")
        .as_array()
        .empty();
  }));
}

}  // namespace
}  // namespace muster::testing
