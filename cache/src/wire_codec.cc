// SPDX-License-Identifier: MIT
#include "wire_codec.h"

#include <fmt/format.h>

#include "lines.h"

namespace muster::cache {

void to_wire(const Stamp& stamp, wire::Stamp& out) {
  out.set_time(stamp.time);
  out.set_boot(stamp.boot.value);
}
Stamp from_wire(const wire::Stamp& in) { return {in.time(), BootId{in.boot()}}; }

void to_wire(const Dot& dot, wire::Dot& out) {
  out.set_boot(dot.origin.boot.value);
  out.set_number(dot.origin.number);
  out.set_sequence(dot.sequence);
}
Dot from_wire(const wire::Dot& in) { return {{BootId{in.boot()}, in.number()}, in.sequence()}; }

void to_wire(const Path& path, PathMessage& out) {
  out.Clear();
  for (const Line& line : path) {
    wire::Line& to = *out.Add();
    to.set_id(line.id);
    to.set_parent(line.parent);
    to.set_ordinal(line.namer.ordinal);
    to.set_boot(line.namer.boot.value);
    to.set_view(line.view);
    to_wire(line.stamp, *to.mutable_stamp());
  }
}
bool from_wire(const PathMessage& in, Path& path) {
  path.clear();
  for (const wire::Line& line : in) {
    path.push_back({line.id(), line.parent(), Seniority{line.ordinal(), BootId{line.boot()}},
                    line.view(), from_wire(line.stamp())});
  }
  return valid_path(path);
}

void to_wire(const std::set<BootId>& boots, BootsMessage& out) {
  out.Clear();
  for (const BootId boot : boots) out.Add(boot.value);
}
std::set<BootId> from_wire(const BootsMessage& in) {
  std::set<BootId> boots;
  for (const std::uint64_t boot : in) {
    if (boot != 0) boots.insert(BootId{boot});
  }
  return boots;
}

void to_wire(const Vector& vector, const Origins& origins, VectorMessage& out) {
  out.Clear();
  for (const auto& [id, sequence] : vector) {
    wire::VectorEntry& to = *out.Add();
    to.set_boot(id.boot.value);
    to.set_number(id.number);
    to.set_sequence(sequence);
    const auto origin = origins.find(id);
    if (origin == origins.end()) continue;
    to.set_line(origin->second.line);
    to.set_root(origin->second.root);
    to_wire(origin->second.start, *to.mutable_start());
  }
}
void to_wire(const Vector& vector, VectorMessage& out) {
  out.Clear();
  for (const auto& [id, sequence] : vector) {
    wire::VectorEntry& to = *out.Add();
    to.set_boot(id.boot.value);
    to.set_number(id.number);
    to.set_sequence(sequence);
  }
}
Vector from_wire(const VectorMessage& in, Origins* origins) {
  Vector vector;
  for (const wire::VectorEntry& entry : in) {
    const OriginId id{BootId{entry.boot()}, entry.number()};
    if (!id.boot.valid() || entry.sequence() == 0) continue;
    vector.raise(id, entry.sequence());
    if (origins != nullptr && entry.has_start()) {
      (*origins)[id] = Origin{id, entry.line(), entry.root(), from_wire(entry.start())};
    }
  }
  return vector;
}

void to_wire(const Pruned& pruned, PrunedMessage& out) {
  out.Clear();
  for (const auto& [root, upto] : pruned) {
    wire::Pruned& to = *out.Add();
    to.set_root(root);
    to_wire(upto, *to.mutable_upto());
  }
}
Pruned from_wire(const PrunedMessage& in) {
  Pruned pruned;
  for (const wire::Pruned& each : in) pruned[each.root()] = from_wire(each.upto());
  return pruned;
}

void to_wire(const Dropped& dropped, DroppedMessage& out) {
  out.Clear();
  for (const auto& [name, admissions] : dropped) {
    wire::Dropped& to = *out.Add();
    to.set_name(name.text());
    to.set_admissions(admissions);
  }
}
Dropped from_wire(const DroppedMessage& in) {
  Dropped dropped;
  for (const wire::Dropped& each : in) {
    if (auto name = NodeName::parse(each.name())) dropped[*name] = each.admissions();
  }
  return dropped;
}

namespace {

std::int64_t micros(Duration duration) {
  return std::chrono::duration_cast<std::chrono::microseconds>(duration).count();
}
template <class Enum>
bool read_enum(std::uint32_t number, Enum last, Enum& out) {
  out = static_cast<Enum>(number);
  return number <= static_cast<std::uint32_t>(last);
}
constexpr std::int64_t longest_ttl_us = std::int64_t{100} * 365 * 24 * 3600 * 1'000'000;
bool read_duration(std::int64_t us, std::optional<Duration>& out) {
  out = std::chrono::microseconds(us);
  return us > 0 && us <= longest_ttl_us;
}

}  // namespace

void to_wire(const TableDefinition& definition, wire::Definition& out) {
  out.Clear();
  out.set_name(definition.name);
  out.set_storage(static_cast<std::uint32_t>(definition.storage));
  if (definition.ttl) out.set_ttl_us(micros(*definition.ttl));
  if (definition.max_ttl) out.set_max_ttl_us(micros(*definition.max_ttl));
  out.set_writes(static_cast<std::uint32_t>(definition.writes));
  out.set_durability(static_cast<std::uint32_t>(definition.durability));
  for (const NodeName& name : definition.copies) out.add_copies(name.text());
  out.set_local_content(definition.local_content);
  out.set_majority(definition.majority);
  out.set_on_split(static_cast<std::uint32_t>(definition.on_split));
  out.set_reuse(static_cast<std::uint32_t>(definition.reuse));
}

Result<TableDefinition> from_wire(const wire::Definition& in) {
  TableDefinition definition;
  definition.name = in.name();
  const bool known = read_enum(in.storage(), Storage::disc_only_copies, definition.storage) &&
                     read_enum(in.writes(), Acknowledge::local, definition.writes) &&
                     read_enum(in.durability(), Durability::sync, definition.durability) &&
                     read_enum(in.on_split(), OnSplit::custom, definition.on_split) &&
                     read_enum(in.reuse(), Reuse::never, definition.reuse);
  if (!known || (in.has_ttl_us() && !read_duration(in.ttl_us(), definition.ttl)) ||
      (in.has_max_ttl_us() && !read_duration(in.max_ttl_us(), definition.max_ttl))) {
    return bad_input(fmt::format("table {}: the definition cannot be read", in.name()));
  }
  for (const std::string& text : in.copies()) {
    auto name = NodeName::parse(text);
    if (!name) return name.error();
    definition.copies.push_back(*name);
  }
  definition.local_content = in.local_content();
  definition.majority = in.majority();
  if (auto checked = check(definition); !checked) return checked.error();
  return definition;
}

Result<void> check(const TableDefinition& definition) {
  const std::string& name = definition.name;
  const bool letters =
      name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-") == std::string::npos;
  if (name.empty() || name.size() > 32 || !letters) {
    return bad_input(
        fmt::format("table name \"{}\": 1 to 32 characters of a-z, 0-9, _ and -", name));
  }
  if (definition.ttl && micros(*definition.ttl) <= 0) {
    return bad_input(fmt::format("table {}: ttl must be more than zero", name));
  }
  if (definition.max_ttl && definition.ttl && *definition.ttl > *definition.max_ttl) {
    return bad_input(fmt::format("table {}: ttl is longer than max_ttl", name));
  }
  if (definition.reuse == Reuse::never && !definition.max_ttl) {
    return bad_input(fmt::format(
        "table {}: reuse: never needs a max_ttl: so long its deletes are remembered", name));
  }
  return {};
}

}  // namespace muster::cache
