// SPDX-License-Identifier: MIT
// `kubernetes`: what the API server refuses, a service account that is not right, bad options.
#include "discovery/kubernetes_world.h"

namespace muster::discovery {
namespace {

using namespace std::chrono_literals;
using test::KubernetesTest, test::recorded;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;

using KubernetesFailuresTest = KubernetesTest;

// ---- failures: the peers stay, the reason is said

TEST_F(KubernetesFailuresTest, ForbiddenNamesTheRuleToAddAndToWhom) {
  start();
  asked();
  reply(403, recorded("forbidden.json"));
  EXPECT_EQ(last().kind, Pass::Kind::unknown);
  EXPECT_EQ(last().reason,
            "https://cluster.localhost. forbids to list endpoints in namespace web (403: endpoints "
            "is forbidden: User \"system:serviceaccount:web:default\" cannot list resource "
            "\"endpoints\" in API group \"\" in the namespace \"web\"); it takes a Role with "
            "{apiGroups: [\"\"], resources: [endpoints], verbs: [list, watch]} bound to the "
            "service account web:default");
}

TEST_F(KubernetesFailuresTest, ForbiddenSlicesNameTheirGroup) {
  set("kubernetes_ip_lookup_mode", "endpointslices");
  start();
  asked();
  reply(403, "no JSON");
  EXPECT_EQ(last().reason,
            "https://cluster.localhost. forbids to list endpointslices in namespace web (403); it "
            "takes a Role with {apiGroups: [\"discovery.k8s.io\"], resources: [endpointslices], "
            "verbs: [list, watch]} bound to this pod's service account");
}

TEST_F(KubernetesFailuresTest, ATokenThatIsNotAcceptedIsNamedByItsFileAlone) {
  start();
  asked();
  reply(401, recorded("unauthorized.json"));
  EXPECT_EQ(last().kind, Pass::Kind::unknown);
  EXPECT_EQ(last().reason,
            "https://cluster.localhost. does not accept the token in "
            "/var/run/secrets/kubernetes.io/serviceaccount/token (401: Unauthorized)");
}

TEST_F(KubernetesFailuresTest, EveryFailureKeepsThePeersAndIsTriedAgain) {
  const std::vector<std::tuple<int, std::string, std::string>> failures{
      {500, recorded("internal_error.json"),
       "https://cluster.localhost. does not list endpoints in namespace web (500: Internal error "
       "occurred: etcdserver: request timed out)"},
      {503, "", "https://cluster.localhost. does not list endpoints in namespace web (503)"},
      {404, R"({"message":"the server could not find the requested resource"})",
       "https://cluster.localhost. does not list endpoints in namespace web (404: the server could "
       "not find the requested resource)"},
      {302, "", "https://cluster.localhost. does not list endpoints in namespace web (302)"},
      {200, "<html>",
       "https://cluster.localhost.: bad answer to a list of endpoints: it is not JSON"},
      {200, "[]",
       "https://cluster.localhost.: bad answer to a list of endpoints: it is not a JSON object"},
      {200, "{}",
       "https://cluster.localhost.: bad answer to a list of endpoints: it is no EndpointsList"},
      {200, recorded("forbidden.json"),
       "https://cluster.localhost.: bad answer to a list of endpoints: it is no EndpointsList but "
       "a Status"},
      {200, R"({"kind":"EndpointsList","items":{}})",
       "https://cluster.localhost.: bad answer to a list of endpoints: its items are no list"},
  };
  set("watch", false);
  start();
  asked();
  reply_recorded("endpoints.json");
  for (const auto& [status, body, reason] : failures) {
    SCOPED_TRACE(reason);
    run(30s);
    EXPECT_EQ(asked(), endpoints_url);
    reply(status, body);
    EXPECT_EQ(last().kind, Pass::Kind::unknown);
    EXPECT_THAT(last().reason, HasSubstr(reason));
  }
  run(30s);
  asked();
  fail("https://cluster.localhost.: timed out");
  EXPECT_EQ(last().reason, "https://cluster.localhost.: timed out");
  run(30s);
  asked();
  reply_recorded("endpoints.json");
  EXPECT_EQ(last().kind, Pass::Kind::list);
  EXPECT_EQ(counted("failures"), failures.size() + 1);
  EXPECT_THAT(sink.notes, IsEmpty()) << "the topology logs a change of an unknown pass";
}

TEST_F(KubernetesFailuresTest, FailuresAreTriedAgainWithBackoff) {
  start();
  std::vector<Duration> waits;
  for (int failure = 0; failure < 8; ++failure) {
    asked();
    fail("no");
    const Instant before = clock.now().mono;
    clock.set(machine->next_wake());
    waits.push_back(clock.now().mono - before);
    machine->wake(clock.now());
    answer_files();
  }
  EXPECT_GE(waits.front(), 500ms);
  EXPECT_LE(waits.front(), 1s);
  EXPECT_GE(waits.back(), 15s);
  EXPECT_LE(waits.back(), 30s);
}

TEST_F(KubernetesFailuresTest, SlowsDownAsLongAsItIsAskedTo) {
  start();
  asked();
  reply(429, recorded("too_many_requests.json"), 45s);
  EXPECT_THAT(last().reason, HasSubstr("asks to slow down (429: the server has received too many"));
  run(44s);
  EXPECT_TRUE(requests.empty());
  run(1s);
  EXPECT_EQ(asked(), endpoints_url);
}

TEST_F(KubernetesFailuresTest, NoServerMakesItWaitForHours) {
  start();
  asked();
  reply(503, "", 24h);
  run(5min);
  EXPECT_EQ(asked(), endpoints_url);
}

TEST_F(KubernetesFailuresTest, WhatTheServerSaysIsCutAndStaysOnOneLine) {
  start();
  asked();
  reply(500, R"({"message":"a\nb)" + std::string(10'000, 'x') + R"("})");
  EXPECT_THAT(last().reason, HasSubstr("(500: a bxxx"));
  EXPECT_LT(last().reason.size(), 500u);
}

// ---- the service account

TEST_F(KubernetesFailuresTest, AMissingAuthorityIsAnErrorAndNothingIsSent) {
  files.erase(account + std::string("ca.crt"));
  start();
  EXPECT_TRUE(requests.empty());
  EXPECT_EQ(last().kind, Pass::Kind::unknown);
  EXPECT_EQ(last().reason,
            "cannot read /var/run/secrets/kubernetes.io/serviceaccount/ca.crt; a pod finds its "
            "service account's token, ca.crt and namespace there "
            "(kubernetes_service_account_path)");
}

TEST_F(KubernetesFailuresTest, AnAuthorityWithoutCertificateIsAnError) {
  files[account + std::string("ca.crt")] = "\n";
  start();
  EXPECT_TRUE(requests.empty());
  EXPECT_THAT(last().reason, HasSubstr("serviceaccount/ca.crt holds no certificate"));
}

TEST_F(KubernetesFailuresTest, AMissingOrStrangeTokenIsAnErrorThatNamesItsFileOnly) {
  for (const std::string token : {"", " \n", "stolen one\r\nX-Other: 1"}) {
    SCOPED_TRACE(token);
    files[account + std::string("token")] = token;
    start();
    EXPECT_TRUE(requests.empty());
    EXPECT_THAT(last().reason, HasSubstr("serviceaccount/token holds no token"));
    EXPECT_THAT(last().reason, Not(HasSubstr("stolen")));
  }
}

TEST_F(KubernetesFailuresTest, WithoutANamespaceAnywhereItSaysWhereItLooked) {
  files.erase(account + std::string("namespace"));
  start();
  EXPECT_THAT(last().reason, HasSubstr("serviceaccount/namespace"));
  files[account + std::string("namespace")] = "../../x";
  run(2s);
  EXPECT_THAT(last().reason, HasSubstr("serviceaccount/namespace names no namespace"));
}

TEST_F(KubernetesFailuresTest, ReadsTheTokenAnewForEachList) {
  set("watch", false);
  set("kubernetes_service_account_path", "/sa");
  files = {{"/sa/token", "one"},
           {"/sa/ca.crt", "-----BEGIN CERTIFICATE-----"},
           {"/sa/namespace", "web"}};
  start();
  asked();
  EXPECT_THAT(request.headers, Contains(Pair("Authorization", "Bearer one")));
  reply_recorded("endpoints.json");
  files["/sa/token"] = "two";
  files["/sa/ca.crt"] = "-----BEGIN CERTIFICATE----- another";
  run(5s);
  asked();
  EXPECT_THAT(request.headers, Contains(Pair("Authorization", "Bearer two")));
  EXPECT_THAT(request.trusted, HasSubstr("another"));
}

// ---- options

class KubernetesOptionsTest : public KubernetesTest {
 protected:
  std::string problem() {
    const auto plan = plan_topology("k", "kubernetes", options, StrategyRegistry());
    return plan ? "none" : plan.error().text();
  }
};

TEST_F(KubernetesOptionsTest, BasenameAndSelectorAreRequired) {
  options = Settings::map();
  EXPECT_THAT(problem(), HasSubstr("k.config needs 'kubernetes_node_basename'"));
  EXPECT_THAT(problem(), HasSubstr("k.config needs 'kubernetes_selector'"));
}

TEST_F(KubernetesOptionsTest, HostnamesNeedAService) {
  set("mode", "hostname");
  EXPECT_EQ(problem(),
            "k.config.kubernetes_service_name is needed in mode hostname: the headless service of "
            "the stateful set");
}

TEST_F(KubernetesOptionsTest, AMisspelledKeyOrChoiceNamesTheNearest) {
  set("poll_interval", 5s);
  EXPECT_THAT(problem(), HasSubstr("did you mean 'polling_interval'?"));
  options = Settings::map(
      {{"kubernetes_node_basename", "a"}, {"kubernetes_selector", "x"}, {"mode", "hostnames"}});
  EXPECT_THAT(problem(), HasSubstr("did you mean 'hostname'?"));
}

TEST_F(KubernetesOptionsTest, TheTokenIsNeverSentInTheClear) {
  set("kubernetes_master", "http://10.0.0.1:8080");
  EXPECT_THAT(problem(),
              HasSubstr("must be https: the token would cross the network in the clear"));
}

TEST_F(KubernetesOptionsTest, BadOnesAreSaidAtLoad) {
  for (const auto& [key, value, words] :
       std::vector<std::tuple<std::string, std::string, std::string>>{
           {"kubernetes_master", "10.0.0.1:99999", "must be a host, host:port"},
           {"kubernetes_master", "ftp://10.0.0.1", "must be a URL like"},
           {"kubernetes_master", "https://user@10.0.0.1", "must be a URL like"},
           {"kubernetes_master", "https://10.0.0.1/?x=y", "must be a URL like"},
           {"kubernetes_master", "[fd00::1", "must be a host, host:port"},
           {"kubernetes_node_basename", "a b", "must be 1 to 64 letters"},
           {"kubernetes_namespace", "Web", "must be one namespace"},
           {"kubernetes_selector", "", "must be a label selector"},
           {"kubernetes_cluster_name", "a/b", "must make a host name"},
           {"polling_interval", "0", "from 10ms to 1h"}}) {
    SCOPED_TRACE(value);
    const Settings before = options;
    set(key, value);
    EXPECT_THAT(problem(), HasSubstr(words));
    options = before;
  }
  EXPECT_EQ(problem(), "none");
}

}  // namespace
}  // namespace muster::discovery
