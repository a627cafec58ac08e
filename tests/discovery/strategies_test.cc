// SPDX-License-Identifier: MIT
// The static list, the hosts file and the poller, under a clock made by hand.
#include <gmock/gmock.h>

#include <random>

#include "discovery/strategy_world.h"
#include "discovery/virtual_clock.h"
#include "erlang_hosts_machine.h"
#include "hosts_file.h"
#include "poller_machine.h"
#include "static_list_machine.h"

namespace muster::discovery {
namespace {

using namespace std::chrono_literals;
using muster::test::VirtualClock;
using test::context_of, test::names_of, test::RecordingSink;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

PeerSet peers_of(const std::vector<std::string>& names) {
  PeerSet peers;
  for (const auto& name : names) peers.insert(Peer{NodeName::parse(name).value()});
  return peers;
}

TEST(StaticList, C13ListsEachHostAtTheStart) {
  VirtualClock clock;
  RecordingSink sink;
  StaticListMachine machine(peers_of({"b@h", "c@h"}), forever, sink);
  machine.start(clock.now());
  ASSERT_EQ(sink.passes.size(), 1u);
  EXPECT_THAT(names_of(sink.passes[0]), ElementsAre("b@h", "c@h"));
  EXPECT_EQ(machine.next_wake(), never);
}

TEST(StaticList, C14ListsAgainAfterEachTimeoutAndNotBefore) {
  VirtualClock clock;
  RecordingSink sink;
  StaticListMachine machine(peers_of({"b@h"}), 100ms, sink);
  machine.start(clock.now());
  clock.run(machine, 99ms, [] {});
  EXPECT_EQ(sink.passes.size(), 1u);
  clock.run(machine, 1ms, [] {});
  EXPECT_EQ(sink.passes.size(), 2u);
  clock.run(machine, 100ms, [] {});
  EXPECT_EQ(sink.passes.size(), 3u);
}

TEST(HostsFile, ReadsQuotedAtomsCommentsAndFinalDots) {
  const HostsFile file = parse_hosts_file(
      "% the cluster\n'web-1.example.com'.\n  'web-2.example.com' . % the "
      "second\n'10.0.0.1'.web3.\n\nlocalhost.");
  EXPECT_THAT(file.hosts, ElementsAre("web-1.example.com", "web-2.example.com", "localhost"));
  EXPECT_THAT(file.problems, ElementsAre("line 4: only one atom may stand before each dot"));
}

TEST(HostsFile, ReadsUnquotedAtoms) {
  const HostsFile file = parse_hosts_file("localhost.\nweb_1. web2.\n");
  EXPECT_THAT(file.hosts, ElementsAre("localhost", "web_1", "web2"));
  EXPECT_THAT(file.problems, IsEmpty());
}

TEST(HostsFile, ReadsEscapes) {
  const HostsFile file = parse_hosts_file(R"('we\x62-1'. 'w\145b-2'. '\x{77}eb-3'. 'web\-4'.)");
  EXPECT_THAT(file.hosts, ElementsAre("web-1", "web-2", "web-3", "web-4"));
  EXPECT_THAT(file.problems, IsEmpty());
}

TEST(HostsFile, SkipsWhatIsWrongAndNamesItsLine) {
  const HostsFile file = parse_hosts_file(
      "'good'.\nWrong.\n\"string\".\n'a' 'b'.\n'not a host'.\n'bad\\xzz'.\n'also "
      "good'x.\n'good2'.\n'no dot'");
  EXPECT_THAT(file.hosts, ElementsAre("good", "good2"));
  EXPECT_THAT(file.problems,
              ElementsAre("line 2: expected a host like 'web-1.example.com'. in single quotes",
                          "line 3: expected a host like 'web-1.example.com'. in single quotes",
                          "line 4: only one atom may stand before each dot",
                          "line 5: this is not a host name", "line 6: bad escape in a quoted atom",
                          "line 7: only one atom may stand before each dot",
                          "line 9: the final dot is missing"));
}

TEST(HostsFile, AnOpenQuoteEndsAtTheEndOfTheFile) {
  const HostsFile file = parse_hosts_file("'good'.\n'web");
  EXPECT_THAT(file.hosts, ElementsAre("good"));
  EXPECT_THAT(file.problems, ElementsAre("line 2: the closing quote is missing"));
}

TEST(HostsFile, ListsEachHostOnce) {
  EXPECT_THAT(parse_hosts_file("'a'. 'b'. 'a'.").hosts, ElementsAre("a", "b"));
}

TEST(HostsFile, NoBytesCrashIt) {
  std::mt19937 random(3);
  const std::string alphabet = "'.ab% \n\\x{}0179\"Z^";
  for (int round = 0; round < 20'000; ++round) {
    std::string text;
    for (std::size_t i = random() % 40; i > 0; --i) text += alphabet[random() % alphabet.size()];
    SCOPED_TRACE(text);
    for (const auto& host : parse_hosts_file(text).hosts) EXPECT_TRUE(NodeName::parse("a@" + host));
  }
}

class ErlangHostsTest : public ::testing::Test {
 protected:
  ErlangHostsTest() {
    context.directory = "/work-dir";
    context.home = "/home/me";
  }
  void start(Duration timeout = forever) {
    machine = std::make_unique<ErlangHostsMachine>(ErlangHostsMachine::Options{.timeout = timeout},
                                                   context, sink);
    machine->start(clock.now());
    answer();
  }
  /// Answers all questions from `files` and `names`.
  void answer() {
    while (!sink.asked.empty()) {
      const auto [id, question] = sink.asked.front();
      sink.asked.pop_front();
      if (const auto* file = std::get_if<ReadFile>(&question)) {
        ++reads;
        machine->answer(clock.now(), id, FileRead{content_of(file->path)});
      } else {
        const std::string& host = std::get<AskNames>(question).host;
        ++questions[host];
        machine->answer(clock.now(), id, NamesFound{names_at(host)});
      }
      machine->check_invariants();
    }
  }
  void run(Duration by) {
    clock.run(*machine, by, [&] { answer(); });
  }
  Result<std::string> content_of(const std::filesystem::path& path) {
    const auto found = files.find(path.string());
    if (found == files.end()) return bad_input("cannot read " + path.string());
    return found->second;
  }
  Result<std::vector<std::string>> names_at(const std::string& host) {
    const auto found = names.find(host);
    if (found == names.end()) return bad_input(host + " refused");
    return found->second;
  }

