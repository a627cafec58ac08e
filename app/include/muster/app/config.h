// SPDX-License-Identifier: MIT
//
// The one file of a node and what overrides it: flag > environment > file > default.  Every section
// and every key is optional; every mistake of the file is reported with its place and the nearest
// valid name, all of them in one run.
//
//   Problems problems;
//   Config config = read_config(*Settings::load("muster.yaml"), StrategyRegistry(), problems);
//   if (!problems.empty()) return problems.error();
//   apply(overrides_from_environment(lookup), config, problems);
//
// Threads: values.  Secrets are files here, never values.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "muster/cache/definition.h"
#include "muster/discovery/log.h"
#include "muster/discovery/settings_reader.h"
#include "muster/discovery/strategy_registry.h"
#include "muster/discovery/topologies.h"
#include "muster/node/port_range.h"
#include "muster/unsplit/policy.h"

namespace muster::app {

struct Endpoint {
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;
  [[nodiscard]] std::string text() const;  ///< "127.0.0.1:4000", "[::1]:4000".
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};
/// The port stays 0 where the text is an address alone.
Result<Endpoint> parse_endpoint(std::string_view text);
/// 127.0.0.0/8, ::1, or the name localhost.
[[nodiscard]] bool is_loopback(std::string_view address);

enum class LogFormat { text, json };

struct Config {
  std::string source;  ///< The file, or empty.

  NodeName name;                      ///< Empty: `muster@<short host name>`; finish() fills it in.
  std::filesystem::path dir;          ///< Empty: ./muster-data/<full name>.
  std::filesystem::path cookie_file;  ///< Empty: ~/.muster.cookie.
  std::string bind;  ///< Empty: the host of the name if that is an address, else 127.0.0.1.
  node::PortRange link_port;
  bool allow_fault_injection = false;  ///< Flag only.

  std::vector<discovery::TopologyPlan> topologies;
  std::vector<NodeName> connect;
  discovery::Topologies::WaitFor wait_for;  ///< Flag only.
  Duration wait_deadline = std::chrono::seconds(30);
  std::vector<cache::TableDefinition> tables;  ///< `session` first, also where the file has none.

  bool unsplit = true;
  unsplit::FlushTables flush_tables;
  bool auto_initialize_cluster = true;

  Endpoint http{"127.0.0.1", 4000};
  std::optional<Endpoint> redis;  ///< Nothing: the port after http; finish() fills it in.
  bool serve_http = true;
  bool serve_redis = true;
  std::filesystem::path password_file;
  bool show_keys = false;

  Level log_level = Level::info;
  LogFormat log_format = LogFormat::text;
};

/// What flags and environment may say.
struct Overrides {
  std::optional<std::string> name, sname, topology, dir, bind, link_port, cookie_file,
      password_file, log_level, wait_for, wait_deadline;
  std::optional<std::string> port, resp_port;
  bool allow_fault_injection = false;
  bool show_keys = false;
};

/// MUSTER_NAME, MUSTER_SNAME, MUSTER_TOPOLOGY, MUSTER_DIR, MUSTER_BIND, MUSTER_LINK_PORT,
/// MUSTER_COOKIE_FILE, MUSTER_PASSWORD_FILE, MUSTER_LOG_LEVEL, MUSTER_PORT, MUSTER_RESP_PORT,
/// MUSTER_WAIT_FOR, MUSTER_WAIT_DEADLINE.
using Lookup = std::function<const char*(const char* variable)>;
[[nodiscard]] Overrides overrides_from_environment(const Lookup& lookup);

[[nodiscard]] Config read_config(const Settings& file, const discovery::StrategyRegistry& registry,
                                 Problems& problems);

/// `origin` turns "port" into what the user typed: "--port" or "MUSTER_PORT".
enum class Origin { flag, environment };
void apply(const Overrides& overrides, Origin origin, Config& config, Problems& problems);

/// Fills in the defaults that depend on others; without a file, the gossip topology as well.
void finish(Config& config, const discovery::StrategyRegistry& registry, Problems& problems);

/// The host name up to its first dot.
[[nodiscard]] std::string short_host_name();

}  // namespace muster::app
