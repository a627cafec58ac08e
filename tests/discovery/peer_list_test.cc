// SPDX-License-Identifier: MIT
//
// `file` and `exec`: lists that people and programs write, and the running of programs.
#include "peer_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>

#include "discovery/strategy_world.h"
#include "discovery/virtual_clock.h"
#include "muster/discovery/strategy_registry.h"
#include "peer_list_machine.h"
#include "program_runner.h"
#include "task_group.h"

namespace muster::discovery {
namespace {

namespace asio = boost::asio;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using namespace std::chrono_literals;

std::vector<std::string> told(const std::string& text) {
  const auto list = parse_peer_list(text, "list");
  if (!list) return {list.error().text()};
  std::vector<std::string> lines;
  for (const Peer& peer : list->peers)
    lines.push_back(peer.name.text() + " " + peer.address + ":" + std::to_string(peer.port));
  for (const std::string& problem : list->problems.lines()) lines.push_back(problem);
  return lines;
}

TEST(PeerList, IsYamlJsonOrPlainNames) {
  EXPECT_THAT(told("- a@web1\n- {name: b@web2, address: 10.0.0.2, port: 4370}\n"),
              ElementsAre("a@web1 :0", "b@web2 10.0.0.2:4370"));
  EXPECT_THAT(told(R"([{"name": "a@web1", "address": "::1"}, "b@web2"])"),
              ElementsAre("a@web1 ::1:0", "b@web2 :0"));
  EXPECT_THAT(told("a@web1 b@web2\nc@web3\n"), ElementsAre("a@web1 :0", "b@web2 :0", "c@web3 :0"));
  EXPECT_THAT(told("a@web1\n"), ElementsAre("a@web1 :0"));
}

TEST(PeerList, OfNothingIsEmpty) {
  EXPECT_THAT(told(""), IsEmpty());
  EXPECT_THAT(told("[]"), IsEmpty());
  EXPECT_THAT(told("# nobody yet\n"), IsEmpty());
}

TEST(PeerList, SkipsWhatMakesNoSenseAndSaysWhere) {
  EXPECT_THAT(
      told("- a@web1\n- nobody\n- {name: b@web2, adress: 10.0.0.2}\n- [c@web3]\n"),
      ElementsAre("a@web1 :0", HasSubstr("list:2:3: "),
                  HasSubstr("list:3:18: unknown key 'adress' in peer, did you mean 'address'?"),
                  HasSubstr("list:4:3: an entry is a name or a map with a name")));
  EXPECT_THAT(told("- {name: b@web2, address: web2}"),
              ElementsAre(HasSubstr("must be an IP address, not 'web2'")));
  EXPECT_THAT(told("{a: b}"), ElementsAre(HasSubstr("must be a list of peers, not a map")));
  EXPECT_THAT(told("[a@web1"), ElementsAre(HasSubstr("list:")));
}

class ListStrategy : public ::testing::Test {
 protected:
  void start() {
    machine_.emplace(
        PeerListMachine::Options{
            .source = "peers.yaml", .question = ReadFile{.path = "peers.yaml"}, .interval = 1s},
        sink_);
    machine_->start(clock_.now());
  }
  void answer(Result<std::string> content) {
    const FileRead read{std::move(content)};
    machine_->answer(clock_.now(), sink_.asked.back().id, read);
  }
  void next() {
    clock_.run(*machine_, 1s, [] {});
  }
  const Pass& pass() { return sink_.passes.back(); }

