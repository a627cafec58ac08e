// SPDX-License-Identifier: MIT
// `etcd` under a clock made by hand; each answer is one that etcd 3.4 gave.
#include <gmock/gmock.h>

#include <random>

#include "etcd/etcd_json.h"
#include "etcd/etcd_machine.h"
#include "muster/discovery/test_kit.h"

namespace muster::discovery {
namespace {

using namespace std::chrono_literals;
using test::context_of, test::names_of, test::RecordingSink, test::VirtualClock;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

TEST(EtcdJson, Base64IsThatOfTheStandard) {
  EXPECT_EQ(etcd::encode_base64(""), "");
  EXPECT_EQ(etcd::encode_base64("f"), "Zg==");
  EXPECT_EQ(etcd::encode_base64("foob"), "Zm9vYg==");
  EXPECT_EQ(etcd::decode_base64("Zm9vYmE="), "fooba");
  EXPECT_EQ(etcd::decode_base64(""), "");
  for (const char* bad : {"Zg", "Z===x", "Zm9v\nZg=", "Zm9v ", "Zm!v"})
    EXPECT_FALSE(etcd::decode_base64(bad)) << bad;
  std::mt19937 random(7);
  for (std::size_t size = 0; size < 300; ++size) {
    std::string bytes(size, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    EXPECT_EQ(etcd::decode_base64(etcd::encode_base64(bytes)), bytes);
  }
}

TEST(EtcdJson, ARegistrationIsReadAsItWasWritten) {
  const etcd::Registration one{
      .peer = {.name = NodeName::parse("a@10.0.0.1").value(), .address = "10.0.0.1", .port = 4370},
      .boot_id = 18'000'000'000'000'000'000u};
  EXPECT_EQ(etcd::write_registration(one),
            R"({"name":"a@10.0.0.1","address":"10.0.0.1","link_port":4370,)"
            R"("boot_id":"18000000000000000000"})");
  EXPECT_EQ(etcd::read_registration(etcd::write_registration(one)).value(), one);
  EXPECT_TRUE(etcd::read_registration(R"({"name": "a@h", "colour": "red"})"));
  for (const char* bad :
       {"", "7", "{}", R"({"name":"a"})", R"({"name":"a@h","address":"elsewhere"})",
        R"({"name":"a@h","link_port":70000})", R"({"name":"a@h","link_port":"x"})"})
    EXPECT_FALSE(etcd::read_registration(bad)) << bad;
}

TEST(EtcdJson, ThePrefixEndsBeforeTheNextKeyThatDoesNotBeginWithIt) {
  EXPECT_EQ(etcd::range("/muster/", 5), R"({"key":")" + etcd::encode_base64("/muster/") +
                                            R"(","range_end":")" + etcd::encode_base64("/muster0") +
                                            R"(","limit":"5"})");
  EXPECT_THAT(etcd::range("a\xff", 5), HasSubstr(etcd::encode_base64("b")));
  EXPECT_THAT(etcd::range("\xff", 5), HasSubstr(R"("range_end":"AA==")"));
}

HttpReply ok(std::string body) { return {.status = 200, .reason = "OK", .body = std::move(body)}; }
HttpReply refusal(int status, int code, const std::string& message) {
  return {.status = status,
          .reason = "Refused",
          .body = R"({"error":")" + message + R"(","message":")" + message + R"(","code":)" +
                  std::to_string(code) + "}"};
}
std::string header(int revision) {
  return R"("header":{"cluster_id":"101","member_id":"12","revision":")" +
         std::to_string(revision) + R"(","raft_term":"2"})";
}
HttpReply granted(int id, int seconds = 9) {
  return ok("{" + header(1) + R"(,"ID":")" + std::to_string(id) + R"(","TTL":")" +
            std::to_string(seconds) + "\"}");
}
HttpReply kept(int id) {
  return ok(R"({"result":{)" + header(1) + R"(,"ID":")" + std::to_string(id) + R"(","TTL":"9"}})" +
            "\n");
}
HttpReply was_put(int revision) { return ok("{" + header(revision) + "}"); }
std::string key_value(const std::string& name, const std::string& value, int revision) {
  return R"({"key":")" + etcd::encode_base64("/muster/" + name) +
         R"(","create_revision":"2","mod_revision":")" + std::to_string(revision) +
         R"(","version":"1","value":")" + etcd::encode_base64(value) + "\"}";
}
std::string node(const std::string& name, int revision = 2, std::uint64_t boot_id = 5) {
  const Peer peer{NodeName::parse(name).value(), "10.0.0.1", 4370};
  return key_value(name, etcd::write_registration({peer, boot_id}), revision);
}
HttpReply listed(const std::string& entries, int revision = 10) {
  return ok("{" + header(revision) + R"(,"kvs":[)" + entries + R"(],"count":"1"})");
}
std::string change(const std::string& entry, bool is_deleted = false) {
  return R"({"result":{)" + header(11) + R"(,"events":[{)" +
         (is_deleted ? R"("type":"DELETE",)" : "") + R"("kv":)" + entry + "}]}}";
}

