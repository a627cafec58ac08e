// SPDX-License-Identifier: MIT
//
// Erlang's own epmd and erl see our nodes, and ours see theirs.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "muster/discovery/port_mapper_client.h"
#include "node/temp_dir.h"
#include "node/test_nodes.h"

namespace muster::node {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
namespace asio = boost::asio;

/// The path of a program on PATH or where Debian keeps it; empty when it is not installed.
std::string find_program(const std::string& name) {
  std::string path = std::getenv("PATH") == nullptr ? "" : std::getenv("PATH");
  path += ":/usr/bin:/usr/local/bin";
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find(':', begin), path.size());
    const auto candidate = std::filesystem::path(path.substr(begin, end - begin)) / name;
    if (::access(candidate.c_str(), X_OK) == 0) return candidate.string();
    begin = end + 1;
  }
  return "";
}

/// A child process with its output in a pipe; killed and awaited when it goes away.
class Child {
 public:
  Child(std::vector<std::string> command, const std::vector<std::string>& environment) {
    std::array<int, 2> pipe{};
    EXPECT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_adddup2(&actions, pipe[1], 1);
    ::posix_spawn_file_actions_adddup2(&actions, pipe[1], 2);
    std::vector<char*> arguments;
    for (auto& word : command) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    std::vector<std::string> variables = environment;
    for (char** entry = environ; *entry != nullptr; ++entry) {
      if (!std::string_view(*entry).starts_with("ERL_EPMD_PORT=") &&
          !std::string_view(*entry).starts_with("HOME=")) {
        variables.emplace_back(*entry);
      }
    }
    std::vector<char*> pointers;
    for (auto& variable : variables) pointers.push_back(variable.data());
    pointers.push_back(nullptr);
    EXPECT_EQ(::posix_spawn(&id_, command[0].c_str(), &actions, nullptr, arguments.data(),
                            pointers.data()),
              0);
    ::posix_spawn_file_actions_destroy(&actions);
    ::close(pipe[1]);
    output_ = pipe[0];
  }
  ~Child() {
    if (id_ > 0) {
      ::kill(id_, SIGKILL);
      ::waitpid(id_, nullptr, 0);
    }
    ::close(output_);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  /// All that it prints until it ends.
  [[nodiscard]] std::string finish() {
    std::string text;
    std::array<char, 4096> piece{};
    for (ssize_t count = 1; count > 0;) {
      count = ::read(output_, piece.data(), piece.size());
      if (count > 0) text.append(piece.data(), static_cast<std::size_t>(count));
    }
    ::waitpid(id_, nullptr, 0);
    id_ = 0;
    return text;
  }
  /// What it prints until `part` has come, or all of it.
  [[nodiscard]] std::string read_until(std::string_view part) {
    std::string text;
    char byte = 0;
    while (text.find(part) == std::string::npos && ::read(output_, &byte, 1) == 1) text += byte;
    return text;
  }

 private:
  ::pid_t id_ = 0;
  int output_ = -1;
};

class Erlang : public ::testing::Test {
 protected:
  void SetUp() override {
    epmd_ = find_program("epmd");
    erl_ = find_program("erl");
    if (epmd_.empty() || erl_.empty()) GTEST_SKIP() << "Erlang (epmd, erl) is not installed";
    asio::io_context io;
    asio::ip::tcp::acceptor free(io, asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), 0));
    port_ = free.local_endpoint().port();
    environment_ = {"ERL_EPMD_PORT=" + std::to_string(port_), "HOME=" + home_.path().string(),
                    "ERL_CRASH_DUMP_SECONDS=0"};
  }
  [[nodiscard]] NodeSettings mapped(std::string_view name) const {
    auto settings = settings_of(name);
    settings.use_port_mapper = true;
    settings.mapper_port = port_;
    return settings;
  }
  [[nodiscard]] std::string epmd_names() const {
    return Child({epmd_, "-names"}, environment_).finish();
  }
  /// What an Erlang program prints.
  [[nodiscard]] std::string erl(const std::string& program, std::vector<std::string> flags = {}) {
    std::vector<std::string> command = {erl_, "-noshell", "-start_epmd", "false"};
    command.insert(command.end(), flags.begin(), flags.end());
    command.insert(command.end(), {"-eval", program + ", halt()."});
    return Child(command, environment_).finish();
  }
  /// Erlang's own port mapper, running until the test ends.
  [[nodiscard]] std::unique_ptr<Child> run_epmd() {
    auto child = std::make_unique<Child>(
        std::vector<std::string>{epmd_, "-port", std::to_string(port_), "-address", "127.0.0.1"},
        environment_);
    while (epmd_names().find("up and running") == std::string::npos) std::this_thread::yield();
    return child;
  }

  std::string epmd_, erl_;
  TempDir home_;
  std::uint16_t port_ = 0;
  std::vector<std::string> environment_;
};

