// SPDX-License-Identifier: MIT
//
// The options of `kubernetes`: libcluster's, and `watch`.
#include <algorithm>
#include <cstdlib>

#include "builtin_strategies.h"
#include "kubernetes/kubernetes_machine.h"

namespace muster::discovery {
namespace {

using namespace std::chrono_literals;
using kubernetes::Naming;
using kubernetes::Resource;
using Make = StrategyRegistry::Make;

constexpr std::size_t most_spaces = 64;

/// Without dots at its ends: "cluster.local." is as good as "cluster.local".
std::string domain_of(const std::string& cluster_name) {
  const char* configured = std::getenv("CLUSTER_DOMAIN");  // Once, while the file is read.
  std::string domain = configured && *configured ? configured : cluster_name + ".local";
  while (domain.ends_with('.')) domain.pop_back();
  while (domain.starts_with('.')) domain.erase(0, 1);
  return domain;
}

bool is_space(const std::string& text) {
  return !text.empty() && text.size() <= 63 && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

std::vector<std::string> read_spaces(Fields& options) {
  std::vector<std::string> spaces = options.strings("kubernetes_namespace");
  for (const std::string& space : spaces)
    if (!is_space(space))
      options.reject("kubernetes_namespace",
                     "must be one namespace or a list of them, not '" + space.substr(0, 60) + "'");
  std::ranges::sort(spaces);
  spaces.erase(std::unique(spaces.begin(), spaces.end()), spaces.end());
  if (spaces.size() > most_spaces)
    options.reject("kubernetes_namespace", "must name at most 64 namespaces");
  return spaces;
}

Naming read_naming(Fields& options) {
  Naming naming;
  naming.mode = options.choice(
      "mode", Naming::Mode::ip,
      {{"ip", Naming::Mode::ip}, {"dns", Naming::Mode::dns}, {"hostname", Naming::Mode::hostname}});
  options.require("kubernetes_node_basename");
  naming.base = options.string("kubernetes_node_basename");
  naming.service = options.string("kubernetes_service_name");
  naming.domain = domain_of(options.string("kubernetes_cluster_name", "cluster"));
  if (naming.mode == Naming::Mode::hostname && naming.service.empty())
    options.reject("kubernetes_service_name",
                   "is needed in mode hostname: the headless service of the stateful set");
  if (options.find("kubernetes_node_basename") && !NodeName::parse(naming.base + "@h"))
    options.reject(
        "kubernetes_node_basename",
        "must be 1 to 64 letters, digits, '_' or '-', as left of the @ of a node's name");
  if (!NodeName::parse("a@h." + naming.service + ".s.svc." + naming.domain))
    options.reject(
        naming.service.empty() ? "kubernetes_cluster_name" : "kubernetes_service_name",
        "and the cluster's domain '" + naming.domain.substr(0, 60) + "' must make a host name");
  return naming;
}

std::string read_selector(Fields& options) {
  options.require("kubernetes_selector");
  std::string selector = options.string("kubernetes_selector");
  if (options.find("kubernetes_selector") && (selector.empty() || selector.size() > 1000))
    options.reject("kubernetes_selector", "must be a label selector like app=muster");
  return selector;
}

Make read_kubernetes(Fields& options) {
  KubernetesMachine::Options read;
  read.naming = read_naming(options);
  read.spaces = read_spaces(options);
  auto& reading = read.reading;
  reading.selector = read_selector(options);
  reading.resource = options.choice("kubernetes_ip_lookup_mode", Resource::endpoints,
                                    {{"endpoints", Resource::endpoints},
                                     {"pods", Resource::pods},
                                     {"endpointslices", Resource::endpointslices}});
  reading.cached = options.boolean("kubernetes_use_cached_resources", false);
  reading.watch = options.boolean("watch", true);
  reading.polling_interval = options.duration("polling_interval", 5s, 10ms, 1h);
  reading.account = options.string("kubernetes_service_account_path",
                                   "/var/run/secrets/kubernetes.io/serviceaccount");
  const auto base = kubernetes::api_base(
      options.string("kubernetes_master", "kubernetes.default.svc"), read.naming.domain);
  if (base)
    reading.base = *base;
  else
    options.reject("kubernetes_master", base.error().text());
  return [=](StrategySink& sink, const StrategyContext& context) {
    return std::make_unique<KubernetesMachine>(read, context, sink);
  };
}

}  // namespace

void add_kubernetes_strategy(StrategyRegistry& registry) {
  registry.add("kubernetes", read_kubernetes);
}

}  // namespace muster::discovery