class EtcdMachineTest : public ::testing::Test {
 protected:
  void start(EtcdMachine::Options options = {}) {
    machine.emplace(std::move(options), context_of("self@h"), sink);
    machine->start(clock.now());
  }
  /// The request for `path`, which must be under way and is not any more after this.
  RecordingSink::Asked take(const std::string& path) {
    for (auto asked = sink.asked.begin(); asked != sink.asked.end(); ++asked) {
      const auto* request = std::get_if<HttpRequest>(&asked->question);
      if (!request || !request->url.ends_with(path)) continue;
      auto taken = *asked;
      sink.asked.erase(asked);
      last = *std::get_if<HttpRequest>(&taken.question);
      return taken;
    }
    ADD_FAILURE() << "nobody asks for " << path;
    return {};
  }
  void answer(const std::string& path, Result<HttpReply> reply) {
    const auto asked = take(path);
    const HttpAnswer answered{std::move(reply)};
    machine->answer(clock.now(), asked.id, answered);
    machine->check_invariants();
  }
  void watch_begins() {
    watch = take("/v3/watch").id;
    say(R"({"result":{)" + header(10) + R"(,"created":true}})");
  }
  void say(const std::string& line) {
    machine->answer(clock.now(), watch, HttpLine{line});
    machine->check_invariants();
  }
  void watch_breaks() {
    const HttpEnded ended{bad_input("the connection was cut off")};
    machine->answer(clock.now(), watch, ended);
    machine->check_invariants();
  }
  void registers(int lease = 77) {
    answer("/v3/lease/grant", granted(lease));
    answer("/v3/kv/put", was_put(9));
  }
  void run(Duration by) {
    clock.run(*machine, by, [] {});
  }
  [[nodiscard]] std::vector<std::string> paths() const {
    std::vector<std::string> paths;
    for (const auto& asked : sink.asked) {
      if (const auto* request = std::get_if<HttpRequest>(&asked.question))
        paths.push_back(request->url.substr(request->url.find("/v3/")));
      else
        paths.push_back(std::get<ReadFile>(asked.question).path.string());
    }
    return paths;
  }

  VirtualClock clock;
  RecordingSink sink;
  std::optional<EtcdMachine> machine;
  HttpRequest last;
  QuestionId watch = 0;
};

TEST_F(EtcdMachineTest, PutsItsKeyUnderALeaseAndKeepsItEveryThirdOfTheGrantedTime) {
  start();
  answer("/v3/lease/grant", granted(77));
  EXPECT_EQ(last.body, R"({"TTL":"10"})");
  answer("/v3/kv/put", was_put(9));
  EXPECT_EQ(last.url, "http://127.0.0.1:2379/v3/kv/put");
  EXPECT_THAT(last.body, HasSubstr(etcd::encode_base64("/muster/self@h")));
  EXPECT_THAT(last.body, HasSubstr(R"("lease":"77")"));
  sink.asked.clear();
  run(3s - 1ms);
  EXPECT_THAT(paths(), IsEmpty());
  run(1ms);
  answer("/v3/lease/keepalive", kept(77));
  EXPECT_EQ(last.body, R"({"ID":"77"})");
  run(3s);
  EXPECT_THAT(paths(), ElementsAre("/v3/lease/keepalive"));
}

TEST(EtcdListener, ReadsAndWatchesWithoutAKeyOfItsOwn) {
  VirtualClock clock;
  RecordingSink sink;
  StrategyContext context = context_of("self@h");
  context.listens_only = true;
  EtcdMachine machine({}, context, sink);
  machine.start(clock.now());
  clock.run(machine, 1min, [] {});
  ASSERT_EQ(sink.asked.size(), 1u);
  EXPECT_TRUE(std::get<HttpRequest>(sink.asked[0].question).url.ends_with("/v3/kv/range"));
}

