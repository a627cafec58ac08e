// SPDX-License-Identifier: MIT
// `kubernetes`: what happens between two lists.
#include "discovery/kubernetes_world.h"

namespace muster::discovery {
namespace {

using namespace std::chrono_literals;
using test::KubernetesTest, test::recorded, test::recorded_lines;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::Pair;

class KubernetesWatchTest : public KubernetesTest {
 protected:
  static std::string watch_from(const std::string& version) {
    return std::string(server) +
           "/api/v1/namespaces/web/endpoints\\?labelSelector=app%3Dtest_selector&watch=1&"
           "allowWatchBookmarks=true&resourceVersion=" +
           version + "&timeoutSeconds=[23][0-9][0-9]";
  }
  void start_watching(const std::string& list = "endpoints.json") {
    start();
    list_and_watch(list);
  }
  static std::string error_event(int code) {
    return R"({"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":)"
           R"("Failure","message":"m","code":)" +
           std::to_string(code) + "}}";
  }

  const std::vector<std::string> events = recorded_lines("watch_endpoints.jsonl");
};

TEST_F(KubernetesWatchTest, FollowsTheListFromItsVersion) {
  start();
  asked();
  reply_recorded("endpoints.json");
  EXPECT_EQ(names().size(), 2u) << "nobody waits for the watch";
  EXPECT_EQ(asked(),
            "https://cluster.localhost./api/v1/namespaces/web/endpoints?labelSelector=app%3Dtest_"
            "selector&watch=1&allowWatchBookmarks=true&resourceVersion=184467&timeoutSeconds=281");
  EXPECT_TRUE(request.stream);
  EXPECT_THAT(request.headers, Contains(Pair("Authorization", "Bearer a-token")));
  EXPECT_THAT(request.trusted, HasSubstr("BEGIN CERTIFICATE"));
}

TEST_F(KubernetesWatchTest, AppliesWhatIsAddedModifiedAndDeleted) {
  start_watching();
  line(events[0]);  // The third became ready.
  run(50ms);
  EXPECT_THAT(names(), ElementsAre("test_basename@10.48.33.136", "test_basename@10.48.34.21",
                                   "test_basename@10.48.35.7"));
  line(events[1]);  // A fourth, in an object of its own.
  run(50ms);
  EXPECT_THAT(names(), Contains("test_basename@10.48.36.3"));
  line(events[2]);  // A bookmark.
  line(events[3]);  // The fourth is gone.
  run(50ms);
  EXPECT_THAT(names(), ElementsAre("test_basename@10.48.33.136", "test_basename@10.48.34.21",
                                   "test_basename@10.48.35.7"));
  EXPECT_TRUE(last().disconnects);
  EXPECT_EQ(counted("events"), 3u);
  EXPECT_EQ(counted("bookmarks"), 1u);
  EXPECT_TRUE(requests.empty()) << "no list was needed";
}

TEST_F(KubernetesWatchTest, APeerThatIsNoLongerReadyStaysOne) {
  start_watching();
  line(events[0]);
  run(50ms);
  ASSERT_THAT(names(), Contains("test_basename@10.48.34.21"));
  line(events[4]);
  run(10s);
  EXPECT_THAT(names(), Contains("test_basename@10.48.34.21"));
}

TEST_F(KubernetesWatchTest, EventsThatComeTogetherMakeOnePass) {
  start_watching();
  const std::size_t before = sink.passes.size();
  line(events[0]);
  line(events[1]);
  line(events[3]);
  run(50ms);
  EXPECT_EQ(sink.passes.size(), before + 1);
}

TEST_F(KubernetesWatchTest, EachChangeIsReportedOnceMoreAndThenThereIsSilence) {
  start_watching();
  run(6s);
  const std::size_t before = sink.passes.size();
  line(events[0]);
  run(4min);
  EXPECT_EQ(sink.passes.size(), before + 2);
  EXPECT_EQ(names().size(), 3u);
}

TEST_F(KubernetesWatchTest, AnEventThatChangesNothingIsNotReported) {
  start_watching();
  line(events[0]);
  run(10s);
  const std::size_t before = sink.passes.size();
  line(events[0]);
  run(10s);
  EXPECT_EQ(sink.passes.size(), before);
}

TEST_F(KubernetesWatchTest, GoesOnFromTheLastEventWhenTheServerEndsIt) {
  start_watching();
  line(events[0]);
  run(4min);
  files[account + std::string("token")] = "another";
  end();
  run(1ms);
  EXPECT_THAT(asked(), MatchesRegex(watch_from("184470")));
  EXPECT_THAT(request.headers, Contains(Pair("Authorization", "Bearer another")));
}

TEST_F(KubernetesWatchTest, GoesOnFromABookmark) {
  start_watching();
  line(events[2]);
  run(4min);
  break_off();
  run(1ms);
  EXPECT_THAT(asked(), MatchesRegex(watch_from("184480")));
  reply(200, "");
  EXPECT_EQ(sink.passes.size(), 2u) << "a watch that goes on is no news";
}

TEST_F(KubernetesWatchTest, AWatchThatEndsAtOnceWaitsBeforeTheNext) {
  start_watching();
  int opened = 0;
  for (const Instant until = clock.now().mono + 2min; clock.now().mono < until; run(10ms)) {
    if (requests.empty()) continue;
    asked();
    ++opened;
    reply(200, "");
    end();
  }
  if (requests.empty()) end();
  EXPECT_LE(opened, 15);
}

TEST_F(KubernetesWatchTest, GoneAsAnEventListsAnewAtOnce) {
  start_watching();
  run(1min);
  line(events[5]);
  EXPECT_THAT(sink.withdrawn, ElementsAre(id));
  run(1ms);
  EXPECT_EQ(asked(), endpoints_url);
  reply_recorded("endpoints_page_2.json");
  EXPECT_EQ(last().kind, Pass::Kind::list);
  EXPECT_EQ(counted("gone"), 1u);
}

TEST_F(KubernetesWatchTest, GoneAsAStatusListsAnewAtOnce) {
  start_watching();
  run(1min);
  end();
  run(1ms);
  EXPECT_THAT(asked(), MatchesRegex(watch_from("184467")));
  reply(410, recorded("expired.json"));
  EXPECT_EQ(last().kind, Pass::Kind::list) << "that is no failure";
  run(1ms);
  EXPECT_EQ(asked(), endpoints_url);
}

TEST_F(KubernetesWatchTest, GoneAgainAndAgainIsNotAHotLoop) {
  start();
  int lists = 0;
  for (const Instant until = clock.now().mono + 1min; clock.now().mono < until; run(10ms)) {
    if (requests.empty()) continue;
    asked();
    if (request.stream) {
      reply(410, recorded("expired.json"));
    } else {
      reply_recorded("endpoints.json");
      ++lists;
    }
  }
  EXPECT_LE(lists, 15);
  EXPECT_GE(lists, 3);
}

TEST_F(KubernetesWatchTest, AnotherErrorOrAMalformedLineListsAnewAfterAWhile) {
  for (const std::string& text : {error_event(500), std::string("{\"type\":"), std::string("[]"),
                                  std::string(R"({"type":"STRANGE","object":{}})")}) {
    SCOPED_TRACE(text);
    requests.clear();
    start_watching();
    run(10s);
    line(text);
    EXPECT_EQ(last().kind, Pass::Kind::list);
    run(400ms);
    EXPECT_TRUE(requests.empty());
    run(600ms);
    EXPECT_EQ(asked(), endpoints_url);
  }
}

TEST_F(KubernetesWatchTest, OneMalformedObjectStopsNothing) {
  start_watching();
  line(R"({"type":"ADDED","object":{"kind":"Endpoints","metadata":{"resourceVersion":"184469"}}})");
  line(" ");
  line(events[0]);
  run(50ms);
  EXPECT_EQ(names().size(), 3u);
  EXPECT_EQ(counted("malformed"), 1u);
}

TEST_F(KubernetesWatchTest, WhereWatchingIsForbiddenItListsEveryIntervalAndSaysSoOnce) {
  start();
  asked();
  reply_recorded("endpoints.json");
  asked();
  reply(403, recorded("watch_forbidden.json"));
  for (int poll = 0; poll < 3; ++poll) {
    run(5s);
    EXPECT_EQ(asked(), endpoints_url);
    reply_recorded("endpoints.json");
    EXPECT_EQ(last().kind, Pass::Kind::list);
  }
  EXPECT_THAT(sink.notes,
              ElementsAre("https://cluster.localhost. forbids to watch endpoints in namespace web "
                          "(403: endpoints is forbidden: User \"system:serviceaccount:web:muster\" "
                          "cannot watch resource \"endpoints\" in API group \"\" in the namespace "
                          "\"web\"); it takes a Role with {apiGroups: [\"\"], resources: "
                          "[endpoints], verbs: [list, watch]} bound to the service account "
                          "web:muster; lists every 5s instead"));
}

TEST_F(KubernetesWatchTest, ARefusedWatchIsTriedAgainAfterAWhile) {
  start();
  int watches = 0;
  for (const Instant until = clock.now().mono + 11min; clock.now().mono < until; run(1s)) {
    if (requests.empty()) continue;
    asked();
    if (request.stream)
      reply(++watches < 3 ? 405 : 200, "");
    else
      reply_recorded("endpoints.json");
  }
  EXPECT_EQ(watches, 3);
  EXPECT_THAT(sink.notes, ElementsAre(HasSubstr("lists every 5s instead"), "watches web again"));
}

TEST_F(KubernetesWatchTest, AFailureKeepsThePeersAndGoesOnWhereItWas) {
  start_watching();
  line(events[0]);
  run(1min);
  break_off();
  run(1ms);
  asked();
  fail("https://cluster.localhost.: connection refused");
  EXPECT_EQ(last().kind, Pass::Kind::unknown);
  EXPECT_EQ(last().reason, "https://cluster.localhost.: connection refused");
  run(1s);
  EXPECT_THAT(asked(), MatchesRegex(watch_from("184470")));
  reply(200, "");
  EXPECT_EQ(last().kind, Pass::Kind::list);
  EXPECT_EQ(names().size(), 3u);
}

TEST_F(KubernetesWatchTest, ListsAllAnewEverySixtyIntervals) {
  start_watching();
  run(5min);
  EXPECT_THAT(sink.withdrawn, ElementsAre(id));
  EXPECT_EQ(asked(), endpoints_url);
  reply_recorded("endpoints.json");
  EXPECT_THAT(asked(), MatchesRegex(watch_from("184467")));
}

TEST_F(KubernetesWatchTest, AListThatDropsMoreThanHalfIsListedAgainBeforeItIsWatched) {
  start_watching();
  line(events[0]);
  run(5min);
  EXPECT_EQ(asked(), endpoints_url);
  reply_recorded("endpoints_none.json");
  EXPECT_EQ(last().kind, Pass::Kind::known_empty);
  const std::size_t before = sink.passes.size();
  EXPECT_TRUE(requests.empty());
  run(5s);
  EXPECT_EQ(sink.passes.size(), before) << "saying it twice would make it no truer";
  EXPECT_EQ(asked(), endpoints_url);
  reply_recorded("endpoints_none.json");
  EXPECT_EQ(sink.passes.size(), before + 1);
  EXPECT_THAT(asked(), HasSubstr("watch=1"));
}

// ---- pods that are being deleted

class KubernetesLeavingTest : public KubernetesTest {
 protected:
  KubernetesLeavingTest() { set("kubernetes_ip_lookup_mode", "pods"); }
  static constexpr const char* first = "test_basename@10.48.33.136";
  static constexpr const char* second = "test_basename@10.48.34.21";
  const std::vector<std::string> events = recorded_lines("watch_pods.jsonl");
};

TEST_F(KubernetesLeavingTest, APeerThatShutsDownMayHandOverUntilItIsGone) {
  start();
  list_and_watch("pods_two.json");
  line(events[0]);
  run(20s);
  EXPECT_THAT(names(), ElementsAre(first, second));
  line(events[1]);
  run(50ms);
  EXPECT_THAT(names(), ElementsAre(first));
}

TEST_F(KubernetesLeavingTest, OneThatHangsIsDroppedAfterItsGracePeriod) {
  start();
  list_and_watch("pods_two.json");
  line(events[0]);  // With 45 s of grace.
  run(44s);
  EXPECT_THAT(names(), ElementsAre(first, second));
  run(2s);
  EXPECT_THAT(names(), ElementsAre(first));
  run(10min);
  EXPECT_THAT(names(), ElementsAre(first));
}

TEST_F(KubernetesLeavingTest, GraceThatEndsWhileTheServerIsAwayWaitsForIt) {
  set("watch", false);
  start();
  asked();
  reply_recorded("pods_two.json");
  run(5s);
  asked();
  const std::string pod = events[0].substr(events[0].find("\"object\":") + 9);
  const std::string list = R"({"kind":"PodList","metadata":{"resourceVersion":"9"},"items":[)" +
                           pod.substr(0, pod.size() - 1) + "]}";
  reply(200, list);
  EXPECT_THAT(names(), ElementsAre(second));
  for (const Instant until = clock.now().mono + 1min; clock.now().mono < until; run(100ms)) {
    if (requests.empty()) continue;
    asked();
    fail("away");
  }
  EXPECT_EQ(last().kind, Pass::Kind::unknown);
  run(30s);
  asked();
  reply(200, list);
  EXPECT_EQ(last().kind, Pass::Kind::known_empty);
}

TEST_F(KubernetesLeavingTest, OneThatWasNeverAPeerDoesNotBecomeOne) {
  start();
  list_and_watch("pods.json");
  EXPECT_THAT(names(), ElementsAre(first, second));  // Not 10.48.36.5.
}

TEST_F(KubernetesLeavingTest, ANewPodIsAPeerWhenItRuns) {
  start();
  list_and_watch("pods_two.json");
  line(events[2]);
  run(50ms);
  EXPECT_THAT(names(), ElementsAre(first, second));
  line(events[3]);
  run(50ms);
  EXPECT_THAT(names(), ElementsAre(first, second, "test_basename@10.48.35.7"));
}

}  // namespace
}  // namespace muster::discovery
