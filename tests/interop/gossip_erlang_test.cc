// SPDX-License-Identifier: MIT
//
// Gossip in libcluster's format beside a real Erlang, over multicast on loopback: each hears the
// other, plain and sealed.  libcluster itself is not in Debian; libcluster_gossip.escript does what
// it does with the same functions of Erlang.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <spawn.h>
#include <sys/wait.h>

#include <array>
#include <boost/asio/ip/udp.hpp>

#include "interop/gossip_host.h"

namespace muster::discovery::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

/// The script, its output in a pipe; killed and awaited when it goes away.
class ErlangNode {
 public:
  ErlangNode(std::uint16_t port, const std::string& secret) {
    std::vector<std::string> command{"/usr/bin/env", "ERL_CRASH_DUMP_SECONDS=0", "escript",
                                     MUSTER_SOURCE_DIR "/tests/interop/libcluster_gossip.escript",
                                     std::to_string(port)};
    if (!secret.empty()) command.push_back(secret);
    std::vector<char*> arguments;
    for (auto& word : command) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    std::array<int, 2> pipe{};
    EXPECT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_adddup2(&actions, pipe[1], 1);
    ::posix_spawn_file_actions_adddup2(&actions, pipe[1], 2);
    EXPECT_EQ(::posix_spawn(&id_, arguments[0], &actions, nullptr, arguments.data(), environ), 0);
    ::posix_spawn_file_actions_destroy(&actions);
    ::close(pipe[1]);
    output_ = pipe[0];
  }
  ~ErlangNode() {
    ::kill(id_, SIGKILL);
    ::waitpid(id_, nullptr, 0);
    ::close(output_);
  }
  ErlangNode(const ErlangNode&) = delete;
  ErlangNode& operator=(const ErlangNode&) = delete;

  /// What it prints until `part` has come, or all of it where it ends before.
  [[nodiscard]] std::string read_until(std::string_view part) const {
    std::string text;
    char byte = 0;
    while (text.find(part) == std::string::npos && ::read(output_, &byte, 1) == 1) text += byte;
    return text;
  }

 private:
  ::pid_t id_ = 0;
  int output_ = -1;
};

std::uint16_t free_udp_port() {
  asio::io_context io;
  const asio::ip::udp::endpoint any(asio::ip::address_v4::loopback(), 0);
  return asio::ip::udp::socket(io, any).local_endpoint().port();
}

class GossipBesideErlang : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (std::system("command -v escript >/dev/null") != 0)
      GTEST_SKIP() << "needs escript: apt-get install erlang-base";
  }
  void start(const std::string& secret) {
    host.start("a@127.0.0.1", Settings::map({{"format", "libcluster"},
                                             {"port", port},
                                             {"multicast_if", "127.0.0.1"},
                                             {"secret", secret},
                                             {"interval", "100ms"}}));
  }

  const std::uint16_t port = free_udp_port();
  GossipHost host{GossipHost::Network::shared};
};

INSTANTIATE_TEST_SUITE_P(PlainAndSealed, GossipBesideErlang,
                         ::testing::Values("", "a secret of both"),
                         [](const auto& test) { return test.param.empty() ? "Plain" : "Sealed"; });

TEST_P(GossipBesideErlang, EachHearsTheOtherWhateverTheEncoding) {
  start(GetParam());
  const ErlangNode erlang(port, GetParam());
  const std::string heard = erlang.read_until("\n");
  if (heard == "no crypto\n") GTEST_SKIP() << "needs apt-get install erlang-crypto";
  // It hears itself, too.
  EXPECT_THAT(heard + erlang.read_until("heard a@127.0.0.1\n"), HasSubstr("heard a@127.0.0.1\n"));
  const std::set<std::string> names{"erlang@127.0.0.1",  "many_keys@127.0.0.1",
                                    "tag_100@127.0.0.1", "tag_115@127.0.0.1",
                                    "tag_118@127.0.0.1", "tag_119@127.0.0.1"};
  EXPECT_TRUE(eventually([&] { return host.sees() == names; }));
  EXPECT_EQ(host.sees(), names);
  EXPECT_EQ(host.count("malformed"), 0u);
  EXPECT_EQ(host.count("foreign"), 0u);
}

TEST_P(GossipBesideErlang, UnderAnotherSecretNeitherHearsTheOther) {
  start("a secret of ours");
  const ErlangNode erlang(port, GetParam());
  std::string heard = erlang.read_until("\n");
  if (heard == "no crypto\n") GTEST_SKIP() << "needs apt-get install erlang-crypto";
  EXPECT_TRUE(eventually([&] { return host.count("foreign") > 20; }));
  heard += erlang.read_until("tag_119@127.0.0.1\n");
  EXPECT_THAT(heard, Not(HasSubstr("heard a@127.0.0.1")));
  EXPECT_TRUE(host.sees().empty());
}

}  // namespace
}  // namespace muster::discovery::test