TEST_F(EtcdMachineTest, ListsTheOthersAndFollowsTheirChangesWithoutEverDisconnecting) {
  start();
  answer("/v3/kv/range", listed(node("a@h") + "," + node("self@h") + "," + node("b@h")));
  ASSERT_EQ(sink.passes.size(), 1u);
  EXPECT_THAT(names_of(sink.passes[0]), ElementsAre("a@h", "b@h"));
  EXPECT_EQ(sink.passes[0].peers.begin()->address, "10.0.0.1");
  EXPECT_EQ(sink.passes[0].peers.begin()->port, 4370);
  EXPECT_FALSE(sink.passes[0].disconnects);
  watch_begins();
  EXPECT_TRUE(last.stream);
  EXPECT_THAT(last.body, HasSubstr(R"("start_revision":"11")"));
  say(change(node("c@h", 11)));
  EXPECT_THAT(names_of(sink.passes.back()), ElementsAre("a@h", "b@h", "c@h"));
  say(change(node("a@h", 12), true));
  EXPECT_THAT(names_of(sink.passes.back()), ElementsAre("b@h", "c@h"));
  EXPECT_FALSE(sink.passes.back().disconnects);
  EXPECT_EQ(sink.passes.size(), 3u);
}

TEST_F(EtcdMachineTest, ReadsAllAgainWhenTheWatchEndsOrIsCompacted) {
  start();
  answer("/v3/kv/range", listed(node("a@h")));
  watch_begins();
  watch_breaks();
  run(250ms);
  answer("/v3/kv/range", listed(node("b@h")));
  EXPECT_THAT(names_of(sink.passes.back()), ElementsAre("b@h"));
  watch_begins();
  say(R"({"result":{)" + header(20) + R"(,"canceled":true,"compact_revision":"15"}})");
  EXPECT_THAT(sink.withdrawn, ElementsAre(watch));
  run(250ms);
  answer("/v3/kv/range", listed(node("c@h")));
  EXPECT_THAT(names_of(sink.passes.back()), ElementsAre("c@h"));
  watch_begins();
  say("garbage");
  EXPECT_EQ(sink.withdrawn.size(), 2u);
  run(250ms);
  EXPECT_EQ(paths().back(), "/v3/kv/range");
}

TEST_F(EtcdMachineTest, AWatchThatIsRefusedIsTriedAgainWithGrowingPatience) {
  start();
  registers();
  int reads = 0;
  for (Duration passed{}; passed < 1min; passed += 100ms) {
    const auto asked = paths();
    if (std::ranges::find(asked, "/v3/kv/range") != asked.end()) {
      ++reads;
      answer("/v3/kv/range", listed(""));
      answer("/v3/watch", refusal(503, 14, "etcdserver: no leader"));
    }
    run(100ms);
  }
  EXPECT_GT(reads, 10);
  EXPECT_LT(reads, 40);
}

TEST_F(EtcdMachineTest, IsUnknownWhileEtcdIsAwayAndTriesTheEndpointsInTurn) {
  start({.endpoints = {"http://one", "http://two"}});
  answer("/v3/lease/grant", bad_input("http://one: Connection refused"));
  EXPECT_EQ(last.url, "http://one/v3/lease/grant");
  answer("/v3/kv/range", bad_input("http://one: Connection refused"));
  ASSERT_EQ(sink.passes.size(), 1u);
  EXPECT_EQ(sink.passes[0].kind, Pass::Kind::unknown);
  EXPECT_EQ(sink.passes[0].reason, "http://one: Connection refused");
  EXPECT_THAT(sink.notes, ElementsAre("cannot keep our own key in etcd: "
                                      "http://one: Connection refused"));
  run(250ms);
  answer("/v3/lease/grant", granted(77));
  EXPECT_EQ(last.url, "http://two/v3/lease/grant");
  answer("/v3/kv/put", was_put(9));
  answer("/v3/kv/range", listed(node("a@h")));
  EXPECT_EQ(last.url, "http://two/v3/kv/range");
  EXPECT_THAT(sink.notes, ElementsAre(HasSubstr("cannot"), "our own key is in etcd again"));
}

