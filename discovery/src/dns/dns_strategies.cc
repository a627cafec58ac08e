// SPDX-License-Identifier: MIT
//
// The options of `dns_poll`, `dns_srv`, `kubernetes_dns` and `kubernetes_dns_srv`.
#include <cstdlib>

#include "builtin_strategies.h"
#include "dns/dns_machine.h"
#include "dns/dns_wire.h"

namespace muster::discovery {
namespace {

using namespace std::chrono_literals;
using Make = StrategyRegistry::Make;

constexpr std::size_t most_servers = 8;
constexpr Duration lookup_deadline = 5s;

/// A required text that passes `problem_of`.
template <class ProblemOf>
std::string read_text(Fields& options, std::string_view key, ProblemOf problem_of) {
  if (!options.require(key)) return {};
  const Settings* value = options.find(key);
  std::string text = options.string(key);
  if (value->kind() != Settings::Kind::scalar) return {};
  if (const std::string problem = problem_of(text); !problem.empty())
    options.reject(key, problem + ", not '" + text.substr(0, 60) + "'");
  return text;
}

std::string read_name(Fields& options, std::string_view key) {
  return read_text(options, key, dns_name_problem);
}

std::string read_basename(Fields& options, std::string_view key) {
  return read_text(options, key, [](const std::string& text) {
    return NodeName::parse(text + "@h") ? "" : "needs 1 to 64 letters, digits, '_' and '-'";
  });
}

std::vector<std::string> read_servers(Fields& options) {
  std::vector<std::string> servers = options.strings("resolver");
  const auto check = [&](const Settings& item) {
    if (item.kind() != Settings::Kind::scalar) return;  // strings() has said so.
    if (const auto server = parse_dns_server(item.text()); !server)
      options.problems().add(item, options.path_of("resolver") + ": " + server.error().text());
  };
  const Settings* value = options.find("resolver");
  if (value) check(*value);
  if (value)
    for (const Settings& item : value->items()) check(item);
  if (servers.size() > most_servers)
    options.reject("resolver", "may name " + std::to_string(most_servers) + " servers at most");
  return servers;
}

DnsMachine::Options read_common(Fields& options, LookUp::Kind kind) {
  DnsMachine::Options read;
  read.question.kind = kind;
  read.question.servers = read_servers(options);
  read.question.within = lookup_deadline;
  read.polling_interval = options.duration("polling_interval", read.polling_interval, 10ms, 24h);
  return read;
}

Make make_of(const DnsMachine::Options& read) {
  return [=](StrategySink& sink, const StrategyContext& context) {
    return std::make_unique<DnsMachine>(read, context, sink);
  };
}

Make read_dns(Fields& options, LookUp::Kind kind) {
  DnsMachine::Options read = read_common(options, kind);
  read.question.name = read_name(options, "query");
  read.question.search = options.boolean("search", false);
  read.node_basename = read_basename(options, "node_basename");
  return make_of(read);
}

Make read_kubernetes_dns(Fields& options) {
  DnsMachine::Options read = read_common(options, LookUp::Kind::ipv4);
  read.question.name = read_name(options, "service");
  read.question.search = true;
  read.node_basename = read_basename(options, "application_name");
  return make_of(read);
}

Make read_kubernetes_dns_srv(Fields& options) {
  DnsMachine::Options read = read_common(options, LookUp::Kind::services);
  const char* set = std::getenv("CLUSTER_DOMAIN");
  const std::string domain = set && *set ? set : "cluster.local.";
  const std::string service = read_name(options, "service");
  const std::string name_space = read_name(options, "namespace");
  read.question.name = service + "." + name_space + ".svc." + domain;
  if (const std::string problem = dns_name_problem(domain); !problem.empty())
    options.reject("service", "cannot be looked up: CLUSTER_DOMAIN " + problem + ", not '" +
                                  domain.substr(0, 60) + "'");
  read.node_basename = read_basename(options, "application_name");
  // A service's ports are what its pods serve to others; a node's own is at its port mapper.
  read.use_ports = false;
  read.question.target_addresses = false;
  return make_of(read);
}

}  // namespace

void add_dns_strategies(StrategyRegistry& registry) {
  registry.add("dns_poll",
               [](Fields& options) { return read_dns(options, LookUp::Kind::addresses); });
  registry.add("dns_srv",
               [](Fields& options) { return read_dns(options, LookUp::Kind::services); });
  registry.add("kubernetes_dns", read_kubernetes_dns);
  registry.add("kubernetes_dns_srv", read_kubernetes_dns_srv);
}

}  // namespace muster::discovery
