// SPDX-License-Identifier: MIT
// The file, flags and environment of a node: what they mean and the exact words when they are
// wrong.
#include "muster/app/config.h"

#include <gmock/gmock.h>

#include <map>

namespace muster::app {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using namespace std::chrono_literals;

struct Read {
  Config config;
  std::vector<std::string> problems;
};

Read read(std::string_view yaml, const Overrides& flags = {},
          const std::map<std::string, std::string>& environment = {}) {
  Problems problems;
  const discovery::StrategyRegistry registry;
  Read result{
      yaml.empty() ? Config{} : read_config(*Settings::parse(yaml, "m.yaml"), registry, problems),
      {}};
  const auto lookup = [&](const char* name) -> const char* {
    const auto found = environment.find(name);
    return found == environment.end() ? nullptr : found->second.c_str();
  };
  apply(overrides_from_environment(lookup), Origin::environment, result.config, problems);
  apply(flags, Origin::flag, result.config, problems);
  finish(result.config, registry, problems);
  result.problems = problems.lines();
  return result;
}

TEST(Config, NeedsNoFile) {
  const auto [config, problems] = read("");
  EXPECT_THAT(problems, IsEmpty());
  EXPECT_EQ(config.name.text(), "muster@" + short_host_name());
  EXPECT_EQ(config.dir, "muster-data/" + config.name.text());
  EXPECT_EQ(config.bind, "127.0.0.1");
  EXPECT_EQ(config.http.text(), "127.0.0.1:4000");
  EXPECT_EQ(config.redis->text(), "127.0.0.1:4001");
  ASSERT_EQ(config.topologies.size(), 1u);
  EXPECT_EQ(config.topologies[0].strategy, "gossip");
  ASSERT_EQ(config.tables.size(), 1u);
  EXPECT_EQ(config.tables[0].name, "session");
}

TEST(Config, ReadsEverySection) {
  const auto [config, problems] = read(R"(
node:       {name: a@127.0.0.1, dir: ./data, cookie_file: /c, bind: 127.0.0.2, link_port: 4370-4380}
topologies:
  local: {strategy: epmd, config: {hosts: [b@127.0.0.1]}}
  off: {strategy: gossip, enabled: false}
connect:    [b@127.0.0.1]
tables:
  jobs: {storage: ram_copies, copies: [a@127.0.0.1]}
  session: {ttl: 30m, max_ttl: 1d, writes: async, durability: sync, on_split: merge, reuse: never}
unsplit:    {flush_tables: [jobs], auto_initialize_cluster: false}
listen:     {http: "127.0.0.1:5000", redis: "[::1]:6000", password_file: /p, show_keys: true}
log:        {level: debug, format: json}
)");
  EXPECT_THAT(problems, IsEmpty());
  EXPECT_EQ(config.name.text(), "a@127.0.0.1");
  EXPECT_EQ(config.dir, "./data");
  EXPECT_EQ(config.bind, "127.0.0.2");
  EXPECT_EQ(config.link_port, (node::PortRange{4370, 4380}));
  ASSERT_EQ(config.topologies.size(), 2u);
  EXPECT_TRUE(config.topologies[0].enabled);
  EXPECT_FALSE(config.topologies[1].enabled);
  EXPECT_EQ(config.connect.size(), 1u);
  ASSERT_EQ(config.tables.size(), 2u);
  EXPECT_EQ(config.tables[0].name, "session") << "database 0, wherever the file lists it";
  EXPECT_EQ(config.tables[0].ttl, 30min);
  EXPECT_EQ(config.tables[0].on_split, cache::OnSplit::merge);
  EXPECT_EQ(config.tables[1].storage, cache::Storage::ram_copies);
  EXPECT_THAT(config.flush_tables.names, ElementsAre("jobs"));
  EXPECT_FALSE(config.auto_initialize_cluster);
  EXPECT_EQ(config.http.text(), "127.0.0.1:5000");
  EXPECT_EQ(config.redis->text(), "[::1]:6000");
  EXPECT_TRUE(config.show_keys);
  EXPECT_EQ(config.log_level, Level::debug);
  EXPECT_EQ(config.log_format, LogFormat::json);
}

TEST(Config, ReportsEveryMistakeWithItsPlaceAndTheNearestName) {
  const auto [config, problems] = read(R"(nodes: {}
node:
  name: a b
  link_port: 99999
tables:
  Session: {}
  jobs: {storage: disc_copy, tll: 5m, copies: [x]}
listen: {http: 127.0.0.1, redis: ":1"}
log: {level: inf}
unsplit: {flush_tables: maybe}
connect: nobody
)");
  EXPECT_THAT(
      problems,
      ElementsAre(
          HasSubstr("m.yaml:3:9: node.name is no node name"),
          HasSubstr("m.yaml:4:14: node.link_port "),
          HasSubstr("m.yaml:11:10: connect holds no node name"),
          "m.yaml:6:12: tables.Session is no table name: lower case letters, digits, '_' and '-', "
          "at most 32",
          "m.yaml:7:19: tables.jobs.storage must be ram_copies, disc_copies or disc_only_copies, "
          "not 'disc_copy', did you mean 'disc_copies'?",
          HasSubstr("tables.jobs.copies holds no node name"),
          "m.yaml:7:30: unknown key 'tll' in tables.jobs, did you mean 'ttl'?",
          "m.yaml:10:25: unsplit.flush_tables must be false, all or a list of tables, not 'maybe'",
          "m.yaml:8:16: listen.http needs a port, like 127.0.0.1:4000",
          "m.yaml:8:34: listen.redis must be ADDRESS:PORT like 127.0.0.1:4000, not ':1'",
          "m.yaml:9:14: log.level must be debug, info, warn or error, not 'inf', did you mean "
          "'info'?",
          "m.yaml:1:1: unknown key 'nodes', did you mean 'node'?"));
}

TEST(Config, PointsAtEachBadNameOfATablesCopies) {
  const auto [config, problems] = read(R"(tables:
  jobs:
    copies: [a@127.0.0.1, invalid_node, "b@", {c: d}]
  work: {copies: nobody}
  rest: {copies: {a@127.0.0.1: 1}}
)");
  const std::string like = "; a node name looks like a@127.0.0.1 or a@myhost";
  EXPECT_THAT(
      problems,
      ElementsAre("m.yaml:3:47: tables.jobs.copies must hold texts only, not a map",
                  "m.yaml:3:27: tables.jobs.copies holds no node name: bad node name "
                  "'invalid_node': it has no '@'" +
                      like,
                  "m.yaml:3:41: tables.jobs.copies holds no node name: bad node name 'b@': the "
                  "host needs 1 to 255 characters" +
                      like,
                  "m.yaml:4:18: tables.work.copies holds no node name: bad node name 'nobody': it "
                  "has no '@'" +
                      like,
                  "m.yaml:5:18: tables.rest.copies must be a list of texts, not a map"));
}

TEST(Config, FlagBeatsEnvironmentBeatsFileBeatsDefault) {
  const std::string_view file = "node: {name: f@127.0.0.1}\nlisten: {http: \"127.0.0.1:1000\"}";
  EXPECT_EQ(read(file).config.http.port, 1000);
  EXPECT_EQ(read(file, {}, {{"MUSTER_PORT", "2000"}}).config.http.port, 2000);
  Overrides flags;
  flags.port = "3000";
  flags.sname = "x";
  const auto both = read(file, flags, {{"MUSTER_PORT", "2000"}, {"MUSTER_NAME", "e@127.0.0.1"}});
  EXPECT_EQ(both.config.http.port, 3000);
  EXPECT_EQ(both.config.name.text(), "x@" + short_host_name());
  EXPECT_EQ(read(file, {}, {{"MUSTER_NAME", "e@127.0.0.1"}}).config.name.text(), "e@127.0.0.1");
}

TEST(Config, OnePortFlagSetsANodeApart) {
  Overrides flags;
  flags.port = "4002";
  EXPECT_EQ(read("", flags).config.redis->port, 4003);
  EXPECT_EQ(read("listen: {redis: \"127.0.0.1:7000\"}", flags).config.redis->port, 4003);
  flags.resp_port = "9000";
  EXPECT_EQ(read("", flags).config.redis->port, 9000);
  flags.port = "0";
  flags.resp_port.reset();
  EXPECT_EQ(read("", flags).config.redis->port, 0);
}

TEST(Config, AnAddressAsHostIsWhereTheNodeListens) {
  Overrides flags;
  flags.name = "a@10.0.0.5";
  EXPECT_EQ(read("", flags).config.bind, "10.0.0.5");
  flags.bind = "10.0.0.6";
  EXPECT_EQ(read("", flags).config.bind, "10.0.0.6");
}

TEST(Config, PicksOneTopologyByName) {
  const std::string_view file =
      "topologies: {one: {strategy: gossip}, two: {strategy: epmd, enabled: false}}";
  Overrides flags;
  flags.topology = "two";
  const auto [config, problems] = read(file, flags);
  EXPECT_THAT(problems, IsEmpty());
  EXPECT_FALSE(config.topologies[0].enabled);
  EXPECT_TRUE(config.topologies[1].enabled);
  flags.topology = "tow";
  EXPECT_THAT(read(file, flags).problems,
              ElementsAre("--topology names no topology of m.yaml: 'tow', did you mean 'two'?"));
}

TEST(Config, NamesTheFlagOrVariableThatIsWrong) {
  Overrides flags;
  flags.name = "a";
  flags.port = "x";
  flags.log_level = "loud";
  EXPECT_THAT(read("", flags, {{"MUSTER_RESP_PORT", "70000"}}).problems,
              ElementsAre("MUSTER_RESP_PORT must be a port from 0 to 65535, not '70000'",
                          "--name needs name@host; for a short name use --sname a",
                          "--port must be a port from 0 to 65535, not 'x'",
                          "--log-level must be debug, info, warn or error, not 'loud'"));
}

TEST(Config, SwitchesPortsAndHealingOff) {
  const auto [config, problems] = read("unsplit: false\nlisten: {http: false, redis: false}");
  EXPECT_THAT(problems, IsEmpty());
  EXPECT_FALSE(config.unsplit);
  EXPECT_FALSE(config.serve_http);
  EXPECT_FALSE(config.serve_redis);
}

}  // namespace
}  // namespace muster::app