TEST_F(EtcdMachineTest, BacksOffWhileNobodyAnswers) {
  start();
  int questions = 0;
  for (Duration passed{}; passed < 10min; passed += 100ms) {
    while (!sink.asked.empty()) {
      const auto id = sink.asked.front().id;
      sink.asked.pop_front();
      ++questions;
      const HttpAnswer failure{bad_input("refused")};
      machine->answer(clock.now(), id, failure);
    }
    run(100ms);
  }
  EXPECT_GT(questions, 200);
  EXPECT_LT(questions, 600);  // Two works, 2.5 to 5 s between.
  EXPECT_EQ(sink.notes.size(), 1u);
}

TEST_F(EtcdMachineTest, ALeaseThatIsGoneIsGrantedAnewAndTheKeyPutAgain) {
  start();
  registers();
  run(3s);
  answer("/v3/lease/keepalive", ok(R"({"result":{)" + header(1) + R"(,"ID":"77"}})"));
  run(250ms);
  registers(78);
  EXPECT_THAT(last.body, HasSubstr(R"("lease":"78")"));
  EXPECT_EQ(machine->counters().at("leases_lost"), 1u);
  run(3s);
  answer("/v3/lease/keepalive", refusal(404, 5, "etcdserver: requested lease not found"));
  run(500ms);
  answer("/v3/lease/grant", granted(79));
  answer("/v3/kv/put", refusal(404, 5, "etcdserver: requested lease not found"));
  run(1s);
  registers(80);
  EXPECT_EQ(machine->counters().at("leases_lost"), 3u);
}

TEST_F(EtcdMachineTest, AKeyThatSomebodyDeletedIsPutAgain) {
  start();
  registers();
  answer("/v3/kv/range", listed(node("self@h", 9)));
  watch_begins();
  say(change(node("self@h", 8), true));  // Before it was put.
  EXPECT_THAT(paths(), IsEmpty());
  say(change(node("self@h", 12), true));
  answer("/v3/kv/put", was_put(13));
  watch_breaks();
  run(250ms);
  answer("/v3/kv/range", listed("", 14));
  EXPECT_THAT(paths(), ElementsAre("/v3/watch", "/v3/kv/put"));
}

TEST_F(EtcdMachineTest, AReadThatIsOlderThanItsOwnPutProvesNothing) {
  start();
  answer("/v3/lease/grant", granted(77));
  answer("/v3/kv/put", was_put(12));
  answer("/v3/kv/range", listed("", 11));
  EXPECT_THAT(paths(), ElementsAre("/v3/watch"));
}

TEST_F(EtcdMachineTest, SomebodyElseUnderItsNameIsSaidOnceAndNotFought) {
  start();
  registers();
  answer("/v3/kv/range", listed(node("self@h", 9, 1000)));  // Our own boot id.
  watch_begins();
  say(change(node("self@h", 12, 6)));
  say(change(node("self@h", 13, 7)));
  EXPECT_THAT(sink.notes, ElementsAre("another node keeps the key of self@h: it is at 10.0.0.1"));
  EXPECT_THAT(paths(), IsEmpty());
  EXPECT_EQ(sink.passes.back().kind, Pass::Kind::known_empty);
}

TEST_F(EtcdMachineTest, AValueThatMakesNoSenseIsSkippedCountedAndSaidOnce) {
  start();
  answer("/v3/kv/range", listed(node("a@h") + "," + key_value("b@h", "garbage", 2) + "," +
                                key_value("c@h", R"({"name":"d@h"})", 2)));
  EXPECT_THAT(names_of(sink.passes.back()), ElementsAre("a@h"));
  EXPECT_EQ(machine->counters().at("bad_entries"), 2u);
  EXPECT_THAT(sink.notes, ElementsAre("skips the key /muster/b@h: it is no JSON object"));
  watch_begins();
  say(change(key_value("a@h", "[]", 11)));
  EXPECT_EQ(sink.passes.back().kind, Pass::Kind::known_empty);
  say(change(node("a@h", 12)));
  EXPECT_THAT(names_of(sink.passes.back()), ElementsAre("a@h"));
  EXPECT_EQ(sink.notes.size(), 1u);
}

