// SPDX-License-Identifier: MIT
//
// What a node is and has, as JSON: the fields that `--json` and /v1 promise.  Fields are only ever
// added.  Threads: the node's strand.
#pragma once

#include <boost/json/value.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "event_hub.h"
#include "muster/cache/cache_machine.h"
#include "muster/discovery/topology_machine.h"
#include "muster/node/node.h"
#include "muster/unsplit/unsplit_machine.h"

namespace muster::app {

/// Those who are here: this node, those that are connected, those of the island; and their links.
[[nodiscard]] boost::json::value nodes_json(node::Node& node);
/// Everybody who was ever admitted, also those that are away or have left.
[[nodiscard]] boost::json::value members_json(node::Node& node);
/// Whether `self` is one of the nodes that are to have a copy of the table.
[[nodiscard]] bool holds_copy(const cache::TableDefinition& table, const NodeName& self);
/// As `self` shows them.
[[nodiscard]] boost::json::value tables_json(const std::vector<cache::TableStatus>& tables,
                                             const NodeName& self);
[[nodiscard]] boost::json::value topologies_json(
    const std::vector<discovery::TopologyStatus>& topologies, Instant now);
[[nodiscard]] boost::json::value heals_json(const std::vector<unsplit::Heal>& heals);
/// Values are never shown; `show_keys`: keys as they are, not hashed.
[[nodiscard]] boost::json::value journal_json(std::string_view table,
                                              const std::vector<unsplit::JournalEntry>& entries,
                                              bool show_keys);
[[nodiscard]] boost::json::object event_json(const EventHub::Event& event);

/// ["user", "42"], or ["#1f0a..."].
[[nodiscard]] boost::json::value key_json(const cache::Key& key, bool show_keys);
/// Names a journal record without its key.
[[nodiscard]] std::string record_id(std::string_view row);
/// "2026-11-20T10:15:00.123Z"
[[nodiscard]] std::string time_text(Timestamp time);
/// Text for JSON: bytes that are not UTF-8 are replaced.
[[nodiscard]] std::string printable(std::string_view bytes);

}  // namespace muster::app
