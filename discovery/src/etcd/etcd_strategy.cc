// SPDX-License-Identifier: MIT
//
// The options of `etcd`.
#include "builtin_strategies.h"
#include "etcd/etcd_machine.h"
#include "http/http_url.h"

namespace muster::discovery {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t most_endpoints = 16;

void read_endpoints(Fields& options, EtcdMachine::Options& read) {
  read.endpoints = options.strings("endpoints", read.endpoints);
  if (read.endpoints.empty() || read.endpoints.size() > most_endpoints)
    options.reject("endpoints", "must be 1 to 16 URLs like https://10.0.0.1:2379");
  for (std::string& endpoint : read.endpoints) {
    while (endpoint.ends_with('/')) endpoint.pop_back();
    if (const auto url = HttpUrl::parse(endpoint); !url)
      options.reject("endpoints", "has one that cannot be used: " + url.error().text());
  }
}

void read_tls(Fields& options, EtcdMachine::Options& read) {
  const bool is_given = options.find("tls") != nullptr;
  Fields tls = options.fields("tls");
  read.ca_file = tls.string("ca_file");
  read.certificate_file = tls.string("certificate_file");
  read.key_file = tls.string("key_file");
  tls.finish();
  if (read.certificate_file.empty() != read.key_file.empty())
    options.reject("tls", "needs certificate_file and key_file, or neither");
  if (!is_given) return;
  for (const std::string& endpoint : read.endpoints)
    if (endpoint.starts_with("http://"))
      options.reject("tls", "is not used by " + endpoint.substr(0, 100) + ", which needs https://");
}

void read_user(Fields& options, EtcdMachine::Options& read) {
  if (!options.find("user")) return;
  Fields user = options.fields("user");
  if (user.require("name")) read.user = user.string("name");
  if (user.require("password_file")) read.password_file = user.string("password_file");
  user.finish();
}

StrategyRegistry::Make read_etcd(Fields& options) {
  EtcdMachine::Options read;
  read_endpoints(options, read);
  read.prefix = options.string("prefix", read.prefix);
  if (read.prefix.empty() || read.prefix.size() > 1000)
    options.reject("prefix", "must be 1 to 1000 bytes that all keys of this cluster begin with");
  read.lease = options.duration("lease", read.lease, 2s, 1h);
  read_tls(options, read);
  read_user(options, read);
  return [=](StrategySink& sink, const StrategyContext& context) {
    return std::make_unique<EtcdMachine>(read, context, sink);
  };
}

}  // namespace

void add_etcd_strategy(StrategyRegistry& registry) { registry.add("etcd", read_etcd); }

}  // namespace muster::discovery