TEST_F(EtcdMachineTest, StrangeAnswersAreUnknownAndStopNothing) {
  start();
  const std::vector<std::string> strange{"",
                                         "[]",
                                         "{}",
                                         R"({"header":7})",
                                         "{" + header(1),
                                         "{" + header(1) + R"(,"kvs":7})",
                                         "{" + header(1) + R"(,"kvs":[7]})",
                                         "{" + header(1) + R"(,"kvs":[{"key":"!"}]})"};
  for (const std::string& body : strange) {
    answer("/v3/kv/range", ok(body));
    EXPECT_EQ(sink.passes.back().kind, Pass::Kind::unknown) << body;
    EXPECT_THAT(sink.passes.back().reason, HasSubstr("etcd's answer"));
    run(5s);
  }
  answer("/v3/lease/grant", ok("{}"));
  EXPECT_THAT(sink.notes,
              ElementsAre("cannot keep our own key in etcd: etcd's answer has no lease"));
  answer("/v3/kv/range", listed(node("a@h")));
  EXPECT_EQ(sink.passes.back().kind, Pass::Kind::list);
}

class EtcdUserTest : public EtcdMachineTest {
 protected:
  void sign_in(const std::string& token) {
    read_file("a password\n");
    answer("/v3/auth/authenticate", ok(R"({)" + header(1) + R"(,"token":")" + token + "\"}"));
  }
  void read_file(Result<std::string> content) {
    ASSERT_FALSE(sink.asked.empty());
    const auto id = sink.asked.front().id;
    ASSERT_TRUE(std::holds_alternative<ReadFile>(sink.asked.front().question));
    sink.asked.pop_front();
    const FileRead read{std::move(content)};
    machine->answer(clock.now(), id, read);
  }
  static EtcdMachine::Options with_user() { return {.user = "me", .password_file = "password"}; }
};

TEST_F(EtcdUserTest, SignsInFirstAndShowsItsTokenFromThenOn) {
  start(with_user());
  EXPECT_THAT(paths(), ElementsAre("./password"));
  sign_in("token-1");
  EXPECT_EQ(last.body, R"({"name":"me","password":"a password"})");
  EXPECT_THAT(paths(), ElementsAre("/v3/lease/grant", "/v3/kv/range"));
  take("/v3/kv/range");
  EXPECT_THAT(last.headers, ::testing::Contains(std::pair("Authorization", "token-1")));
}

TEST_F(EtcdUserTest, ATokenThatRanOutIsRenewedWithoutAnUnknownPass) {
  start(with_user());
  sign_in("token-1");
  registers();
  answer("/v3/kv/range", listed(node("a@h")));
  watch_begins();
  watch_breaks();
  run(250ms);
  answer("/v3/kv/range", refusal(401, 16, "etcdserver: invalid auth token"));
  answer("/v3/auth/authenticate", ok(R"({"token":"token-2"})"));
  run(500ms);
  answer("/v3/kv/range", listed(node("a@h")));
  EXPECT_THAT(last.headers, ::testing::Contains(std::pair("Authorization", "token-2")));
  for (const Pass& pass : sink.passes) EXPECT_EQ(pass.kind, Pass::Kind::list);
  EXPECT_THAT(sink.notes, IsEmpty());
}

TEST_F(EtcdUserTest, AWrongPasswordIsUnknownAndReadAgainLater) {
  start(with_user());
  read_file("wrong");
  answer("/v3/auth/authenticate",
         refusal(400, 3, "etcdserver: authentication failed, invalid user ID or password"));
  EXPECT_EQ(sink.passes.back().kind, Pass::Kind::unknown);
  EXPECT_THAT(sink.passes.back().reason, HasSubstr("authentication failed"));
  EXPECT_THAT(sink.passes.back().reason, Not(HasSubstr("wrong")));
  run(250ms);
  sign_in("token-1");
  EXPECT_THAT(paths(), ElementsAre("/v3/lease/grant", "/v3/kv/range"));
}

TEST_F(EtcdUserTest, AUserThatEtcdDoesNotAskForIsSaidAndNotUsed) {
  start(with_user());
  read_file("a password");
  answer("/v3/auth/authenticate", refusal(412, 9, "etcdserver: authentication is not enabled"));
  EXPECT_THAT(sink.notes, ElementsAre("etcd asks nobody for a user: `user` is not used"));
  EXPECT_THAT(paths(), ElementsAre("/v3/lease/grant", "/v3/kv/range"));
}

