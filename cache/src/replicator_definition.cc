// SPDX-License-Identifier: MIT
//
// What the members of a table say it is.  A joiner takes the cluster's word; a node that comes back
// with its disk goes by its own configuration, so that a definition can be changed by restarting
// the nodes one after the other.  Until all say the same it is told where they differ, and a
// majority is asked for wherever one of them asks for it.
#include <fmt/format.h>

#include <algorithm>

#include "muster/discovery/settings.h"
#include "replicator.h"
#include "wire_codec.h"

namespace muster::cache {
namespace {

bool wants_majority(const TableDefinition& definition) {
  return definition.majority || definition.on_split == OnSplit::majority;
}

std::string text(const std::optional<Duration>& time) {
  return !time ? "none" : *time == forever ? "forever" : duration_text(*time);
}
std::string text(bool value) { return value ? "true" : "false"; }
std::string text(const std::vector<NodeName>& names) {
  std::string all;
  for (const NodeName& name : names) all += (all.empty() ? "" : " ") + name.text();
  return all.empty() ? "all" : all;
}
template <class Option>
std::string text(Option option) {
  return std::string(to_string(option));
}

/// "ttl 1h here, 2h there"; empty: they are the same.
std::string differences(const TableDefinition& ours, const TableDefinition& theirs) {
  std::string all;
  const auto compare = [&](std::string_view option, const auto& here, const auto& there) {
    if (here == there) return;
    all += fmt::format("{}{} {} here, {} there", all.empty() ? "" : "; ", option, text(here),
                       text(there));
  };
  compare("storage", ours.storage, theirs.storage);
  compare("ttl", ours.ttl, theirs.ttl);
  compare("max_ttl", ours.max_ttl, theirs.max_ttl);
  compare("writes", ours.writes, theirs.writes);
  compare("durability", ours.durability, theirs.durability);
  compare("copies", ours.copies, theirs.copies);
  compare("local_content", ours.local_content, theirs.local_content);
  compare("majority", ours.majority, theirs.majority);
  compare("on_split", ours.on_split, theirs.on_split);
  compare("reuse", ours.reuse, theirs.reuse);
  return all;
}

}  // namespace

void Replicator::heard(BootId from, TableDefinition definition) {
  RemoteCopy* copy = copy_of(from);
  if (copy == nullptr || copy->definition == definition) return;
  copy->definition = std::move(definition);
  copy->told_difference = false;
  weigh_majority();
  tell_differences(surroundings_.now);
}

/// The cluster's options are the table's; its storage too.
void Replicator::adopt(const TableDefinition& definition) {
  const bool changed = definition != definition_;
  definition_ = definition;
  hosted_ = should_hold(surroundings_.fabric.self().name);
  replica_.set_merges(definition_.on_split == OnSplit::merge);
  replica_.keep_deletes_for(deletes_bar_puts_for());
  keep_values_where_asked();
  replica_.mark_dirty();
  weigh_majority();
  if (!changed) return;
  wire::Message message;
  to_wire(definition_, *message.add_definitions());
  const auto bytes = std::make_shared<const std::string>(message.SerializeAsString());
  for (const auto& [boot, copy] : copies_) {
    if (copy.linked) surroundings_.fabric.send(boot, cache_service, node::Lane::urgent, bytes);
  }
}

/// Once it is in force it stays so until everybody who should hold a copy was heard to say
/// otherwise: a node that comes back to a minority does not know what the others say.
void Replicator::weigh_majority() {
  bool wanted = wants_majority(definition_), unheard = false;
  for (const auto& [name, status] : surroundings_.fabric.membership().nodes) {
    const bool counts = status.admitted() && name != surroundings_.fabric.self().name;
    if (!counts || !should_hold(name)) continue;
    const RemoteCopy* copy = copy_of(status.newest.boot);
    const bool known = copy != nullptr && copy->definition;
    unheard = unheard || !known;
    wanted = wanted || (known && wants_majority(*copy->definition));
  }
  needs_majority_ = wanted || (needs_majority_ && unheard);
}

/// As it is to be found by a node that comes back alone.
TableDefinition Replicator::definition_in_force() const {
  TableDefinition definition = definition_;
  definition.majority = definition.majority || needs_majority_;
  return definition;
}

/// Between copies that are complete; what a joiner thought of the table gives way.
std::string Replicator::difference_to(const RemoteCopy& copy) const {
  const bool both = readiness_ == Readiness::ready && copy.linked && copy.counted();
  if (!both || !copy.definition) return {};
  return differences(definition_, *copy.definition);
}

void Replicator::tell_differences(Now now) {
  for (auto& [boot, copy] : copies_) {
    if (copy.told_difference) continue;
    const std::string difference = difference_to(copy);
    if (difference.empty()) continue;
    copy.told_difference = true;
    report(now, CacheEvent::Kind::alarm, copy.member.name,
           fmt::format("is defined otherwise on {}: {}", copy.member.name.text(), difference));
  }
}

void Replicator::tell_overruled(Now now, const NodeName& by, const TableDefinition& definition) {
  overruled_ = differences(definition_, definition);
  if (overruled_.empty()) return;
  overruled_ =
      fmt::format("this node's configuration is overruled by {}: {}", by.text(), overruled_);
  report(now, CacheEvent::Kind::alarm, by, overruled_);
}

std::vector<std::string> Replicator::all_differences() const {
  std::vector<std::string> all;
  if (!overruled_.empty()) all.push_back(overruled_);
  for (const auto& [boot, copy] : copies_) {
    const std::string difference = difference_to(copy);
    if (!difference.empty()) all.push_back(copy.member.name.text() + ": " + difference);
  }
  return all;
}

}  // namespace muster::cache
