// SPDX-License-Identifier: MIT
// The sections of the file.  What overrides them is in config_overrides.cc.
#include "muster/app/config.h"

#include <algorithm>

#include "config_text.h"

namespace muster::app {
namespace {

using namespace std::chrono_literals;

/// Reads a text by one of the parsers of config_text.h; absent is nothing.
template <class T>
std::optional<T> read(Fields& fields, std::string_view key, Result<T> (*parse)(std::string_view)) {
  if (!fields.find(key)) return std::nullopt;
  const std::string text = fields.string(key);
  if (text.empty()) return std::nullopt;  // Reported by the getter, or an empty text.
  auto parsed = parse(text);
  if (parsed) return std::move(*parsed);
  fields.reject(key, parsed.error().text());
  return std::nullopt;
}

void read_node(Fields fields, Config& config) {
  if (fields.find("name")) {
    auto name = parse_own_name(fields.string("name"));
    if (name)
      config.name = std::move(*name);
    else
      fields.reject("name", "is no node name: " + name.error().text());
  }
  config.dir = expand_home(fields.string("dir"));
  config.cookie_file = expand_home(fields.string("cookie_file"));
  if (auto bind = read(fields, "bind", parse_endpoint)) {
    config.bind = bind->address;
    if (bind->port != 0) fields.reject("bind", "must be an address without a port");
  }
  if (auto ports = read(fields, "link_port", node::PortRange::parse)) config.link_port = *ports;
  fields.finish();
}

/// The entry of the list that reads so, or the list itself.
const Settings& entry_of(const Settings& list, const std::string& text) {
  for (const Settings& item : list.items())
    if (item.kind() == Settings::Kind::scalar && item.text() == text) return item;
  return list;
}

std::vector<NodeName> read_names(Fields& fields, std::string_view key) {
  std::vector<NodeName> names;
  for (const std::string& text : fields.strings(key)) {
    auto name = NodeName::parse(text);
    if (name)
      names.push_back(std::move(*name));
    else
      fields.problems().add(entry_of(*fields.find(key), text),
                            fields.path_of(key) + " holds no node name: " + name.error().text());
  }
  return names;
}

bool is_table_name(std::string_view name) {
  return !name.empty() && name.size() <= 32 && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
}

cache::TableDefinition read_table(std::string name, Fields fields) {
  using cache::Acknowledge, cache::Durability, cache::OnSplit, cache::Reuse, cache::Storage;
  static constexpr std::pair<std::string_view, Storage> storages[] = {
      {"ram_copies", Storage::ram_copies},
      {"disc_copies", Storage::disc_copies},
      {"disc_only_copies", Storage::disc_only_copies}};
  static constexpr std::pair<std::string_view, Acknowledge> writes[] = {
      {"sync", Acknowledge::sync},
      {"async", Acknowledge::async},
      {"majority", Acknowledge::majority},
      {"local", Acknowledge::local}};
  static constexpr std::pair<std::string_view, Durability> durabilities[] = {
      {"async", Durability::async}, {"sync", Durability::sync}};
  static constexpr std::pair<std::string_view, OnSplit> on_splits[] = {
      {"automatic", OnSplit::automatic}, {"oldest", OnSplit::oldest},     {"merge", OnSplit::merge},
      {"largest", OnSplit::largest},     {"majority", OnSplit::majority}, {"none", OnSplit::none},
      {"custom", OnSplit::custom}};
  static constexpr std::pair<std::string_view, Reuse> reuses[] = {{"always", Reuse::always},
                                                                  {"never", Reuse::never}};
  cache::TableDefinition table;
  table.name = std::move(name);
  table.storage = fields.choice("storage", table.storage, storages);
  if (fields.find("ttl")) table.ttl = fields.duration("ttl", 30min, 1ms);
  if (fields.find("max_ttl")) table.max_ttl = fields.duration("max_ttl", 24h, 1ms);
  table.writes = fields.choice("writes", table.writes, writes);
  table.durability = fields.choice("durability", table.durability, durabilities);
  table.copies = read_names(fields, "copies");
  table.local_content = fields.boolean("local_content", table.local_content);
  table.majority = fields.boolean("majority", table.majority);
  table.on_split = fields.choice("on_split", table.on_split, on_splits);
  table.reuse = fields.choice("reuse", table.reuse, reuses);
  if (table.reuse == Reuse::never && !table.max_ttl)
    fields.reject("reuse",
                  "never needs a max_ttl: so long the deletes of this table are remembered");
  fields.finish();
  return table;
}

void read_tables(Fields fields, Config& config) {
  for (const auto& entry : fields.settings().entries()) {
    const std::string& name = entry.key.text();
    if (!is_table_name(name)) {
      fields.reject(name, "is no table name: lower case letters, digits, '_' and '-', at most 32");
      continue;
    }
    config.tables.push_back(read_table(name, fields.fields(name)));
  }
  if (config.tables.size() > cache::max_tables)
    fields.problems().add(fields.settings(),
                          "at most " + std::to_string(cache::max_tables) + " tables");
}

void read_unsplit(Fields& root, Config& config) {
  const Settings* section = root.find("unsplit");
  if (section && section->kind() == Settings::Kind::scalar) {
    config.unsplit = root.boolean("unsplit", true);
    return;
  }
  Fields fields = root.fields("unsplit");
  const Settings* flush = fields.find("flush_tables");
  if (flush && flush->kind() == Settings::Kind::scalar) {
    if (flush->text() == "all" || flush->text() == "true")
      config.flush_tables.all = true;
    else if (flush->text() != "false")
      fields.reject("flush_tables", "must be false, all or a list of tables, not '" +
                                        flush->text().substr(0, 60) + "'");
  } else if (flush) {
    config.flush_tables.names = fields.strings("flush_tables");
  }
  config.auto_initialize_cluster = fields.boolean("auto_initialize_cluster", true);
  fields.finish();
}

/// False where the section switches the port off.
bool is_on(Fields& fields, std::string_view key) {
  const Settings* value = fields.find(key);
  return !value || value->kind() != Settings::Kind::scalar || value->text() != "false";
}

std::optional<Endpoint> read_endpoint(Fields& fields, std::string_view key) {
  auto endpoint = read(fields, key, parse_endpoint);
  if (endpoint && !fields.find(key)->text().ends_with(":" + std::to_string(endpoint->port)))
    fields.reject(key, "needs a port, like " + Endpoint{endpoint->address, 4000}.text());
  return endpoint;
}

void read_listen(Fields fields, Config& config) {
  config.serve_http = is_on(fields, "http");
  config.serve_redis = is_on(fields, "redis");
  if (config.serve_http)
    if (auto http = read_endpoint(fields, "http")) config.http = *http;
  if (config.serve_redis) config.redis = read_endpoint(fields, "redis");
  config.password_file = expand_home(fields.string("password_file"));
  config.show_keys = fields.boolean("show_keys", false);
  fields.finish();
}

void read_log(Fields fields, Config& config) {
  static constexpr std::pair<std::string_view, LogFormat> formats[] = {{"text", LogFormat::text},
                                                                       {"json", LogFormat::json}};
  if (auto level = read(fields, "level", parse_level)) config.log_level = *level;
  config.log_format = fields.choice("format", config.log_format, formats);
  fields.finish();
}

}  // namespace

Config read_config(const Settings& file, const discovery::StrategyRegistry& registry,
                   Problems& problems) {
  Config config;
  config.source = file.source();
  Fields root(file, "", problems);
  read_node(root.fields("node"), config);
  if (const Settings* topologies = root.find("topologies"))
    config.topologies = read_topologies(*topologies, "topologies", registry, problems);
  config.connect = read_names(root, "connect");
  read_tables(root.fields("tables"), config);
  read_unsplit(root, config);
  read_listen(root.fields("listen"), config);
  read_log(root.fields("log"), config);
  root.finish();
  return config;
}

}  // namespace muster::app