TEST_F(EtcdUserTest, FilesAreReadFirstAndAgainAfterAFailure) {
  start({.ca_file = "ca", .certificate_file = "certificate", .key_file = "key"});
  read_file("CA 1");
  read_file("CERTIFICATE 1");
  read_file("KEY 1");
  answer("/v3/kv/range", bad_input("https://127.0.0.1:2379: its certificate has expired"));
  EXPECT_EQ(last.trusted, "CA 1");
  EXPECT_EQ(last.certificate, "CERTIFICATE 1");
  EXPECT_EQ(last.key, "KEY 1");
  take("/v3/lease/grant");
  run(250ms);
  read_file("CA 2");
  read_file("CERTIFICATE 2");
  read_file("KEY 2");
  run(250ms);
  answer("/v3/kv/range", listed(""));
  EXPECT_EQ(last.trusted, "CA 2");
  EXPECT_EQ(last.key, "KEY 2");
}

TEST_F(EtcdUserTest, AFileThatIsMissingIsUnknownAndLookedForAgain) {
  start({.ca_file = "ca"});
  read_file(bad_input("cannot read ./ca: No such file or directory"));
  EXPECT_THAT(sink.passes.back().reason, HasSubstr("cannot read ./ca"));
  run(250ms);
  read_file("CA");
  EXPECT_THAT(paths(), ElementsAre("/v3/lease/grant", "/v3/kv/range"));
}

TEST_F(EtcdMachineTest, GivesItsLeaseBackAtAStopAndIsSilentAfterIt) {
  start();
  registers();
  answer("/v3/kv/range", listed(node("a@h")));
  watch_begins();
  sink.asked.clear();
  machine->stop(clock.now());
  EXPECT_THAT(paths(), ElementsAre("/v3/lease/revoke"));
  take("/v3/lease/revoke");
  EXPECT_EQ(last.body, R"({"ID":"77"})");
  EXPECT_EQ(machine->next_wake(), never);
  machine->wake(clock.now());
  EXPECT_THAT(paths(), IsEmpty());
}

TEST_F(EtcdMachineTest, HasNothingToGiveBackBeforeItHasALease) {
  start();
  sink.asked.clear();
  machine->stop(clock.now());
  EXPECT_THAT(paths(), IsEmpty());
}

TEST_F(EtcdMachineTest, AnswersToNobodysQuestionAreIgnored) {
  start();
  const HttpAnswer answered{listed(node("a@h"))};
  machine->answer(clock.now(), 4711, answered);
  machine->answer(clock.now(), 4711, HttpLine{"x"});
  EXPECT_THAT(sink.passes, IsEmpty());
}

TEST(EtcdOptions, ThatMakeNoSenseAreErrors) {
  const auto wrong = [](const std::vector<std::pair<std::string, Settings>>& options) {
    const auto plan = plan_topology("t", "etcd", Settings::map(options), StrategyRegistry());
    return plan ? "" : plan.error().text();
  };
  EXPECT_EQ(wrong({}), "");
  EXPECT_THAT(wrong({{"endpoints", Settings::list({})}}), HasSubstr("endpoints must be 1 to 16"));
  EXPECT_THAT(wrong({{"endpoints", "10.0.0.1:2379"}}), HasSubstr("endpoints has one that cannot"));
  EXPECT_THAT(wrong({{"prefix", ""}}), HasSubstr("prefix must be 1 to 1000 bytes"));
  EXPECT_THAT(wrong({{"lease", 1s}}), HasSubstr("lease"));
  EXPECT_THAT(wrong({{"endpoint", "http://a"}}), HasSubstr("did you mean 'endpoints'?"));
  EXPECT_THAT(wrong({{"tls", Settings::map({{"ca_file", "ca"}})}}),
              HasSubstr("tls is not used by http://127.0.0.1:2379, which needs https://"));
  EXPECT_THAT(wrong({{"endpoints", "https://a"}, {"tls", Settings::map({{"key_file", "k"}})}}),
              HasSubstr("tls needs certificate_file and key_file, or neither"));
  EXPECT_THAT(wrong({{"endpoints", "https://a"}, {"tls", Settings::map({{"ca_fil", "k"}})}}),
              HasSubstr("did you mean 'ca_file'?"));
  EXPECT_THAT(wrong({{"user", Settings::map({{"name", "me"}})}}),
              HasSubstr("needs 'password_file'"));
}

}  // namespace
}  // namespace muster::discovery
