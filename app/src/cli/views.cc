// SPDX-License-Identifier: MIT
// What a node shows: its JSON as it is for programs, tables for people.
#include <boost/json.hpp>
#include <cstdio>
#include <functional>
#include <set>

#include "http_message.h"
#include "node_client.h"
#include "text_table.h"

namespace muster::app::cli {

namespace json = boost::json;

namespace {

std::string text(const json::value& value) {
  if (value.is_string()) return std::string(value.as_string());
  if (value.is_null()) return "-";
  return json::serialize(value);
}
std::string text(const json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  return value ? text(*value) : std::string();
}
bool flag(const json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  return value && value->is_bool() && value->as_bool();
}
double number(const json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  return value && value->is_number() ? value->to_number<double>() : 0;
}
const json::array& list(const json::object& object, std::string_view name) {
  static const json::array none;
  const auto* value = object.if_contains(name);
  return value && value->is_array() ? value->as_array() : none;
}
std::string joined(const json::array& array) {
  std::string all;
  for (const json::value& value : array) all += (all.empty() ? "" : " ") + text(value);
  return all.empty() ? "-" : all;
}
std::string duration_of(const json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  if (!value || !value->is_number()) return "-";
  return duration_text(std::chrono::milliseconds(value->to_number<std::int64_t>()));
}

using Show = std::function<void(const json::object&)>;
int view(const Options& options, const std::string& target, const Show& show) {
  auto client = NodeClient::find(options);
  if (!client) return fail(client.error().text());
  const auto answer = client->json("GET", target);
  if (!answer) return fail(answer.error().text());
  if (options.json)
    std::puts(json::serialize(*answer).c_str());
  else
    show(answer->as_object());
  return success;
}

void show_tables(const json::array& tables) {
  TextTable rows({"TABLE", "STATE", "ENTRIES", "MEMORY", "STORAGE", "WRITES", "ON SPLIT",
                  "REPLICAS", "APART", "DETAIL"});
  for (const json::value& each : tables) {
    const json::object& table = each.as_object();
    const bool elsewhere = table.contains("held") && !flag(table, "held");
    const bool read_only = table.contains("writable") && !flag(table, "writable");
    rows.add({text(table, "name"),
              elsewhere   ? "elsewhere"
              : read_only ? "read-only"
                          : text(table, "readiness"),
              text(table, "entries"), size_text(number(table, "bytes")), text(table, "storage"),
              text(table, "writes"), text(table, "on_split"), joined(list(table, "replicas")),
              joined(list(table, "apart")), text(table, "detail")});
  }
  rows.print();
}

}  // namespace

int status(const Options& options) {
  return view(options, "/v1/status", [](const json::object& node) {
    const auto line = [](const char* name, const std::string& value) {
      std::printf("%-11s %s\n", name, value.c_str());
    };
    line("node", text(node, "name"));
    line("version", text(node, "version"));
    line("up", duration_text(std::chrono::seconds(
                   static_cast<std::int64_t>(number(node, "uptime_ms") / 1000))));
    line("ready", flag(node, "ready") ? "yes" : "no");
    line("connected", text(node, "connected"));
    line("island", text(node, "island") + " nodes, oldest " + text(node, "oldest"));
    line("unsplit", flag(node, "unsplit") ? "on" : "off");
    std::puts("");
    show_tables(list(node, "tables"));
  });
}

int nodes(const Options& options) {
  auto client = NodeClient::find(options);
  if (!client) return fail(client.error().text());
  auto answer = client->json("GET", "/v1/nodes");
  if (!answer) return fail(answer.error().text());
  const auto members = client->json("GET", "/v1/members");
  if (!members) return fail(members.error().text());
  answer->as_object()["members"] = members->at("members");
  if (options.json) {
    std::puts(json::serialize(*answer).c_str());
    return success;
  }
  TextTable rows({"NODE", "STATE", "ORDINAL", "LINKED WITH"});
  std::set<std::string> seen;
  for (const json::value& each : list(answer->as_object(), "nodes")) {
    const json::object& node = each.as_object();
    seen.insert(text(node, "name"));
    std::string state = flag(node, "self")        ? "this node"
                        : flag(node, "connected") ? "connected"
                                                  : "in island";
    if (flag(node, "oldest")) state += ", oldest";
    rows.add({text(node, "name"), state, text(node, "ordinal"), joined(list(node, "links"))});
  }
  for (const json::value& each : members->at("members").as_array()) {
    const json::object& member = each.as_object();
    if (!seen.contains(text(member, "name")))
      rows.add({text(member, "name"), text(member, "state"), text(member, "ordinal"), "-"});
  }
  rows.print();
  return success;
}

int tables(const Options& options) {
  return view(options, "/v1/tables",
              [](const json::object& answer) { show_tables(list(answer, "tables")); });
}

int topologies(const Options& options) {
  return view(options, "/v1/topologies", [](const json::object& answer) {
    TextTable rows({"TOPOLOGY", "STRATEGY", "LAST PASS", "PEER", "STATE", "REASON"});
    for (const json::value& each : list(answer, "topologies")) {
      const json::object& topology = each.as_object();
      std::string pass = text(topology, "last_pass");
      if (flag(topology, "paused")) pass = "paused; " + pass;
      if (text(topology, "last_pass") != "-")
        pass += ", " + duration_of(topology, "age_ms") + " ago";
      if (const auto why = text(topology, "unknown_reason"); !why.empty()) pass += " (" + why + ")";
      TextTable::Row row{text(topology, "name"), text(topology, "strategy"), pass};
      if (list(topology, "peers").empty()) {
        row.insert(row.end(), {"-", "-", ""});
        rows.add(row);
      }
      for (const json::value& peer : list(topology, "peers")) {
        const json::object& object = peer.as_object();
        row.resize(3);
        row.insert(row.end(),
                   {text(object, "name"), text(object, "state"), text(object, "reason")});
        rows.add(row);
        row = {"", "", ""};
      }
    }
    rows.print();
  });
}

int list_keys(const Options& options) {
  std::string target = "/v1/tables/" + percent_encoded(options.table) + "/keys?";
  if (options.show_keys) target += "show_keys=true&";
  if (!options.words.empty()) {
    std::string pattern;
    for (const std::string& word : options.words)
      pattern += (pattern.empty() ? "" : "/") + (word == "*" ? word : percent_encoded(word));
    target += "pattern=" + percent_encoded(pattern);
  }
  return view(options, target, [](const json::object& answer) {
    TextTable rows({"KEY", "BYTES"});
    for (const json::value& each : list(answer, "keys"))
      rows.add({joined(list(each.as_object(), "key")), text(each.as_object(), "bytes")});
    rows.print();
    if (!flag(answer, "complete")) std::puts("... and more");
  });
}

int unsplit_status(const Options& options) {
  return view(options, "/v1/unsplit", [](const json::object& answer) {
    std::printf("unsplit     %s\n", flag(answer, "running") ? "on" : "off");
    for (const json::value& each : list(answer, "apart"))
      std::printf("apart       table %s from %s\n", text(each.as_object(), "table").c_str(),
                  text(each.as_object(), "peer").c_str());
    if (list(answer, "heals").empty()) return;
    std::puts("");
    TextTable rows({"AT", "TABLE", "RULE", "WINNER", "SET ASIDE", "TOOK", "WHAT HAPPENED"});
    for (const json::value& each : list(answer, "heals")) {
      const json::object& heal = each.as_object();
      rows.add({text(heal, "at"), text(heal, "table"), text(heal, "rule"), text(heal, "winner"),
                text(heal, "set_aside"), duration_of(heal, "took_ms"), text(heal, "text")});
    }
    rows.print();
  });
}

int unsplit_journal(const Options& options) {
  std::string target = "/v1/unsplit/journal?";
  if (options.table_given) target += "table=" + percent_encoded(options.table) + "&";
  if (options.show_keys) target += "show_keys=true";
  return view(options, target, [](const json::object& answer) {
    TextTable rows({"RECORD", "TABLE", "KEY", "BYTES", "WRITTEN BY", "WRITTEN", "SET ASIDE",
                    "EXPIRES", "WHY"});
    for (const json::value& each : list(answer, "records")) {
      const json::object& record = each.as_object();
      rows.add({text(record, "record"), text(record, "table"), joined(list(record, "key")),
                text(record, "bytes"), text(record, "written_by"), text(record, "written"),
                text(record, "set_aside"), text(record, "expires"), text(record, "why")});
    }
    rows.print();
  });
}

}  // namespace muster::app::cli
