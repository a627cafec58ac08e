// SPDX-License-Identifier: MIT
#include "admin_json.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>

#include "muster/cache/definition.h"

namespace muster::app {

namespace json = boost::json;

namespace {

std::string hash_text(std::string_view bytes) {
  std::array<unsigned char, 32> hash{};
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), hash.data());
  std::string text;
  for (std::size_t i = 0; i < 8; ++i) text += fmt::format("{:02x}", hash[i]);
  return text;
}

std::int64_t milliseconds(Duration duration) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
}

json::array names_json(const std::vector<NodeName>& names) {
  json::array array;
  for (const NodeName& name : names) array.emplace_back(name.text());
  return array;
}

json::value duration_json(const std::optional<Duration>& duration) {
  if (!duration) return nullptr;
  return milliseconds(*duration);
}

std::string_view text_of(cache::Readiness readiness) {
  switch (readiness) {
    case cache::Readiness::starting:
      return "starting";
    case cache::Readiness::joining:
      return "joining";
    case cache::Readiness::catching_up:
      return "catching_up";
    case cache::Readiness::ready:
      return "ready";
  }
  return "unknown";
}

std::string_view text_of(discovery::Pass::Kind kind) {
  switch (kind) {
    case discovery::Pass::Kind::list:
      return "list";
    case discovery::Pass::Kind::known_empty:
      return "known_empty";
    case discovery::Pass::Kind::unknown:
      return "unknown";
  }
  return "unknown";
}

bool holds(const std::vector<node::Member>& members, const node::Member& member) {
  return std::ranges::find(members, member.boot, &node::Member::boot) != members.end();
}

json::object node_json(node::Node& node, const node::NodeView& view, const node::Member& member) {
  const bool self = member.boot == view.self.boot;
  json::object object;
  object["name"] = member.name.text();
  object["self"] = self;
  object["connected"] = holds(view.connected, member);
  object["in_island"] = holds(view.island, member);
  object["oldest"] = !view.island.empty() && view.island.front().boot == member.boot;
  object["ordinal"] = member.ordinal;
  object["boot"] = to_string(member.boot);
  json::array links;
  for (const node::Member& other : view.island)
    if (other.boot != member.boot && node.fabric().linked(member.boot, other.boot))
      links.emplace_back(other.name.text());
  object["links"] = std::move(links);
  return object;
}

}  // namespace

std::string time_text(Timestamp time) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  const auto rest = std::chrono::duration_cast<std::chrono::milliseconds>(time - seconds).count();
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(seconds)), rest);
}

std::string printable(std::string_view bytes) {
  std::string text;
  for (std::size_t i = 0; i < bytes.size();) {
    const auto lead = static_cast<unsigned char>(bytes[i]);
    const std::size_t size = lead < 0x80                   ? 1
                             : lead >= 0xC2 && lead < 0xE0 ? 2
                             : lead >= 0xE0 && lead < 0xF0 ? 3
                             : lead >= 0xF0 && lead < 0xF5 ? 4
                                                           : 0;
    bool good = size > 0 && i + size <= bytes.size();
    for (std::size_t j = 1; good && j < size; ++j)
      good = (static_cast<unsigned char>(bytes[i + j]) & 0xC0) == 0x80;
    if (good)
      text += bytes.substr(i, size);
    else
      text += "\xEF\xBF\xBD";
    i += good ? size : 1;
  }
  return text;
}

json::value key_json(const cache::Key& key, bool show_keys) {
  if (!show_keys) return json::array{"#" + hash_text(key.encoded())};
  json::array parts;
  for (const std::string& part : key.parts()) parts.emplace_back(printable(part));
  return parts;
}

std::string record_id(std::string_view row) { return hash_text(row); }

json::value nodes_json(node::Node& node) {
  const auto view = node.view();
  std::vector<node::Member> members{view->self};
  for (const auto* list : {&view->island, &view->connected})
    for (const node::Member& member : *list)
      if (!holds(members, member)) members.push_back(member);
  std::ranges::sort(members, {}, &node::Member::seniority);
  json::array nodes;
  for (const node::Member& member : members) nodes.push_back(node_json(node, *view, member));
  json::object object;
  object["self"] = view->self.name.text();
  object["address"] = view->advertised.address + ":" + std::to_string(view->advertised.port);
  object["nodes"] = std::move(nodes);
  return object;
}

json::value members_json(node::Node& node) {
  const auto view = node.view();
  json::array members;
  for (const auto& [name, status] : view->membership.nodes) {
    const bool here =
        std::ranges::find(view->island, name, &node::Member::name) != view->island.end();
    json::object member;
    member["name"] = name.text();
    member["state"] = here ? "here" : status.admitted() ? "away" : "left";
    member["ordinal"] = status.newest.ordinal;
    members.push_back(std::move(member));
  }
  return json::object{{"members", std::move(members)}};
}

bool holds_copy(const cache::TableDefinition& table, const NodeName& self) {
  return table.copies.empty() || std::ranges::find(table.copies, self) != table.copies.end();
}

