// SPDX-License-Identifier: MIT
//
// What a world looks like, in words: for problems that are reported and for traces.
#include <map>

#include "muster/lab/world.h"

namespace muster::lab {
namespace {

std::string describe(const cache::Stamp& stamp) {
  return fmt::format("{}.{:06}/{:x}", stamp.time / 1'000'000, stamp.time % 1'000'000,
                     stamp.boot.value & 0xffff);
}

std::string describe(const cache::Incarnation& incarnation) {
  std::string text = fmt::format("[{:x}.{}.{}", incarnation.created.origin.boot.value & 0xffff,
                                 incarnation.created.origin.number, incarnation.created.sequence);
  for (const cache::ValueRegister& value : incarnation.values)
    text +=
        fmt::format(" {}={} line {:x}", value.bytes, describe(value.stamp), value.line & 0xffff);
  if (incarnation.touch.stamp != cache::Stamp{})
    text += " touch " + describe(incarnation.touch.stamp);
  const Timestamp expiry = incarnation.expiry();
  if (expiry != cache::never_expires)
    text += fmt::format(" expires {} us", expiry.time_since_epoch().count());
  return text + "]";
}

using Rows = std::map<std::string, std::string>;

Rows rows_of(const cache::Table& table) {
  Rows rows;
  for (std::uint32_t bucket = 0; bucket < cache::Table::buckets; ++bucket) {
    table.scan_bucket(bucket, [&](std::string_view key) {
      std::string& text = rows[std::string(key)];
      for (const cache::Incarnation& each : table.incarnations(key)) text += describe(each);
      return true;
    });
  }
  return rows;
}

}  // namespace

std::string World::differences(NodeIndex a, NodeIndex b, const std::string& table) const {
  std::string text =
      fmt::format("differences of {} and {}:", nodes_[a]->name().text(), nodes_[b]->name().text());
  if (!nodes_[a]->up() || !nodes_[b]->up()) return text + " one is down";
  const Rows first = rows_of(*nodes_[a]->cache()->table(table));
  const Rows second = rows_of(*nodes_[b]->cache()->table(table));
  const auto in = [](const Rows& rows, const std::string& key) {
    const auto found = rows.find(key);
    return found == rows.end() ? "nothing" : found->second;
  };
  Rows all = first;
  all.insert(second.begin(), second.end());
  for (const auto& [key, row] : all)
    if (in(first, key) != in(second, key))
      text += fmt::format("\n    {}: {} / {}", key, in(first, key), in(second, key));
  return text;
}

std::string World::picture() const {
  std::string text;
  for (const auto& node : nodes_) {
    text += node->name().text() + (node->up() ? " up" : node->has_left() ? " left" : " down");
    if (node->up()) {
      text += ", island";
      for (const node::Member& member : node->machine()->island())
        text += " " + member.name.text() + "#" + std::to_string(member.ordinal);
      text += ", links";
      for (const node::Member& member : node->machine()->connected())
        text += " " + member.name.text();
    }
    text += "\n";
    if (!node->up() || node->cache() == nullptr) continue;
    for (const cache::TableStatus& table : node->cache()->status(node->now())) {
      text += fmt::format(
          "    {}: readiness {} ({}), {} entries, {} in the journal, digest {:x}, "
          "line",
          table.definition.name, static_cast<int>(table.readiness), table.detail, table.entries,
          table.journal, table.digest.low);
      for (const cache::Line& line : table.path)
        text += fmt::format(" {:x}#{}", line.id & 0xffff, line.namer.ordinal);
      for (const NodeName& peer : table.apart) text += ", apart from " + peer.text();
      text += "\n";
    }
  }
  return text;
}

}  // namespace muster::lab