  VirtualClock clock;
  RecordingSink sink;
  StrategyContext context = context_of("a@h1");
  std::unique_ptr<ErlangHostsMachine> machine;
  std::map<std::string, std::string> files;
  std::map<std::string, std::vector<std::string>> names;
  std::map<std::string, int> questions;
  int reads = 0;
};

TEST_F(ErlangHostsTest, ListsTheNamesOfEveryHost) {
  files["/work-dir/.hosts.erlang"] = "'h1'. 'h2'.";
  names = {{"h1", {"a", "b"}}, {"h2", {"c"}}};
  start();
  ASSERT_EQ(sink.passes.size(), 1u);
  EXPECT_THAT(names_of(sink.passes[0]), ElementsAre("a@h1", "b@h1", "c@h2"));
  EXPECT_FALSE(sink.passes[0].disconnects);
}

TEST_F(ErlangHostsTest, LooksInTheWorkingDirectoryFirstAndThenAtHome) {
  files["/home/me/.hosts.erlang"] = "'h1'.";
  names["h1"] = {"b"};
  start();
  EXPECT_THAT(names_of(sink.passes.at(0)), ElementsAre("b@h1"));
  EXPECT_EQ(reads, 2);
}

TEST_F(ErlangHostsTest, AMissingFileIsUnknownAndNamesThePlaces) {
  start();
  EXPECT_EQ(sink.passes.at(0).kind, Pass::Kind::unknown);
  EXPECT_EQ(
      sink.passes.at(0).reason,
      "no hosts file: cannot read /work-dir/.hosts.erlang; cannot read /home/me/.hosts.erlang");
  files["/work-dir/.hosts.erlang"] = "'h1'.";  // It is found when it comes.
  names["h1"] = {"b"};
  run(10s);
  EXPECT_THAT(names_of(sink.passes.back()), ElementsAre("b@h1"));
}

TEST_F(ErlangHostsTest, AnEmptyFileIsUnknown) {
  files["/work-dir/.hosts.erlang"] = "% nobody\n";
  start();
  EXPECT_EQ(sink.passes.at(0).kind, Pass::Kind::unknown);
  EXPECT_EQ(sink.passes.at(0).reason, "no host in /work-dir/.hosts.erlang");
}

TEST_F(ErlangHostsTest, NoHostThatAnswersIsUnknownWithItsReason) {
  files["/work-dir/.hosts.erlang"] = "'h1'. 'h2'.";
  start();
  EXPECT_EQ(sink.passes.at(0).kind, Pass::Kind::unknown);
  EXPECT_EQ(sink.passes.at(0).reason, "h1 refused; h2 refused");
}

TEST_F(ErlangHostsTest, AHostThatNoLongerAnswersKeepsItsNodes) {
  files["/work-dir/.hosts.erlang"] = "'h1'. 'h2'.";
  names = {{"h1", {"b"}}, {"h2", {"c"}}};
  start(10s);
  names.erase("h2");
  run(10s);
  EXPECT_THAT(names_of(sink.passes.back()), ElementsAre("b@h1", "c@h2"));
  EXPECT_EQ(sink.passes.back().reason, "h2 refused");
  run(1min);
  EXPECT_THAT(sink.notes, ElementsAre("the port mapper of h2 does not answer; its nodes stay "
                                      "listed: h2 refused"));
  names["h2"] = {"d"};
  run(1min);
  EXPECT_THAT(names_of(sink.passes.back()), ElementsAre("b@h1", "d@h2"));
  EXPECT_EQ(sink.passes.back().reason, "");
  EXPECT_EQ(sink.notes.size(), 2u);
  EXPECT_EQ(sink.notes.back(), "the port mapper of h2 answers");
}

TEST_F(ErlangHostsTest, AHostThatNeverAnsweredIsSaidOnceAndNamedInEveryPass) {
  files["/work-dir/.hosts.erlang"] = "'h1'. 'h2'. 'h3'.";
  names = {{"h1", {"b"}}};
  start(1s);
  run(1min);
  EXPECT_EQ(sink.passes.back().kind, Pass::Kind::list);
  EXPECT_EQ(sink.passes.back().reason, "h2 refused; h3 refused");
  EXPECT_THAT(sink.notes, ElementsAre("the port mapper of h2 does not answer: h2 refused",
                                      "the port mapper of h3 does not answer: h3 refused"));
}

TEST_F(ErlangHostsTest, WithoutATimeoutHostsAreAskedOnceUntilTheFileChanges) {
  files["/work-dir/.hosts.erlang"] = "'h1'.";
  names = {{"h1", {"b"}}, {"h2", {"c"}}};
  start();
  run(10min);
  EXPECT_EQ(questions["h1"], 1);
  files["/work-dir/.hosts.erlang"] = "'h1'. 'h2'.";
  run(5s);
  EXPECT_EQ(questions["h1"], 2);
  EXPECT_THAT(names_of(sink.passes.back()), ElementsAre("b@h1", "c@h2"));
}

TEST_F(ErlangHostsTest, AsksAgainAfterEachTimeoutAndNotBefore) {
  files["/work-dir/.hosts.erlang"] = "'h1'.";
  names["h1"] = {"b"};
  start(1s);
  run(999ms);
  EXPECT_EQ(questions["h1"], 1);
  run(1ms);
  EXPECT_EQ(questions["h1"], 2);
  run(10s);
  EXPECT_EQ(questions["h1"], 12);
}

TEST_F(ErlangHostsTest, AHostThatDoesNotAnswerIsAskedAgainThoughThereIsNoTimeout) {
  files["/work-dir/.hosts.erlang"] = "'h1'.";
  start();
  run(2min);
  EXPECT_GE(questions["h1"], 3);
  EXPECT_LE(questions["h1"], 10);
}

TEST_F(ErlangHostsTest, SaysWhichLinesItSkips) {
  files["/work-dir/.hosts.erlang"] = "'h1'.\nBad.\n";
  names["h1"] = {"b"};
  start();
  ASSERT_EQ(sink.notes.size(), 1u);
  EXPECT_THAT(sink.notes[0], HasSubstr("/work-dir/.hosts.erlang: line 2: expected a host"));
}

TEST_F(ErlangHostsTest, AsksSixteenHostsAtATime) {
  for (int i = 0; i < 100; ++i) {
    const std::string host = "n" + std::to_string(i);
    files["/work-dir/.hosts.erlang"] += "'" + host + "'.\n";
    names[host] = {"x"};
  }
  machine = std::make_unique<ErlangHostsMachine>(ErlangHostsMachine::Options{}, context, sink);
  machine->start(clock.now());
  const auto id = sink.asked.front().id;
  sink.asked.clear();
  machine->answer(clock.now(), id, FileRead{files["/work-dir/.hosts.erlang"]});
  EXPECT_EQ(sink.asked.size(), 16u);
  answer();
  EXPECT_EQ(sink.passes.at(0).peers.size(), 100u);
}

class PollerTest : public ::testing::Test {
 protected:
  void answer(Result<PeerSet> result) {
    ASSERT_EQ(sink.asked.size(), 1u);
    const auto id = sink.asked.front().id;
    sink.asked.clear();
    machine.answer(clock.now(), id, Discovered{std::move(result)});
  }

