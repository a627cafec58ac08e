// SPDX-License-Identifier: MIT
// `kubernetes`: exact requests, names, lists.
#include <cstdlib>

#include "discovery/kubernetes_world.h"

namespace muster::discovery {
namespace {

using namespace std::chrono_literals;
using test::KubernetesTest, test::names_of, test::recorded;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;

// ---- libcluster's own tests

TEST_F(KubernetesTest, C29ListsEndpointsByAddress) {
  start();
  EXPECT_EQ(asked(), endpoints_url);
  reply_recorded("endpoints.json");
  EXPECT_EQ(last().kind, Pass::Kind::list);
  EXPECT_TRUE(last().disconnects);
  EXPECT_THAT(names(), ElementsAre("test_basename@10.48.33.136", "test_basename@10.48.34.21"));
  EXPECT_EQ(last().peers.begin()->address, "10.48.33.136");
  EXPECT_EQ(last().peers.begin()->port, 0);
}

TEST_F(KubernetesTest, C30AsksTheNamespaceThatIsConfigured) {
  set("kubernetes_namespace", "staging");
  files.erase(account + std::string("namespace"));
  start();
  EXPECT_EQ(asked(),
            "https://cluster.localhost./api/v1/namespaces/staging/endpoints?labelSelector=app%3D"
            "test_selector&limit=500");
  reply_recorded("endpoints.json");
  EXPECT_THAT(names(), ElementsAre("test_basename@10.48.33.136", "test_basename@10.48.34.21"));
}

TEST_F(KubernetesTest, C31CachedReadsAskForResourceVersion0) {
  set("kubernetes_use_cached_resources", true);
  start();
  EXPECT_EQ(asked(),
            "https://cluster.localhost./api/v1/namespaces/web/endpoints?resourceVersion=0&"
            "labelSelector=app%3Dtest_selector");
  reply_recorded("endpoints.json");
  EXPECT_EQ(names().size(), 2u);
}

TEST_F(KubernetesTest, C32OtherReadsDoNot) {
  set("kubernetes_use_cached_resources", false);
  start();
  EXPECT_EQ(asked(), endpoints_url);
}

TEST_F(KubernetesTest, C33NamesByDns) {
  set("mode", "dns");
  set("kubernetes_cluster_name", "my_cluster");
  start();
  asked();
  reply_recorded("endpoints.json");
  EXPECT_THAT(names(), ElementsAre("test_basename@10-48-33-136.web.pod.my_cluster.local",
                                   "test_basename@10-48-34-21.web.pod.my_cluster.local"));
  EXPECT_EQ(last().peers.begin()->address, "10.48.33.136");
}

TEST_F(KubernetesTest, C34NamesByHostname) {
  set("mode", "hostname");
  set("kubernetes_service_name", "my_service");
  set("kubernetes_cluster_name", "my_cluster");
  start();
  asked();
  reply_recorded("endpoints.json");
  EXPECT_THAT(names(),
              ElementsAre("test_basename@my-hostname-0.my_service.web.svc.my_cluster.local",
                          "test_basename@my-hostname-1.my_service.web.svc.my_cluster.local"));
}

TEST_F(KubernetesTest, C35PodsByHostname) {
  set("mode", "hostname");
  set("kubernetes_ip_lookup_mode", "pods");
  set("kubernetes_service_name", "my_service");
  set("kubernetes_cluster_name", "my_cluster");
  start();
  EXPECT_EQ(asked(),
            "https://cluster.localhost./api/v1/namespaces/web/pods?labelSelector=app%3D"
            "test_selector&limit=500");
  reply_recorded("pods_two.json");
  EXPECT_THAT(names(),
              ElementsAre("test_basename@my-hostname-0.my_service.web.svc.my_cluster.local",
                          "test_basename@my-hostname-1.my_service.web.svc.my_cluster.local"));
}

TEST_F(KubernetesTest, C36PodsByAddress) {
  set("kubernetes_ip_lookup_mode", "pods");
  start();
  asked();
  reply_recorded("pods_two.json");
  EXPECT_THAT(names(), ElementsAre("test_basename@10.48.33.136", "test_basename@10.48.34.21"));
}

TEST_F(KubernetesTest, C37PodsFromTheCache) {
  set("kubernetes_ip_lookup_mode", "pods");
  set("kubernetes_use_cached_resources", true);
  start();
  EXPECT_EQ(asked(),
            "https://cluster.localhost./api/v1/namespaces/web/pods?resourceVersion=0&"
            "labelSelector=app%3Dtest_selector");
}

TEST_F(KubernetesTest, C38PodsByDnsInTheDefaultDomain) {
  set("mode", "dns");
  set("kubernetes_ip_lookup_mode", "pods");
  start();
  asked();
  reply_recorded("pods_two.json");
  EXPECT_THAT(names(), ElementsAre("test_basename@10-48-33-136.web.pod.cluster.local",
                                   "test_basename@10-48-34-21.web.pod.cluster.local"));
}

// ---- requests

TEST_F(KubernetesTest, AsksEndpointSlicesInTheirGroup) {
  set("kubernetes_ip_lookup_mode", "endpointslices");
  start();
  EXPECT_EQ(asked(),
            "https://cluster.localhost./apis/discovery.k8s.io/v1/namespaces/web/endpointslices?"
            "labelSelector=app%3Dtest_selector&limit=500");
}

TEST_F(KubernetesTest, SendsTheTokenAndTrustsTheClustersAuthorityAlone) {
  start();
  asked();
  EXPECT_THAT(request.headers, ElementsAre(Pair("Accept", "application/json"),
                                           Pair("Authorization", "Bearer a-token")));
  EXPECT_THAT(request.trusted, HasSubstr("BEGIN CERTIFICATE"));
  EXPECT_EQ(request.method, "GET");
  EXPECT_EQ(request.within, 15s);
  EXPECT_FALSE(request.stream);
}

TEST_F(KubernetesTest, TheMasterMayBeWrittenInManyWays) {
  const std::string path =
      "/api/v1/namespaces/web/endpoints?labelSelector=a%20in%20%28b%2Cc%29&limit=500";
  set("kubernetes_selector", "a in (b,c)");
  const std::vector<std::pair<std::string, std::string>> ways{
      {"kubernetes.default.svc", "https://kubernetes.default.svc.cluster.local"},
      {"kubernetes.default.svc.cluster.local", "https://kubernetes.default.svc.cluster.local"},
      {"kubernetes", "https://kubernetes.cluster.local"},
      {"api.example.com.", "https://api.example.com."},
      {"api.example.com:6443", "https://api.example.com:6443"},
      {"10.0.0.1", "https://10.0.0.1"},
      {"10.0.0.1:6443", "https://10.0.0.1:6443"},
      {"[fd00::1]:6443", "https://[fd00::1]:6443"},
      {"[fd00::1]", "https://[fd00::1]"},
      {"fd00:0::1", "https://[fd00::1]"},
      {"https://proxy.example.com:8443/k8s/clusters/c-1/",
       "https://proxy.example.com:8443/k8s/clusters/c-1"},
      {"https://[fd00::1]:6443", "https://[fd00::1]:6443"},
  };
  for (const auto& [master, base] : ways) {
    SCOPED_TRACE(master);
    set("kubernetes_master", master);
    requests.clear();
    start();
    EXPECT_EQ(asked(), base + path);
  }
}

TEST_F(KubernetesTest, WithoutAMasterItAsksTheClustersOwn) {
  options = Settings::map({{"kubernetes_node_basename", "a"}, {"kubernetes_selector", "x=y"}});
  start();
  EXPECT_EQ(asked(),
            "https://kubernetes.default.svc.cluster.local/api/v1/namespaces/web/endpoints?"
            "labelSelector=x%3Dy&limit=500");
}

TEST_F(KubernetesTest, ClusterDomainFromTheEnvironmentCountsForUrlAndNamesAlike) {
  set("kubernetes_master", "kubernetes.default.svc");
  set("kubernetes_cluster_name", "ignored");
  set("mode", "dns");
  ASSERT_EQ(setenv("CLUSTER_DOMAIN", "k8s.example.com.", 1), 0);
  start();
  ASSERT_EQ(unsetenv("CLUSTER_DOMAIN"), 0);
  EXPECT_THAT(asked(), HasSubstr("https://kubernetes.default.svc.k8s.example.com/api/"));
  reply_recorded("endpoints.json");
  EXPECT_THAT(names(), Contains("test_basename@10-48-33-136.web.pod.k8s.example.com"));
}

TEST_F(KubernetesTest, AProxyOnLoopbackNeedsNoTokenAndGetsNone) {
  set("kubernetes_master", "http://127.0.0.1:8001");
  set("kubernetes_namespace", "web");
  files.clear();
  start();
  EXPECT_THAT(asked(), HasSubstr("http://127.0.0.1:8001/api/v1/namespaces/web/endpoints?"));
  EXPECT_THAT(request.headers, ElementsAre(Pair("Accept", "application/json")));
}

TEST_F(KubernetesTest, LongListsComeInPages) {
  start();
  asked();
  reply_recorded("endpoints_page_1.json");
  EXPECT_TRUE(sink.passes.empty());
  EXPECT_EQ(asked(),
            std::string(endpoints_url) +
                "&continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MTg0NDY3LCJzdGFydCI6Im15LXNlcnZpY2Ut"
                "YVx1MDAwMCJ9%3D%3D");
  reply_recorded("endpoints_page_2.json");
  EXPECT_THAT(names(), ElementsAre("test_basename@10.48.33.136", "test_basename@10.48.34.21"));
  EXPECT_EQ(counted("lists"), 1u);
}

TEST_F(KubernetesTest, PagesOfACachedListAreFollowedToo) {
  set("kubernetes_use_cached_resources", true);
  start();
  asked();
  reply_recorded("endpoints_page_1.json");
  const std::string second = asked();
  EXPECT_THAT(second, HasSubstr("&continue="));
  EXPECT_THAT(second, Not(HasSubstr("resourceVersion")));
}

TEST_F(KubernetesTest, PagesThatExpiredAreListedFromTheStart) {
  start();
  asked();
  reply_recorded("endpoints_page_1.json");
  asked();
  reply(410, recorded("expired.json"));
  EXPECT_TRUE(sink.passes.empty());
  run(2s);
  EXPECT_EQ(asked(), endpoints_url);
  reply_recorded("endpoints_page_2.json");
  EXPECT_THAT(names(), ElementsAre("test_basename@10.48.34.21"));
}

TEST_F(KubernetesTest, AListWithoutEndIsGivenUp) {
  start();
  for (int page = 0; page < 100; ++page) {
    asked();
    reply_recorded("endpoints_page_1.json");
  }
  asked();
  reply_recorded("endpoints_page_1.json");
  EXPECT_TRUE(requests.empty());
  EXPECT_THAT(last().reason, HasSubstr("more than 10000 addresses"));
}

// ---- what counts as a peer

TEST_F(KubernetesTest, OfPodsOnlyThoseThatRunAndStayArePeers) {
  set("kubernetes_ip_lookup_mode", "pods");
  start();
  asked();
  reply_recorded("pods.json");  // Ready, not ready, pending, succeeded, failed, being deleted.
  EXPECT_THAT(names(), ElementsAre("test_basename@10.48.33.136", "test_basename@10.48.34.21"));
  EXPECT_EQ(counted("malformed"), 0u);
}

TEST_F(KubernetesTest, OfSlicesThoseThatAreReadyOrDoNotSayArePeersOnceEach) {
  set("kubernetes_ip_lookup_mode", "endpointslices");
  start();
  asked();
  reply_recorded("endpointslices.json");
  EXPECT_THAT(names(), ElementsAre("test_basename@10.48.33.136", "test_basename@10.48.34.21",
                                   "test_basename@10.48.36.4"));
  EXPECT_EQ(counted("malformed"), 1u);  // The slice of names.
}

TEST_F(KubernetesTest, OfAPodWithTwoFamiliesTheOneOfThisNodeCounts) {
  set("kubernetes_ip_lookup_mode", "endpointslices");
  start("test_basename@fd00:10:48:99::1");
  asked();
  reply_recorded("endpointslices.json");
  EXPECT_THAT(names(), ElementsAre("test_basename@10.48.36.4", "test_basename@fd00:10:48:33::88",
                                   "test_basename@fd00:10:48:34::15"));
}

TEST_F(KubernetesTest, IPv6IsWrittenWithDashesInDnsNames) {
  set("kubernetes_ip_lookup_mode", "endpointslices");
  set("mode", "dns");
  start("test_basename@fd00-10-48-99--1.web.pod.cluster.local");
  asked();
  const std::string slice =
      R"({"kind":"EndpointSliceList","metadata":{"resourceVersion":"7"},"items":[{"metadata":{)"
      R"("name":"s"},"addressType":"IPv6","endpoints":[{"addresses":["fd00:10:48:33:0::88"]}]}]})";
  reply(200, slice);
  EXPECT_THAT(names(), ElementsAre("test_basename@fd00-10-48-33--88.web.pod.cluster.local"));
}

TEST_F(KubernetesTest, ItsOwnNameIsNotListed) {
  start("test_basename@10.48.33.136");
  asked();
  reply_recorded("endpoints.json");
  EXPECT_THAT(names(), ElementsAre("test_basename@10.48.34.21"));
}

TEST_F(KubernetesTest, WhatIsMalformedIsCountedAndSkipped) {
  start();
  asked();
  reply_recorded("endpoints_odd.json");
  EXPECT_THAT(names(), ElementsAre("test_basename@10.48.33.136", "test_basename@10.48.36.9",
                                   "test_basename@fd00:10:48::9"));
  EXPECT_EQ(counted("malformed"), 4u);
  EXPECT_THAT(sink.notes, IsEmpty());
}

TEST_F(KubernetesTest, InHostnameModePodsWithoutOneAreSkippedAndThatIsSaidOnce) {
  set("mode", "hostname");
  set("kubernetes_service_name", "my-service");
  set("watch", false);
  start();
  const std::string list =
      R"({"kind":"EndpointsList","metadata":{},"items":[{"metadata":{"name":"e"},"subsets":[)"
      R"({"addresses":[{"ip":"10.0.0.1"},{"ip":"10.0.0.2"}]}]}]})";
  for (int poll = 0; poll < 3; ++poll) {
    asked();
    reply(200, list);
    EXPECT_EQ(last().kind, Pass::Kind::known_empty);
    run(5s);
  }
  EXPECT_EQ(counted("unnamed"), 2u);
  EXPECT_THAT(sink.notes, ElementsAre(HasSubstr("no pod has a host name")));
}

TEST_F(KubernetesTest, AnEmptyListIsKnownEmptyAndExplained) {
  set("watch", false);
  start();
  for (int poll = 0; poll < 3; ++poll) {
    asked();
    reply_recorded("endpoints_none.json");
    EXPECT_EQ(last().kind, Pass::Kind::known_empty);
    run(5s);
  }
  EXPECT_THAT(
      sink.notes,
      ElementsAre("no endpoints match the selector 'app=test_selector'; it is compared with "
                  "the labels of the Service, not with those of its pods"));
}

// ---- polling

TEST_F(KubernetesTest, WithoutWatchItListsEveryIntervalAfterTheAnswer) {
  set("watch", false);
  set("polling_interval", 2s);
  start();
  EXPECT_EQ(asked(), endpoints_url);
  reply_recorded("endpoints.json");
  EXPECT_TRUE(requests.empty());
  run(1999ms);
  EXPECT_TRUE(requests.empty());
  run(1ms);
  EXPECT_EQ(asked(), endpoints_url);
  reply_recorded("endpoints_page_2.json");
  EXPECT_THAT(names(), ElementsAre("test_basename@10.48.34.21"));
  EXPECT_EQ(counted("lists"), 2u);
}

TEST_F(KubernetesTest, ThePassSaysHowLongTheListTook) {
  set("watch", false);
  start();
  asked();
  run(70ms);
  reply_recorded("endpoints.json");
  EXPECT_EQ(last().took, 70ms);
}

TEST_F(KubernetesTest, SeveralNamespacesMakeOneList) {
  set("kubernetes_namespace", Settings::list({"blue", "green"}));
  start();
  EXPECT_THAT(asked(), HasSubstr("/namespaces/blue/endpoints?"));
  reply_recorded("endpoints_page_1.json");
  EXPECT_TRUE(sink.passes.empty()) << "the other half is not known yet";
  EXPECT_THAT(asked(), HasSubstr("/namespaces/green/endpoints?"));
  const auto green = id;
  asked();  // The second page of blue.
  reply_recorded("endpoints_page_2.json");
  EXPECT_TRUE(sink.passes.empty());
  id = green;
  reply(200, R"({"kind":"EndpointsList","metadata":{"resourceVersion":"1"},"items":[{"metadata":{)"
             R"("name":"e"},"subsets":[{"addresses":[{"ip":"10.0.0.1"}]}]}]})");
  EXPECT_THAT(names(), ElementsAre("test_basename@10.0.0.1", "test_basename@10.48.33.136",
                                   "test_basename@10.48.34.21"));
}

TEST_F(KubernetesTest, OneNamespaceThatFailsMakesAllUnknown) {
  set("kubernetes_namespace", Settings::list({"blue", "green"}));
  set("watch", false);
  start();
  asked();
  reply_recorded("endpoints.json");
  asked();
  reply(403, recorded("forbidden.json"));
  EXPECT_EQ(last().kind, Pass::Kind::unknown);
  EXPECT_THAT(last().reason, HasSubstr("in namespace green"));
  run(1s);
  asked();
  reply_recorded("endpoints_none.json");
  EXPECT_THAT(names(), ElementsAre("test_basename@10.48.33.136", "test_basename@10.48.34.21"));
}

}  // namespace
}  // namespace muster::discovery
