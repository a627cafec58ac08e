// SPDX-License-Identifier: MIT
// What flags and environment change in a Config, and the defaults that depend on other values.
#include <algorithm>
#include <charconv>
#include <sstream>

#include "config_text.h"
#include "muster/app/config.h"

namespace muster::app {
namespace {

/// Applies one override after the other; names each as the user typed it when it is wrong.
class Applier {
 public:
  Applier(Origin origin, Config& config, Problems& problems)
      : origin_(origin), config_(config), problems_(problems) {}

  void take_names(const Overrides& overrides) {
    if (overrides.name && overrides.sname)
      return reject("name", "and " + typed("sname") + " exclude each other");
    if (overrides.name) {
      if (overrides.name->find('@') == std::string::npos)
        return reject("name", "needs name@host; for a short name use --sname " + *overrides.name);
      take_name("name", NodeName::parse(*overrides.name));
    }
    if (!overrides.sname) return;
    auto name = parse_own_name(*overrides.sname);
    if (name && name->is_long())
      return reject("sname", "takes a short name; for " + name->text() + " use --name");
    take_name("sname", std::move(name));
  }

  void take_paths(const Overrides& overrides) {
    if (overrides.dir) config_.dir = expand_home(*overrides.dir);
    if (overrides.cookie_file) config_.cookie_file = expand_home(*overrides.cookie_file);
    if (overrides.password_file) config_.password_file = expand_home(*overrides.password_file);
  }

  void take_addresses(const Overrides& overrides) {
    if (overrides.bind) {
      auto bind = parse_endpoint(*overrides.bind);
      if (bind && bind->port == 0)
        config_.bind = bind->address;
      else
        reject("bind", "must be an address, not '" + overrides.bind->substr(0, 60) + "'");
    }
    if (overrides.link_port) {
      const auto range = node::PortRange::parse(*overrides.link_port);
      if (range)
        config_.link_port = *range;
      else
        reject("link-port", range.error().text());
    }
    // One flag sets a node apart: the Redis port moves along, whatever the file says.
    if (take_port("port", overrides.port, config_.http.port) && config_.redis)
      config_.redis->port = next(config_.http.port);
    std::uint16_t resp_port = 0;
    if (take_port("resp-port", overrides.resp_port, resp_port)) {
      if (!config_.redis) config_.redis = Endpoint{config_.http.address, 0};
      config_.redis->port = resp_port;
    }
  }

  void take_topology(const Overrides& overrides) {
    if (!overrides.topology) return;
    std::vector<std::string> names;
    for (auto& plan : config_.topologies) names.push_back(plan.name);
    if (std::ranges::find(names, *overrides.topology) == names.end())
      return reject("topology",
                    (config_.source.empty() ? "needs a file that has it: '"
                                            : "names no topology of " + config_.source + ": '") +
                        overrides.topology->substr(0, 60) + "'" +
                        did_you_mean(*overrides.topology, names));
    for (auto& plan : config_.topologies) plan.enabled = plan.name == *overrides.topology;
  }

  void take_level(const Overrides& overrides) {
    if (!overrides.log_level) return;
    const auto level = parse_level(*overrides.log_level);
    if (level)
      config_.log_level = *level;
    else
      reject("log-level", level.error().text());
  }

  void take_wait(const Overrides& overrides) {
    if (overrides.wait_for) take_wait_for(*overrides.wait_for);
    if (!overrides.wait_deadline) return;
    const auto deadline = parse_duration(*overrides.wait_deadline);
    if (deadline)
      config_.wait_deadline = *deadline;
    else
      reject("wait-deadline", deadline.error().text());
  }

  /// Where the Redis port is when nobody says; beside "any that is free" is any that is free.
  static std::uint16_t next(std::uint16_t port) {
    if (port == 0) return 0;
    return static_cast<std::uint16_t>(port == 65535 ? port - 1 : port + 1);
  }