json::value tables_json(const std::vector<cache::TableStatus>& tables, const NodeName& self) {
  json::array array;
  for (const cache::TableStatus& table : tables) {
    const cache::TableDefinition& definition = table.definition;
    json::object object;
    object["name"] = definition.name;
    object["held"] = holds_copy(definition, self);
    object["ready"] = table.readiness == cache::Readiness::ready;
    object["readiness"] = text_of(table.readiness);
    object["detail"] = !table.refuses_writes.empty() ? table.refuses_writes
                       : !table.detail.empty()       ? table.detail
                       : !table.differs.empty()      ? table.differs.front()
                                                     : std::string();
    json::array differs;
    for (const std::string& each : table.differs) differs.emplace_back(each);
    object["differs"] = std::move(differs);
    object["writable"] = table.refuses_writes.empty();
    object["storage"] = to_string(definition.storage);
    object["writes"] = to_string(definition.writes);
    object["durability"] = to_string(definition.durability);
    object["disk"] = to_string(table.disk);
    object["disk_late_ms"] = milliseconds(table.disk_late);
    object["on_split"] = to_string(definition.on_split);
    object["reuse"] = to_string(definition.reuse);
    object["ttl_ms"] = duration_json(definition.ttl);
    object["max_ttl_ms"] = duration_json(definition.max_ttl);
    object["entries"] = table.entries;
    object["bytes"] = table.bytes;
    object["journal"] = table.journal;
    object["replicas"] = names_json(table.replicas);
    object["apart"] = names_json(table.apart);
    object["puts"] = table.puts;
    object["deletes"] = table.deletes;
    object["expired"] = table.expired;
    object["splits"] = table.splits;
    object["set_aside"] = table.set_aside;
    object["lines"] = table.path.size();
    object["digest"] = fmt::format("{:016x}{:016x}", table.digest.high, table.digest.low);
    array.push_back(std::move(object));
  }
  return json::object{{"tables", std::move(array)}};
}

json::value topologies_json(const std::vector<discovery::TopologyStatus>& topologies, Instant now) {
  json::array array;
  for (const discovery::TopologyStatus& topology : topologies) {
    json::object object;
    object["name"] = topology.name;
    object["strategy"] = topology.strategy;
    object["last_pass"] =
        topology.last_pass ? json::value(text_of(*topology.last_pass)) : json::value(nullptr);
    object["unknown_reason"] = topology.unknown_reason;
    object["age_ms"] = topology.last_pass ? json::value(milliseconds(now - topology.last_pass_at))
                                          : json::value(nullptr);
    object["took_ms"] = milliseconds(topology.took);
    object["paused"] = topology.paused;
    object["holds_back_drop"] = topology.holds_back_drop;
    json::array peers;
    for (const discovery::PeerStatus& peer : topology.peers) {
      json::object entry;
      entry["name"] = peer.name.text();
      entry["address"] = peer.address;
      entry["state"] = to_string(peer.state);
      entry["reason"] = peer.reason;
      peers.push_back(std::move(entry));
    }
    object["peers"] = std::move(peers);
    json::object counters;
    for (const auto& [name, count] : topology.counters) counters[name] = count;
    object["counters"] = std::move(counters);
    array.push_back(std::move(object));
  }
  return json::object{{"topologies", std::move(array)}};
}

json::value heals_json(const std::vector<unsplit::Heal>& heals) {
  json::array array;
  for (const unsplit::Heal& heal : heals) {
    json::object object;
    object["at"] = time_text(heal.at);
    object["table"] = heal.table;
    object["peer"] = heal.peer.text();
    object["context"] = cache::to_string(heal.context);
    object["rule"] = unsplit::to_string(heal.rule);
    object["healed"] = heal.verdict != cache::Verdict::apart;
    object["winner"] = heal.winner;
    object["set_aside"] = heal.set_aside;
    object["took_ms"] = milliseconds(heal.took);
    object["complete"] = heal.complete;
    object["text"] = heal.text;
    array.push_back(std::move(object));
  }
  return json::object{{"heals", std::move(array)}};
}

json::value journal_json(std::string_view table, const std::vector<unsplit::JournalEntry>& entries,
                         bool show_keys) {
  json::array array;
  for (const unsplit::JournalEntry& entry : entries) {
    json::object object;
    const auto key = cache::Key::decode(entry.key);
    object["table"] = table;
    object["record"] = record_id(entry.row);
    object["key"] = key ? key_json(*key, show_keys) : json::value(nullptr);
    object["bytes"] = entry.value.size();
    object["written_by"] = entry.writer;
    object["written"] = time_text(entry.written());
    object["stamp"] = fmt::format("{}/{}", entry.stamp.time, node::to_string(entry.stamp.boot));
    object["line"] = fmt::format("{:016x}", entry.line);
    object["set_aside"] = time_text(entry.set_aside);
    object["to_merge"] = entry.to_merge;
    object["expires"] = entry.expiry == cache::never_expires ? json::value(nullptr)
                                                             : json::value(time_text(entry.expiry));
    object["why"] = entry.why;
    array.push_back(std::move(object));
  }
  return array;
}

json::object event_json(const EventHub::Event& event) {
  json::object object;
  object["number"] = event.number;
  object["at"] = time_text(event.at);
  object["kind"] = event.kind;
  object["topic"] = event.topic;
  object["detail"] = printable(event.detail);
  return object;
}

}  // namespace muster::app
