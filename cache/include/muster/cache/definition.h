// SPDX-License-Identifier: MIT
//
// What a table is: chosen by whoever creates it, handed to joiners by `table_info`, changed by
// restarting its nodes one after the other; while they differ, they say so and how.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "muster/discovery/node_name.h"
#include "muster/discovery/time.h"

namespace muster::cache {

/// In memory, there and on disk, or keys and versions in memory and values on disk alone.
enum class Storage : std::uint8_t { ram_copies, disc_copies, disc_only_copies };

/// Whom a write waits for: every ready, in-sync replica of the island; nobody but this node,
/// replicas follow at once (async) or the caller does not even wait for this node's disk (local); a
/// majority of the admitted.
enum class Acknowledge : std::uint8_t { sync, async, majority, local };

/// When a copy on disk is written: 100 ms late (where the disk keeps up; see disk_late_max), or
/// before a write is acknowledged.
enum class Durability : std::uint8_t { async, sync };

/// What happens when islands meet that both wrote.  `automatic`: `oldest` for the session table and
/// for those that flush_tables lists; any other table stays apart.  `custom`: a function of the
/// program's own settles each key.
enum class OnSplit : std::uint8_t { automatic, oldest, merge, largest, majority, none, custom };

/// Whether a key may be put again after its delete.  `never`: not before max_ttl has passed since,
/// on any node that knows of the delete; so a slow request cannot bring back who has logged out.
enum class Reuse : std::uint8_t { always, never };

struct TableDefinition {
  std::string name = "session";  ///< [a-z0-9_-], at most 32 characters.
  Storage storage = Storage::disc_copies;
  std::optional<Duration> ttl;  ///< Of a put that names none; none: such entries never expire.
  std::optional<Duration> max_ttl;
  Acknowledge writes = Acknowledge::sync;
  Durability durability = Durability::async;
  std::vector<NodeName> copies;  ///< Empty: every node.
  bool local_content = false;    ///< Same definition, each node its own content, never copied.
  bool majority = false;  ///< Writes are refused in an island without a majority of the admitted.
  OnSplit on_split = OnSplit::automatic;
  Reuse reuse = Reuse::always;  ///< `never` needs a max_ttl: so long its deletes are remembered.

  friend bool operator==(const TableDefinition&, const TableDefinition&) = default;
};

[[nodiscard]] std::string_view to_string(Storage storage);
[[nodiscard]] std::string_view to_string(Acknowledge acknowledge);
[[nodiscard]] std::string_view to_string(Durability durability);
[[nodiscard]] std::string_view to_string(OnSplit on_split);
[[nodiscard]] std::string_view to_string(Reuse reuse);

/// Documented limits: a name, a key and a value beyond them are refused with an error that names
/// the limit.
constexpr std::size_t max_value_bytes = std::size_t{512} << 10;
constexpr std::size_t max_batch_bytes = std::size_t{768} << 10;
constexpr std::size_t max_tables = 64;

}  // namespace muster::cache