 private:
  [[nodiscard]] std::string typed(std::string flag) const {
    if (origin_ == Origin::flag) return "--" + flag;
    for (char& c : flag) c = c == '-' ? '_' : static_cast<char>(c - 'a' + 'A');
    return "MUSTER_" + flag;
  }
  void reject(std::string flag, const std::string& what) {
    problems_.add(bad_input(typed(std::move(flag)) + " " + what));
  }
  /// "2", or "a@host,b@host".
  void take_wait_for(const std::string& text) {
    std::size_t count = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
    if (error == std::errc() && end == text.data() + text.size()) {
      config_.wait_for.peers = count;
      return;
    }
    std::istringstream words(text);
    for (std::string word; std::getline(words, word, ',');) {
      auto name = NodeName::parse(word);
      if (!name)
        return reject("wait-for", "is neither a number of peers nor names like a@host,b@host: " +
                                      name.error().text());
      config_.wait_for.names.push_back(std::move(*name));
    }
  }
  void take_name(std::string flag, Result<NodeName> name) {
    if (!name) return reject(std::move(flag), "is no node name: " + name.error().text());
    config_.name = std::move(*name);
  }
  bool take_port(const char* flag, const std::optional<std::string>& text, std::uint16_t& port) {
    if (!text) return false;
    const auto parsed = parse_port(*text);
    if (parsed)
      port = *parsed;
    else
      reject(flag, parsed.error().text());
    return bool(parsed);
  }

  Origin origin_;
  Config& config_;
  Problems& problems_;
};

void choose_bind(Config& config) {
  if (!config.bind.empty()) return;
  const std::string host(config.name.host());
  const auto address =
      parse_endpoint(host.find(':') == std::string::npos ? host : "[" + host + "]");
  config.bind = address && host != "localhost" ? address->address : "127.0.0.1";
}

}  // namespace

Overrides overrides_from_environment(const Lookup& lookup) {
  const auto get = [&](const char* variable) -> std::optional<std::string> {
    const char* value = lookup(variable);
    if (!value || *value == '\0') return std::nullopt;
    return std::string(value);
  };
  Overrides overrides;
  overrides.name = get("MUSTER_NAME");
  overrides.sname = get("MUSTER_SNAME");
  overrides.topology = get("MUSTER_TOPOLOGY");
  overrides.dir = get("MUSTER_DIR");
  overrides.bind = get("MUSTER_BIND");
  overrides.link_port = get("MUSTER_LINK_PORT");
  overrides.cookie_file = get("MUSTER_COOKIE_FILE");
  overrides.password_file = get("MUSTER_PASSWORD_FILE");
  overrides.log_level = get("MUSTER_LOG_LEVEL");
  overrides.port = get("MUSTER_PORT");
  overrides.resp_port = get("MUSTER_RESP_PORT");
  overrides.wait_for = get("MUSTER_WAIT_FOR");
  overrides.wait_deadline = get("MUSTER_WAIT_DEADLINE");
  return overrides;
}

void apply(const Overrides& overrides, Origin origin, Config& config, Problems& problems) {
  Applier applier(origin, config, problems);
  applier.take_names(overrides);
  applier.take_paths(overrides);
  applier.take_addresses(overrides);
  applier.take_topology(overrides);
  applier.take_level(overrides);
  applier.take_wait(overrides);
  config.allow_fault_injection |= overrides.allow_fault_injection;
  config.show_keys |= overrides.show_keys;
}

void finish(Config& config, const discovery::StrategyRegistry& registry, Problems& problems) {
  if (config.name.empty()) {
    auto name = NodeName::parse("muster@" + short_host_name());
    if (!name) return problems.add(name.error());
    config.name = std::move(*name);
  }
  if (config.dir.empty()) config.dir = std::filesystem::path("muster-data") / config.name.text();
  choose_bind(config);
  if (!config.redis) config.redis = Endpoint{config.http.address, Applier::next(config.http.port)};
  // Database 0 of the Redis port is the session table, wherever the file lists it.
  const auto others = std::stable_partition(
      config.tables.begin(), config.tables.end(),
      [](const cache::TableDefinition& table) { return table.name == "session"; });
  if (others == config.tables.begin()) config.tables.insert(others, cache::TableDefinition{});
  if (!config.source.empty()) return;
  auto plan = discovery::plan_topology("gossip", "gossip",
                                       Settings::map({{"multicast_if", config.bind}}), registry);
  if (plan)
    config.topologies.push_back(std::move(*plan));
  else
    problems.add(plan.error());
}

}  // namespace muster::app
