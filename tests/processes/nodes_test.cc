// SPDX-License-Identifier: MIT
// Real nodes meet, part, are refused: the program as a person runs it.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>

#include <fstream>

#include "cluster.h"

namespace muster::testing {
namespace {

using namespace std::chrono_literals;

class Nodes : public Cluster {
 protected:
  TestNode a_{*this, "a"};
  TestNode b_{*this, "b"};
  TestNode c_{*this, "c"};
};

TEST_F(Nodes, FindEachOtherByAStaticList) {
  a_.start();
  b_.start();
  EXPECT_TRUE(form_a_mesh({&a_, &b_}));
}

TEST_F(Nodes, FindEachOtherByGossip) {
  configure("topologies: {local: {strategy: gossip, config: {multicast_if: 127.0.0.1}}}");
  a_.start();
  b_.start();
  EXPECT_TRUE(form_a_mesh({&a_, &b_}));
}

TEST_F(Nodes, FindEachOtherByTheHostsFile) {
  std::ofstream(directory() / "hosts") << "% this machine\n'127.0.0.1'.\n";
  configure("topologies: {file: {strategy: erlang_hosts, config: {timeout: 500ms, file: " +
            (directory() / "hosts").string() + "}}}");
  a_.start();
  b_.start();
  EXPECT_TRUE(form_a_mesh({&a_, &b_}));
}

TEST_F(Nodes, ConnectWhenTold) {
  configure("topologies: {by_hand: {strategy: none}}");
  a_.start_ready();
  b_.start_ready();
  EXPECT_FALSE(a_.sees(b_));
  const auto told = a_.command({"connect", b_.name()});
  EXPECT_EQ(told.status, 0) << told.output;
  EXPECT_TRUE(form_a_mesh({&a_, &b_}));
}

TEST_F(Nodes, LearnOfAllOthersFromOneOfThem) {
  configure("topologies: {by_hand: {strategy: none}}");
  for (auto* node : {&a_, &b_, &c_}) node->start_ready();
  EXPECT_EQ(a_.command({"connect", b_.name()}).status, 0);
  EXPECT_EQ(c_.command({"connect", b_.name()}).status, 0);
  EXPECT_TRUE(form_a_mesh({&a_, &b_, &c_}));
}

TEST_F(Nodes, ReadWhatAnotherWrote) {
  a_.start_ready();
  b_.start_ready();
  ASSERT_TRUE(form_a_cluster({&a_, &b_}));
  EXPECT_EQ(a_.redis({"SET", "token", "ada"}), "+OK");
  EXPECT_EQ(b_.redis({"GET", "token"}), "ada");
  EXPECT_EQ(b_.redis({"DEL", "token"}), ":1");
  EXPECT_EQ(a_.redis({"GET", "token"}), "(nil)");
}

TEST_F(Nodes, EndWithStatusZeroWhenToldToTerminateAndAreNotMissed) {
  a_.start_ready();
  b_.start_ready();
  ASSERT_TRUE(form_a_mesh({&a_, &b_}));
  b_.process().signal(SIGTERM);
  EXPECT_EQ(b_.process().wait(10s), 0);
  EXPECT_TRUE(eventually(3s, [&] { return !a_.sees(b_); }));
}

TEST_F(Nodes, NoticeADeadPeerWithinThreeSeconds) {
  a_.start_ready();
  b_.start_ready();
  ASSERT_TRUE(form_a_mesh({&a_, &b_}));
  b_.process().kill_hard();
  EXPECT_TRUE(eventually(3s, [&] { return !a_.sees(b_); }));
}

TEST_F(Nodes, NoticeASilentPeerWithinThreeSecondsAndWelcomeItBack) {
  a_.start_ready();
  b_.start_ready();
  ASSERT_TRUE(form_a_mesh({&a_, &b_}));
  b_.process().signal(SIGSTOP);
  EXPECT_TRUE(eventually(3s, [&] { return !a_.sees(b_); }));
  b_.process().signal(SIGCONT);
  EXPECT_TRUE(form_a_mesh({&a_, &b_}));
}

TEST_F(Nodes, RaiseNoAlarmOverAPauseShorterThanTheDeadline) {
  a_.start_ready();
  b_.start_ready();
  ASSERT_TRUE(form_a_mesh({&a_, &b_}));
  for (int pause = 0; pause < 3; ++pause) {
    b_.process().signal(SIGSTOP);
    EXPECT_FALSE(eventually(700ms, [&] { return !a_.sees(b_); }));
    b_.process().signal(SIGCONT);
    EXPECT_FALSE(eventually(700ms, [&] { return !a_.sees(b_) || !b_.sees(a_); }));
  }
  EXPECT_EQ(a_.count_in_log("nodedown"), 0u);
  EXPECT_EQ(b_.count_in_log("nodedown"), 0u);
}

TEST_F(Nodes, RefuseAWrongCookieAndSayWhyOnceOnBothSides) {
  b_.cookie_file = (directory() / "another-cookie").string();
  a_.start_ready();
  b_.start();
  EXPECT_TRUE(eventually(10s, [&] { return b_.count_in_log("cookie") > 0; }));
  EXPECT_TRUE(eventually(10s, [&] { return a_.count_in_log("wrong cookie") > 0; }));
  EXPECT_FALSE(eventually(4s, [&] { return a_.sees(b_) || b_.sees(a_); }));
  // Each is dialled by the other and dials it: one line for each, and one of the topology; then
  // silence.
  EXPECT_LE(a_.count_in_log("no link with"), 2u);
  EXPECT_LE(a_.count_in_log("unable to connect to b@127.0.0.1: wrong cookie"), 1u);
}

TEST_F(Nodes, RefuseACookieThatOthersMayRead) {
  std::ofstream(a_.cookie_file) << "0123456789012345678901234567890123456789";
  ASSERT_EQ(chmod(a_.cookie_file.c_str(), 0644), 0);
  a_.start();
  const auto status = a_.process().wait(10s);
  EXPECT_TRUE(status && *status != 0);
  EXPECT_EQ(a_.count_in_log("chmod 600 " + a_.cookie_file), 1u);
}

TEST_F(Nodes, RefuseADirectoryThatAnotherProcessUses) {
  a_.start_ready();
  b_.data = a_.data;
  b_.start();
  const auto status = b_.process().wait(10s);
  EXPECT_TRUE(status && *status != 0);
  EXPECT_GE(b_.count_in_log(a_.data.string()), 1u);
  EXPECT_TRUE(a_.ready());
}

TEST_F(Nodes, NameTheFlagWhenAPortIsInUse) {
  a_.start_ready();
  b_.start({"--port", std::to_string(a_.http_port())});
  const auto status = b_.process().wait(10s);
  EXPECT_TRUE(status && *status != 0);
  EXPECT_GE(b_.count_in_log("--port"), 1u);
}

TEST_F(Nodes, TellShortNamesFromLongOnes) {
  a_.start_ready();
  const auto told = a_.command({"connect", "b@somehost"});
  EXPECT_NE(told.status, 0);
  EXPECT_NE(told.output.find("qualified hostnames"), std::string::npos) << told.output;
}

TEST_F(Nodes, SurviveGarbageOnEveryPort) {
  a_.start_ready();
  b_.start_ready();
  ASSERT_TRUE(form_a_mesh({&a_, &b_}));
  std::string garbage(70'000, '\xfe');
  for (int round = 0; round < 20; ++round) {
    for (const auto port : {a_.http_port(), a_.redis_port()}) {
      boost::asio::ip::tcp::iostream stream;
      stream.expires_after(2s);
      stream.connect("127.0.0.1", std::to_string(port));
      garbage[0] = static_cast<char>(round * 13);
      stream << garbage << std::flush;
    }
  }
  EXPECT_TRUE(a_.ready());
  EXPECT_TRUE(a_.sees(b_));
  EXPECT_EQ(a_.redis({"PING"}), "+PONG");
}

}  // namespace
}  // namespace muster::testing