TEST_F(Erlang, EpmdAndErlListANodeThatServesThePortMapperItself) {
  Loop loop;
  TestNode a(loop, mapped("a@127.0.0.1"));
  ASSERT_TRUE(a.start());
  const std::string line = "name a at port " + std::to_string(a.port());
  EXPECT_THAT(epmd_names(), HasSubstr(line));
  EXPECT_THAT(epmd_names(), HasSubstr("up and running on port " + std::to_string(port_)));
  EXPECT_THAT(erl("io:format(\"~p\", [net_adm:names({127,0,0,1})])"),
              HasSubstr("{\"a\"," + std::to_string(a.port()) + "}"));
}

TEST_F(Erlang, ANodeRegistersAtARunningEpmd) {
  const auto epmd = run_epmd();
  Loop loop;
  TestNode a(loop, mapped("a@127.0.0.1"));
  TestNode b(loop, mapped("b@127.0.0.1"));
  ASSERT_TRUE(a.start());
  ASSERT_TRUE(b.start());
  EXPECT_EQ(a.book.count("registered with the port mapper"), 1u);
  const auto names = epmd_names();
  EXPECT_THAT(names, HasSubstr("name a at port " + std::to_string(a.port())));
  EXPECT_THAT(names, HasSubstr("name b at port " + std::to_string(b.port())));
  EXPECT_THAT(erl("io:format(\"~p\", [net_adm:names({127,0,0,1})])"),
              HasSubstr("{\"b\"," + std::to_string(b.port()) + "}"));
  Peer by_name;
  by_name.name = name_of("b@127.0.0.1");
  const auto outcome = loop.run(a.node().connect(by_name));
  EXPECT_TRUE(outcome.connected) << outcome.reason;
  b.stop();
  while (epmd_names().find("name b ") != std::string::npos) std::this_thread::yield();
}

TEST_F(Erlang, ANodeTakesThePortMapperOverWhenEpmdIsKilled) {
  auto epmd = run_epmd();
  Loop loop;
  TestNode a(loop, mapped("a@127.0.0.1"));
  TestNode b(loop, mapped("b@127.0.0.1"));
  ASSERT_TRUE(a.start());
  ASSERT_TRUE(b.start());
  epmd.reset();
  std::string names;
  while (names.find("name a ") == std::string::npos || names.find("name b ") == std::string::npos) {
    names = epmd_names();
  }
  EXPECT_EQ(a.book.count("serving it") + b.book.count("serving it"), 1u);
}

TEST_F(Erlang, AnErlangNodeRegistersWithOursAndIsNeverDialled) {
  Loop loop;
  TestNode a(loop, mapped("a@127.0.0.1"));
  ASSERT_TRUE(a.start());
  Child erlang({erl_, "-noshell", "-start_epmd", "false", "-name", "e@127.0.0.1", "-setcookie",
                "test", "-eval", "io:format(\"alive ~p~n\", [node()])"},
               environment_);
  ASSERT_THAT(erlang.read_until("\n"), HasSubstr("alive 'e@127.0.0.1'"));
  EXPECT_THAT(epmd_names(), HasSubstr("name e at port"));
  Peer peer;
  peer.name = name_of("e@127.0.0.1");
  const auto outcome = loop.run(a.node().connect(peer));
  EXPECT_FALSE(outcome.connected);
  EXPECT_THAT(outcome.reason, HasSubstr("is not a muster node"));
}

TEST_F(Erlang, AnErlangNodeThatDialsOursGetsACleanEnd) {
  Loop loop;
  TestNode a(loop, mapped("a@127.0.0.1"));
  ASSERT_TRUE(a.start());
  const auto answer =
      erl("io:format(\"~p ~p\", [net_kernel:connect_node('a@127.0.0.1'), "
          "net_kernel:connect_node('a@127.0.0.1')])",
          {"-name", "e@127.0.0.1", "-setcookie", "test"});
  EXPECT_THAT(answer, HasSubstr("false false"));
  EXPECT_EQ(a.book.count("not a muster node"), 1u) << a.book.all();
}

}  // namespace
}  // namespace muster::node
