// SPDX-License-Identifier: MIT
// The program from end to end: two processes that find each other by gossip, the verbs between
// them, a kill and a restart, and what it says when it is used wrongly.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/json.hpp>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "cli/node_client.h"

namespace muster::app {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using namespace std::chrono_literals;

struct Ended {
  int status = -1;
  std::string output;  ///< Both streams.
};

TEST(CommandLineText, AWriteThatIsNotAcknowledgedSaysWhoHasIt) {
  EXPECT_EQ(cli::not_acknowledged({504, R"({"applied": true, "holders": ["a@host", "b@host"]})"}),
            "not acknowledged in time; it is not rolled back; held by a@host b@host");
  EXPECT_EQ(cli::not_acknowledged({504, R"({"error": "b@host has not answered"})"}),
            "b@host has not answered");
  EXPECT_EQ(cli::not_acknowledged({200, R"({"applied": true, "holders": ["a@host"]})"}), "");
}

class CommandLine : public ::testing::Test {
 protected:
  CommandLine() {
    std::string pattern = (fs::temp_directory_path() / "muster-cli-XXXXXX").string();
    directory_ = mkdtemp(pattern.data());
    mapper_port_ = free_tcp_port();
    std::ofstream(directory_ / "muster.yaml")
        << "topologies: {local: {strategy: gossip, config: {multicast_if: 127.0.0.1, interval: "
           "100ms, port: "
        << free_udp_port() << "}}}\ntables: {session: {ttl: 1h, on_split: merge}}\n";
  }
  ~CommandLine() override {
    for (const pid_t child : children_) stop(child, SIGKILL);
    fs::remove_all(directory_);
  }