  VirtualClock clock;
  RecordingSink sink;
  PollerMachine machine{nullptr, {.interval = 5s, .deadline = 2s}, sink};
};

TEST_F(PollerTest, AsksAgainAnIntervalAfterTheAnswerAndOneChainOnly) {
  machine.start(clock.now());
  EXPECT_EQ(std::get<Discover>(sink.asked.at(0).question).within, 2s);
  clock.run(machine, 1min, [] {});
  EXPECT_EQ(sink.asked.size(), 1u);  // Not while it waits for an answer.
  answer(peers_of({"b@h"}));
  clock.run(machine, 4999ms, [] {});
  EXPECT_THAT(sink.asked, IsEmpty());
  clock.run(machine, 1ms, [] {});
  EXPECT_EQ(sink.asked.size(), 1u);
}

TEST_F(PollerTest, APassIsAListOrKnownEmptyOrUnknown) {
  machine.start(clock.now());
  clock.set(clock.now().mono + 30ms);
  answer(peers_of({"b@h"}));
  EXPECT_EQ(sink.passes.back().kind, Pass::Kind::list);
  EXPECT_EQ(sink.passes.back().took, 30ms);
  EXPECT_TRUE(sink.passes.back().disconnects);
  clock.run(machine, 5s, [] {});
  answer(PeerSet{});
  EXPECT_EQ(sink.passes.back().kind, Pass::Kind::known_empty);
  clock.run(machine, 5s, [] {});
  answer(bad_input("no such service"));
  EXPECT_EQ(sink.passes.back().kind, Pass::Kind::unknown);
  EXPECT_EQ(sink.passes.back().reason, "no such service");
}

}  // namespace
}  // namespace muster::discovery