  test::RecordingSink sink_;
  muster::test::VirtualClock clock_;
  std::optional<PeerListMachine> machine_;
};

TEST_F(ListStrategy, FollowsItsFile) {
  start();
  answer(std::string("[a@web1, b@web2]"));
  EXPECT_THAT(test::names_of(pass()), ElementsAre("a@web1", "b@web2"));
  EXPECT_TRUE(pass().disconnects);
  next();
  answer(std::string("[b@web2]"));
  EXPECT_THAT(test::names_of(pass()), ElementsAre("b@web2"));
  next();
  answer(std::string("[]"));
  EXPECT_EQ(pass().kind, Pass::Kind::known_empty);
  EXPECT_THAT(sink_.asked, SizeIs(3));
}

TEST_F(ListStrategy, DoesNotKnowWhileTheFileIsMissingOrMakesNoSense) {
  start();
  answer(bad_input("cannot read peers.yaml: No such file or directory"));
  EXPECT_EQ(pass().kind, Pass::Kind::unknown);
  next();
  answer(std::string("{not: a list}"));
  EXPECT_EQ(pass().kind, Pass::Kind::unknown);
  next();
  answer(std::string("- nobody"));  // Half written?  Nobody is cut off for it.
  EXPECT_EQ(pass().kind, Pass::Kind::unknown);
  next();
  answer(std::string("- a@web1"));
  EXPECT_THAT(test::names_of(pass()), ElementsAre("a@web1"));
}

TEST_F(ListStrategy, SaysOnceForEachContentWhatItSkips) {
  start();
  for (int i = 0; i < 3; ++i) {
    answer(std::string("[a@web1, nobody, nothing]"));
    next();
  }
  EXPECT_THAT(sink_.notes, ElementsAre(HasSubstr("(and 1 more)")));
  EXPECT_EQ(machine_->counters().at("bad_entries"), 2u);
}

std::string problems_of(const std::string& strategy, Settings config) {
  const StrategyRegistry registry;
  const auto plan = plan_topology("t", strategy, std::move(config), registry);
  return plan ? "" : plan.error().text();
}

TEST(PeerListOptions, AreChecked) {
  EXPECT_THAT(problems_of("file", Settings::map()), HasSubstr("path"));
  EXPECT_THAT(problems_of("exec", Settings::map()), HasSubstr("command"));
  EXPECT_THAT(problems_of("exec", Settings::map({{"command", Settings::list({})}})),
              HasSubstr("must name a program"));
  EXPECT_EQ(problems_of("exec", Settings::map({{"command", "./peers.sh"}})), "");
  EXPECT_THAT(problems_of("file", Settings::map({{"path", "p"}, {"poll_interval", 5}})),
              HasSubstr("did you mean 'polling_interval'?"));
}

Result<std::string> run(std::vector<std::string> command, Duration within = 20s,
                        std::size_t most = 1 << 20) {
  asio::io_context loop(1);
  Result<std::string> output = bad_input("nothing");
  const auto work = [&]() -> asio::awaitable<void> {
    RunProgram question;
    question.command = std::move(command);
    question.within = within;
    question.most_bytes = most;
    output = co_await run_program(std::move(question));
  };
  asio::co_spawn(loop, work(), [](const std::exception_ptr& error) {
    if (error) std::rethrow_exception(error);
  });
  loop.run();
  return output;
}

std::string failure_of(const Result<std::string>& output) {
  return output ? "none" : output.error().text();
}

/// Neither gone nor a zombie that nobody has fetched yet.
bool is_running(pid_t process) {
  std::string state;
  std::ifstream stat("/proc/" + std::to_string(process) + "/stat");
  std::getline(stat, state);
  return !state.empty() && state.find(") Z") == std::string::npos;
}

TEST(Program, GivesWhatItPrints) {
  EXPECT_EQ(run({"/bin/sh", "-c", "echo a@web1; echo b@web2"}).value(), "a@web1\nb@web2\n");
  EXPECT_EQ(run({"true"}).value(), "");
  EXPECT_EQ(run({"cat"}).value(), "");  // No input.
  EXPECT_THAT(run({"seq", "100000"}).value(), SizeIs(588895));
}

TEST(Program, SaysWhyThereIsNoAnswer) {
  EXPECT_THAT(failure_of(run({"./no-such-program"})), HasSubstr("cannot run './no-such-program'"));
  EXPECT_EQ(failure_of(run({"/bin/sh", "-c", "echo one >&2; echo the cloud is down >&2; exit 3"})),
            "'/bin/sh' ended with exit status 3: the cloud is down");
  EXPECT_EQ(failure_of(run({"/bin/sh", "-c", "kill -9 $$"})), "'/bin/sh' was ended by signal 9");
  EXPECT_EQ(failure_of(run({"yes"}, 20s, 1000)), "'yes' printed more than 1000 bytes");
}

TEST(Program, IsKilledAtItsDeadlineWithAllThatItStarted) {
  const auto file =
      std::filesystem::temp_directory_path() / ("muster-program-" + std::to_string(::getpid()));
  const std::string script = "sleep 1000 & echo $! > " + file.string() + "; wait";
  EXPECT_THAT(failure_of(run({"/bin/sh", "-c", script}, 2s)), HasSubstr("did not end within 2s"));
  pid_t sleeper = 0;
  std::ifstream(file) >> sleeper;
  std::filesystem::remove(file);
  ASSERT_GT(sleeper, 0);
  const auto deadline = std::chrono::steady_clock::now() + 20s;
  while (is_running(sleeper) && std::chrono::steady_clock::now() < deadline) ::sched_yield();
  EXPECT_FALSE(is_running(sleeper));
}

TEST(Program, SeesNoneOfOurOpenFiles) {
  const auto listed = run({"/bin/sh", "-c", "ls /proc/self/fd | wc -l"});
  EXPECT_EQ(std::stoi(listed.value()), 4);  // Three, and the directory itself.
}

TEST(Program, EndsWithItsOwner) {
  asio::io_context loop(1);
  TaskGroup tasks(loop.get_executor());
  bool ended = false;
  const auto work = [&]() -> asio::awaitable<void> {
    RunProgram question;
    question.command = {"sleep", "1000"};
    question.within = 1h;
    (void)co_await run_program(std::move(question));
  };
  const auto stop = [&]() -> asio::awaitable<void> {
    asio::steady_timer soon(loop.get_executor(), 50ms);
    co_await soon.async_wait(asio::use_awaitable);
    co_await tasks.stop();
    ended = true;
  };
  tasks.spawn(work());
  asio::co_spawn(loop, stop(), [](const std::exception_ptr&) {});
  loop.run();
  EXPECT_TRUE(ended);
}

}  // namespace
}  // namespace muster::discovery