  pid_t spawn(const std::vector<std::string>& words, const fs::path& output) {
    const pid_t child = fork();
    if (child != 0) return child;
    setenv("HOME", directory_.c_str(), 1);
    setenv("ERL_EPMD_PORT", std::to_string(mapper_port_).c_str(), 1);
    for (const char* name : {"MUSTER_URL", "MUSTER_PORT", "MUSTER_NAME"}) unsetenv(name);
    if (chdir(directory_.c_str()) != 0 || !freopen(output.c_str(), "a", stdout)) _exit(126);
    dup2(STDOUT_FILENO, STDERR_FILENO);
    std::vector<char*> arguments{const_cast<char*>(MUSTER_PROGRAM)};
    for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    execv(MUSTER_PROGRAM, arguments.data());
    _exit(127);
  }
  Ended run(const std::vector<std::string>& words) {
    const fs::path output = directory_ / ("output" + std::to_string(++runs_));
    int status = 0;
    waitpid(spawn(words, output), &status, 0);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128, text_of(output)};
  }
  pid_t start(const std::string& name, std::uint16_t port) {
    const pid_t child =
        spawn({"start", "muster.yaml", "--sname", name, "--port", std::to_string(port),
               "--resp-port", std::to_string(free_tcp_port())},
              directory_ / (name + ".log"));
    children_.push_back(child);
    return child;
  }
  int stop(pid_t child, int signal) {
    std::erase(children_, child);
    kill(child, signal);
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  /// Repeats a verb until its output says so, 15 s at most.
  bool until(const std::vector<std::string>& words, const std::string& expected) {
    const auto deadline = std::chrono::steady_clock::now() + 15s;
    while (std::chrono::steady_clock::now() < deadline)
      if (run(words).output.find(expected) != std::string::npos) return true;
    return false;
  }
  static std::string text_of(const fs::path& file) {
    std::ifstream in(file);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  static std::uint16_t free_tcp_port() {
    asio::io_context loop;
    return asio::ip::tcp::acceptor(loop, {asio::ip::address_v4::loopback(), 0})
        .local_endpoint()
        .port();
  }
  static std::uint16_t free_udp_port() {
    asio::io_context loop;
    return asio::ip::udp::socket(loop, {asio::ip::address_v4::loopback(), 0})
        .local_endpoint()
        .port();
  }

  fs::path directory_;
  std::uint16_t mapper_port_ = 0;
  std::vector<pid_t> children_;
  int runs_ = 0;
};

TEST_F(CommandLine, TwoNodesShareATableThroughAKillAndARestart) {
  const std::string a = std::to_string(free_tcp_port()), b = std::to_string(free_tcp_port());
  start("a", static_cast<std::uint16_t>(std::stoi(a)));
  pid_t second = start("b", static_cast<std::uint16_t>(std::stoi(b)));
  ASSERT_TRUE(until({"status", "--port", a, "--json"}, "\"connected\":1"))
      << text_of(directory_ / "a.log") << text_of(directory_ / "b.log");
  ASSERT_TRUE(until({"status", "--port", b, "--json"}, "\"ready\":true"));

  EXPECT_EQ(run({"put", "greeting", "hello", "--port", a}).status, 0);
  EXPECT_EQ(run({"get", "greeting", "--port", b}).output, "hello\n");
  EXPECT_THAT(run({"names"}).output, AllOf(HasSubstr("a "), HasSubstr("b ")));
  const auto nodes = boost::json::parse(run({"nodes", "--port", b, "--json"}).output);
  EXPECT_EQ(nodes.at("nodes").as_array().size(), 2u);

  EXPECT_EQ(stop(second, SIGKILL), 128 + SIGKILL);
  EXPECT_TRUE(until({"nodes", "--port", a}, "away"));
  EXPECT_EQ(run({"put", "later", "1", "--port", a}).status, 0);
  second = start("b", static_cast<std::uint16_t>(std::stoi(b)));
  ASSERT_TRUE(until({"status", "--port", b, "--json"}, "\"ready\":true"));
  EXPECT_TRUE(until({"get", "later", "--port", b}, "1\n"));

  EXPECT_EQ(run({"delete", "greeting", "--port", b}).output, "deleted\n");
  const Ended gone = run({"get", "greeting", "--port", a});
  EXPECT_EQ(gone.status, 1);
  EXPECT_EQ(gone.output, "muster: there is no such key\n");
  EXPECT_EQ(run({"leave", "--port", b}).status, 0);
  int status = -1;
  waitpid(second, &status, 0);
  std::erase(children_, second);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_TRUE(until({"nodes", "--port", a}, "left"));
}

TEST_F(CommandLine, SaysWhatItIsWhenItStartsAndEndsWithStatusZero) {
  const std::uint16_t port = free_tcp_port();
  const pid_t child = start("solo", port);
  ASSERT_TRUE(until({"status", "--port", std::to_string(port), "--json"}, "\"ready\":true"));
  EXPECT_EQ(stop(child, SIGTERM), 0);
  const std::string log = text_of(directory_ / "solo.log");
  for (const std::string_view words :
       {"node        solo@", "links       127.0.0.1:", "/muster-data/solo@",
        "redis://127.0.0.1:", "topologies  local (gossip)"})
    EXPECT_THAT(log, HasSubstr(words));
  EXPECT_THAT(log, HasSubstr("http://127.0.0.1:" + std::to_string(port) + "/"));
}

TEST_F(CommandLine, TellsWrongUseFromFailure) {
  EXPECT_EQ(run({}).status, 2);
  const Ended unknown = run({"nods"});
  EXPECT_EQ(unknown.status, 2);
  EXPECT_THAT(unknown.output, HasSubstr("unknown command 'nods', did you mean 'nodes'?"));
  EXPECT_EQ(run({"nodes", "--what"}).status, 2);
  const Ended nobody = run({"nodes", "--port", std::to_string(free_tcp_port())});
  EXPECT_EQ(nobody.status, 1);
  EXPECT_THAT(nobody.output, HasSubstr("say which one with --port"));
}

TEST_F(CommandLine, HelpHasExamplesForEveryVerb) {
  const std::vector<std::vector<std::string>> verbs{{"start"},
                                                    {"check"},
                                                    {"discover"},
                                                    {"status"},
                                                    {"nodes"},
                                                    {"tables"},
                                                    {"topologies"},
                                                    {"names"},
                                                    {"connect"},
                                                    {"disconnect"},
                                                    {"get"},
                                                    {"put"},
                                                    {"delete"},
                                                    {"list"},
                                                    {"leave"},
                                                    {"forget"},
                                                    {"unsplit", "status"},
                                                    {"unsplit", "journal"},
                                                    {"unsplit", "replay"},
                                                    {"fault", "cut"},
                                                    {"fault", "heal"}};
  for (const auto& words : verbs) {
    auto asked = words;
    asked.push_back("--help");
    const Ended help = run(asked);
    EXPECT_EQ(help.status, 0);
    EXPECT_THAT(help.output, HasSubstr("Examples:\n  muster " + words[0])) << help.output;
    EXPECT_THAT(help.output, Not(HasSubstr("\033["))) << "colours only on a terminal";
  }
}

TEST_F(CommandLine, ChecksFilesAndPrintsEveryMistake) {
  EXPECT_EQ(run({"check", std::string(MUSTER_SOURCE_DIR) + "/strategies.yaml"}).status, 0);
  std::ofstream(directory_ / "bad.yaml")
      << "topologies:\n  local:\n    strategy: gosip\ntables: {session: {tll: 1}}\n";
  const Ended bad = run({"check", "bad.yaml"});
  EXPECT_EQ(bad.status, 1);
  EXPECT_THAT(bad.output, AllOf(HasSubstr("bad.yaml:3:15: "), HasSubstr("did you mean 'gossip'?"),
                                HasSubstr("bad.yaml:4:20: unknown key 'tll'"),
                                HasSubstr("did you mean 'ttl'?")));
  EXPECT_EQ(run({"start", "bad.yaml"}).status, 1);
}

TEST_F(CommandLine, NamesTheFlagWhenAPortIsInUseAndRefusesASecondProcessInADirectory) {
  const std::uint16_t port = free_tcp_port();
  start("a", port);
  ASSERT_TRUE(until({"status", "--port", std::to_string(port), "--json"}, "\"ready\":true"));
  const Ended taken = run({"start", "muster.yaml", "--sname", "b", "--port", std::to_string(port)});
  EXPECT_EQ(taken.status, 1);
  EXPECT_THAT(taken.output, HasSubstr("choose another one with --port"));
  const Ended second =
      run({"start", "muster.yaml", "--sname", "a", "--port", std::to_string(free_tcp_port())});
  EXPECT_EQ(second.status, 1);
  EXPECT_THAT(second.output, HasSubstr("muster-data/a@"));
}

TEST_F(CommandLine, DiscoverShowsWhatATopologySees) {
  const std::uint16_t port = free_tcp_port();
  start("a", port);
  ASSERT_TRUE(until({"status", "--port", std::to_string(port), "--json"}, "\"ready\":true"));
  const Ended seen = run({"discover", "muster.yaml", "--once", "--sname", "looker"});
  EXPECT_EQ(seen.status, 0);
  EXPECT_THAT(seen.output, HasSubstr("local: a@"));
}

}  // namespace
}  // namespace muster::app
