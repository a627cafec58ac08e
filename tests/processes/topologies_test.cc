// SPDX-License-Identifier: MIT
// Topologies that change while nodes run: by the file and SIGHUP, by the command line, by leaving.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <boost/json.hpp>
#include <fstream>

#include "cluster.h"

namespace muster::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using namespace std::chrono_literals;

class RunningNodes : public Cluster {
 protected:
  void write(const std::string& file, const std::string& text) const {
    std::ofstream(directory() / file) << text;
  }
  [[nodiscard]] std::string path(const std::string& file) const {
    return (directory() / file).string();
  }
  [[nodiscard]] static std::string topologies_of(const TestNode& node) {
    return node.command({"topologies"}).output;
  }

  TestNode a_{*this, "a"};
  TestNode b_{*this, "b"};
};

TEST_F(RunningNodes, ReadTheirFileAgainAtSighup) {
  configure("topologies: {by_hand: {strategy: none}}");
  a_.start_ready();
  b_.start_ready();
  configure("topologies: {fixed: {strategy: epmd, config: {hosts: [a@127.0.0.1, b@127.0.0.1]}}}");
  a_.process().signal(SIGHUP);
  EXPECT_TRUE(form_a_mesh({&a_, &b_}));
  EXPECT_THAT(topologies_of(a_), AllOf(HasSubstr("fixed"), Not(HasSubstr("by_hand"))));

  configure("topologies: {fixed: {strategy: emd}}");
  a_.process().signal(SIGHUP);
  EXPECT_TRUE(eventually(20s, [&] { return a_.count_in_log("everything stays as it is") == 1; }));
  EXPECT_THAT(a_.log(), HasSubstr("did you mean 'epmd'?"));
  EXPECT_THAT(topologies_of(a_), HasSubstr("fixed"));
  EXPECT_TRUE(a_.sees(b_));
}

TEST_F(RunningNodes, AreChangedByTheCommandLine) {
  configure("topologies: {by_hand: {strategy: none}}");
  a_.start_ready();
  b_.start_ready();
  write("peers", "- a@127.0.0.1\n");
  const auto unheard_of = a_.command({"topology", "add", "list"});
  EXPECT_EQ(unheard_of.status, 1);
  EXPECT_THAT(unheard_of.output, HasSubstr("has no topology 'list'"));
  configure("topologies: {list: {strategy: file, enabled: false, config: {path: " + path("peers") +
            ", polling_interval: 100ms}}}");
  EXPECT_EQ(a_.command({"topology", "add", "list"}).output, "topology list runs\n");
  EXPECT_EQ(a_.command({"topology", "pause", "list"}).status, 0);
  write("peers", "- b@127.0.0.1\n");
  EXPECT_THAT(topologies_of(a_), HasSubstr("paused"));
  EXPECT_EQ(a_.command({"topology", "resume", "list"}).status, 0);
  EXPECT_TRUE(form_a_mesh({&a_, &b_}));
  EXPECT_EQ(a_.command({"topology", "refresh", "list"}).status, 0);
  EXPECT_EQ(a_.command({"topology", "remove", "list"}).status, 0);
  EXPECT_THAT(topologies_of(a_), Not(HasSubstr("list")));
  EXPECT_TRUE(a_.sees(b_));  // Links stay.
  const auto unknown = a_.command({"topology", "remove", "by_hnd"});
  EXPECT_EQ(unknown.status, 1);
  EXPECT_THAT(unknown.output, HasSubstr("did you mean 'by_hand'?"));
}

TEST_F(RunningNodes, WaitForPeersBeforeTheyAreUp) {
  configure("topologies: {fixed: {strategy: epmd, config: {hosts: [a@127.0.0.1, b@127.0.0.1]}}}");
  a_.start({"--wait-for", "b@127.0.0.1,c@127.0.0.1", "--wait-deadline", "3s"});
  b_.start({"--wait-for", "1", "--wait-deadline", "60s"});
  EXPECT_EQ(a_.process().wait(30s), 1);  // Nobody is called c.
  EXPECT_THAT(a_.log(), AllOf(HasSubstr("after 3s: 1 of 2 peers are linked; c@127.0.0.1 is not"),
                              Not(HasSubstr("b@127.0.0.1 is not"))));
  EXPECT_TRUE(b_.process().running());
}

TEST_F(RunningNodes, StopWaitingWhenToldToEnd) {
  configure("topologies: {by_hand: {strategy: none}}");
  a_.start({"--wait-for", "1", "--wait-deadline", "1h"});
  ASSERT_TRUE(eventually(20s, [&] { return a_.ready(); }));
  a_.process().signal(SIGTERM);
  EXPECT_EQ(a_.process().wait(20s), 0);
}

TEST_F(RunningNodes, LeaveAPeerAloneThatLeft) {
  configure("topologies: {fixed: {strategy: epmd, config: {hosts: [a@127.0.0.1, b@127.0.0.1]}}}");
  a_.start_ready();
  b_.start_ready();
  ASSERT_TRUE(form_a_mesh({&a_, &b_}));
  const auto complaints = a_.count_in_log("unable to connect to b@");  // Before it was there.
  b_.process().signal(SIGTERM);
  ASSERT_EQ(b_.process().wait(20s), 0);
  ASSERT_TRUE(eventually(20s, [&] { return !a_.sees(b_); }));
  EXPECT_THAT(a_.log(), HasSubstr("b@127.0.0.1 left"));
  EXPECT_THAT(topologies_of(a_), HasSubstr("left"));
  b_.start();
  EXPECT_TRUE(form_a_mesh({&a_, &b_}));  // It came back by itself.
  EXPECT_EQ(a_.count_in_log("unable to connect to b@"), complaints) << a_.log();
  EXPECT_EQ(a_.count_in_log("lost"), 0u) << a_.log();
}

TEST_F(RunningNodes, RememberTheirPeersWhileDiscoveryIsDown) {
  write("peers", "[a@127.0.0.1, b@127.0.0.1]");
  configure("topologies: {list: {strategy: file, config: {path: " + path("peers") + "}}}");
  a_.start_ready();
  b_.start_ready();
  ASSERT_TRUE(form_a_mesh({&a_, &b_}));
  a_.process().kill_hard();
  std::filesystem::remove(directory() / "peers");
  b_.process().signal(SIGHUP);
  a_.start();
  EXPECT_TRUE(form_a_mesh({&a_, &b_}));
  EXPECT_THAT(topologies_of(a_), HasSubstr("unknown"));
}

TEST_F(RunningNodes, AreSeenWithoutBeingMet) {
  configure(
      "topologies:\n"
      "  local: {strategy: gossip, config: {multicast_if: 127.0.0.1}}\n"
      "  list: {strategy: file, config: {path: " +
      path("peers") + "}}\n");
  write("peers", "[x@127.0.0.1]");
  a_.start_ready();
  const auto discover = [&] {
    return run({muster_program(), "discover", configuration().string(), "--once", "--json",
                "--name", "b@127.0.0.1", "--cookie-file", a_.cookie_file},
               environment());
  };
  const auto seen = discover();
  EXPECT_EQ(seen.status, 0) << seen.output;
  EXPECT_THAT(seen.output, AllOf(HasSubstr("\"a@127.0.0.1\""), HasSubstr("\"x@127.0.0.1\"")));
  std::filesystem::remove(directory() / "peers");
  const auto failed = discover();
  EXPECT_EQ(failed.status, 1);
  EXPECT_THAT(failed.output, HasSubstr("No such file or directory"));
}

}  // namespace
}  // namespace muster::testing
