// SPDX-License-Identifier: MIT
//
// What must hold of a quiet world, judged by what clients were told (history.h), not by what the
// machines believe.  A rule speaks up only where the history leaves no excuse.
#include <algorithm>
#include <iterator>
#include <ranges>
#include <utility>

#include "muster/lab/world.h"

namespace muster::lab {

namespace {

using Kind = Operation::Kind;

/// No deletes, no expiries: only the order of puts counts.
bool plain(const std::vector<const Operation*>& same_key) {
  return std::all_of(same_key.begin(), same_key.end(), [](const Operation* operation) {
    return operation->kind == Kind::put && !operation->ttl;
  });
}

std::string describe(const Operation& operation) {
  const double at = std::chrono::duration<double>(operation.invoked.time_since_epoch()).count();
  return fmt::format("{} {} of {} {} at n{} ({:.3f} s{})", operation.id,
                     operation.kind == Kind::put     ? "put"
                     : operation.kind == Kind::touch ? "touch"
                                                     : "delete",
                     operation.key, operation.value, operation.node, at,
                     operation.acknowledged ? ", acknowledged" : "");
}

}  // namespace

void Checker::problem(std::string text) { problems_.push_back(std::move(text)); }

std::vector<std::string> Checker::all() {
  const auto up = [this](NodeIndex index) { return world_.node(index).up(); };
  if (std::ranges::none_of(std::views::iota(NodeIndex(0), world_.size()), up)) return {};
  readiness();
  agreement();
  for (const cache::TableDefinition& table : world_.options().node.tables)
    if (world_.options().node.with_cache) contents(table.name);
  return std::exchange(problems_, {});
}

void Checker::readiness() {
  for (NodeIndex index = 0; index < world_.size(); ++index) {
    const SimNode& node = world_.node(index);
    if (node.up() && node.cache() != nullptr && !node.cache()->ready())
      problem(node.name().text() + " is not ready");
  }
}

void Checker::agreement() {
  const SimNode* first = nullptr;
  for (NodeIndex index = 0; index < world_.size(); ++index) {
    const SimNode& node = world_.node(index);
    if (!node.up()) continue;
    if (first == nullptr) first = &node;
    const auto& mine = node.machine()->membership().nodes;
    if (mine != first->machine()->membership().nodes)
      problem(node.name().text() + " has another membership than " + first->name().text());
    if (node.machine()->island().empty() ||
        node.machine()->island().front() != first->machine()->island().front())
      problem(node.name().text() + " names another oldest than " + first->name().text());
  }
}

Checker::Contents Checker::visible(const SimNode& node, const std::string& table,
                                   Timestamp at) const {
  Contents found;
  const auto copy = node.cache()->table(table);
  if (!copy) return found;
  for (std::uint32_t bucket = 0; bucket < cache::Table::buckets; ++bucket)
    copy->scan_bucket(bucket, [&](std::string_view key) {
      if (const auto value = copy->get(key, at)) found[std::string(key)] = *value;
      return true;
    });
  return found;
}

void Checker::equal_contents(const std::string& table) {
  const SimNode* first = nullptr;
  Timestamp at{};  // one for all: their clocks need not agree to the moment
  for (NodeIndex index = 0; index < world_.size(); ++index) {
    const SimNode& node = world_.node(index);
    if (node.up()) at = std::max(at, node.machine()->cluster_time(node.now()));
  }
  for (NodeIndex index = 0; index < world_.size(); ++index) {
    const SimNode& node = world_.node(index);
    if (!node.up() || node.cache() == nullptr) continue;
    const Contents mine = visible(node, table, at);
    if (first == nullptr) {
      first = &node;
      contents_ = mine;
      continue;
    }
    for (const auto& [key, value] : contents_) {
      const auto found = mine.find(key);
      if (found == mine.end() || found->second != value)
        problem(fmt::format("{} reads {} for {}, {} reads {}", first->name().text(), value, key,
                            node.name().text(), found == mine.end() ? "nothing" : found->second));
    }
    for (const auto& [key, value] : mine)
      if (!contents_.contains(key))
        problem(fmt::format("{} reads {} for {}, {} reads nothing", node.name().text(), value, key,
                            first->name().text()));
  }
}

bool Checker::merges(const std::string& table) const {
  return unsplit::rule_for(world_.table(table), world_.options().node.unsplit.flush_tables) ==
         unsplit::Rule::merge;
}

void Checker::journals(const std::string& table) {
  journal_.clear();
  for (NodeIndex index = 0; index < world_.size(); ++index) {
    const SimNode& node = world_.node(index);
    for (const unsplit::JournalEntry& entry : node.journal(table)) {
      journal_.emplace(entry.value, node.name().text());
      const Operation* put = world_.history().put_of(entry.value);
      if (put == nullptr || put->key != entry.key) {
        problem("the journal of " + node.name().text() + " holds " + entry.value + " for " +
                entry.key + ", which nobody wrote");
        continue;
      }
      const auto found = contents_.find(entry.key);
      const bool visible = found != contents_.end() && found->second == entry.value;
      // A value that a newer one hid is read again when that one has expired or was deleted.
      const bool uncovered = merges(table) && !plain(world_.history().of(table, entry.key));
      if (visible && node.up() && !put->again && !uncovered)
        problem("the journal of " + node.name().text() +
                " holds what is not missing: " + describe(*put));
    }
  }
}

void Checker::contents(const std::string& table) {
  contents_.clear();
  equal_contents(table);
  journals(table);
  for (const auto& [of_table, key] : world_.history().keys()) {
    if (of_table != table) continue;
    const auto operations = world_.history().of(table, key);
    for (const Operation* operation : operations)
      if (operation->kind == Kind::put) {
        judge_put(*operation, operations);
        judge_reuse(*operation, operations);
        judge_condition(*operation, operations);
      }
  }
  for (const auto& [of_table, key] : world_.history().keys())
    if (of_table == table) judge_absence(key, world_.history().of(table, key));
  for (const auto& [key, value] : contents_)
    judge_visible(key, value, world_.history().of(table, key));
}

/// A put that took effect must still be there, unless something is known that took it away.
void Checker::judge_put(const Operation& put, const std::vector<const Operation*>& same_key) {
  if (!put.applied || put.maybe_lost) return;
  const auto found = contents_.find(put.key);
  if (found != contents_.end() && found->second == put.value) return;
  if (gone_by(put)) return;
  const bool key_is_there = found != contents_.end();
  // Under merge a value may give way to a newer one, a key to nothing but a delete.
  const bool merging = merges(put.table);
  // Whoever comes back after it was forgotten joins empty under every rule: what only such nodes
  // had goes to their journals, for the operator to put again.
  const bool by_forgotten =
      std::all_of(put.holders.begin(), put.holders.end(),
                  [this](const auto& holder) { return world_.was_forgotten(holder.first); });
  if (journal_.contains(put.value) && (!merging || key_is_there || by_forgotten)) return;
  for (const Operation* other : same_key) {
    if (other == &put || History::happened_before(*other, put)) continue;
    if (other->kind == Kind::remove || gone_by(*other)) return;
    if (other->kind == Kind::put && (!merging || key_is_there || other->maybe_lost)) return;
  }
  problem(fmt::format("{}: {} is {}",
                      put.acknowledged ? "an acknowledged put is lost" : "a put is lost",
                      describe(put), key_is_there ? "replaced by " + found->second : "gone"));
}

bool Checker::gone_by(const Operation& operation) const {
  return operation.ttl &&
         world_.now() >= operation.invoked + *operation.ttl - world_.options().clock_tolerance;
}

/// A put on the condition that its key is there made none: some other put had made it, and what
/// that made was not surely deleted before.
void Checker::judge_condition(const Operation& put, const std::vector<const Operation*>& same_key) {
  if (!put.if_present || !put.applied) return;
  world_.count("a put of what is there");
  const auto surely_deleted = [&](const Operation& made) {
    return std::ranges::any_of(same_key, [&](const Operation* removal) {
      return removal->kind == Kind::remove && !removal->maybe_lost &&
             History::happened_before(made, *removal) && History::happened_before(*removal, put);
    });
  };
  const bool may_be_there = std::ranges::any_of(same_key, [&](const Operation* other) {
    return other->kind == Kind::put && other != &put &&
           (other->applied || !other->done() || !other->error.empty()) && !surely_deleted(*other);
  });
  if (!may_be_there) problem("put of a key that cannot be there: " + describe(put));
}

/// Under `reuse: never` nobody who knows that a key was deleted takes a put of it.  Judged where
/// nothing expires, for then whoever removed a key that it had has deleted it or knew of a delete;
/// and where no other put may have made it anew, unknown to the delete.
void Checker::judge_reuse(const Operation& put, const std::vector<const Operation*>& same_key) {
  if (world_.table(put.table).reuse != cache::Reuse::never || !put.applied || put.again) return;
  if (std::ranges::any_of(same_key, [](const Operation* each) { return each->ttl.has_value(); }))
    return;
  for (const Operation* removal : same_key) {
    const bool known = removal->kind == Kind::remove && removal->applied && !removal->maybe_lost &&
                       History::happened_before(*removal, put);
    if (!known) continue;
    bool deleted = false, made_anew = false;
    for (const Operation* other : same_key) {
      if (other->kind != Kind::put || other == &put) continue;
      const bool before = History::happened_before(*other, *removal);
      deleted = deleted || (before && other->applied && !other->maybe_lost);
      made_anew = made_anew || (!before && (other->applied || other->unknown || !other->done()));
    }
    if (deleted && !made_anew)
      return problem("put again under reuse: never: " + describe(put) + ", although " +
                     describe(*removal));
  }
}

/// A key that was created and that nobody deleted is there; under `oldest` a journal may have it
/// instead: at least one of the values that were put.
void Checker::judge_absence(const std::string& key, const std::vector<const Operation*>& same_key) {
  if (contents_.contains(key)) return;
  const Operation* held = nullptr;
  for (const Operation* operation : same_key) {
    if (operation->kind != Kind::put || gone_by(*operation) || operation->maybe_lost) return;
    if (journal_.contains(operation->value)) return;
    if (operation->applied) held = operation;
  }
  if (held != nullptr) problem("a key is gone that nobody deleted: " + describe(*held));
}

/// What is read must have been written, and nothing that came after it can have been overlooked.
void Checker::judge_visible(const std::string& key, const std::string& value,
                            const std::vector<const Operation*>& same_key) {
  const Operation* put = world_.history().put_of(value);
  if (put == nullptr || put->key != key)
    return problem("a value that nobody wrote: " + value + " for " + key);
  const bool only_puts = plain(same_key);
  const auto set_aside = [&](const Operation& other) {  // itself, or with what replaced it
    std::vector<const Operation*> replaced{&other};
    for (std::size_t next = 0; next < replaced.size(); ++next) {
      const Operation& each = *replaced[next];
      if (journal_.contains(each.value)) return true;
      std::copy_if(same_key.begin(), same_key.end(), std::back_inserter(replaced),
                   [&](const Operation* last) {
                     return std::ranges::find(replaced, last) == replaced.end() &&
                            History::may_replace(each, *last);
                   });
    }
    return false;
  };
  for (const Operation* other : same_key) {
    if (other == put || !other->applied || other->maybe_lost) continue;
    if (!History::happened_before(*put, *other)) continue;
    if (other->kind == Kind::remove)
      problem("resurrected: " + describe(*put) + " is read, although " + describe(*other));
    if (other->kind == Kind::put && only_puts && !set_aside(*other))
      problem("went back: " + describe(*put) + " is read, although " + describe(*other));
  }
  if (!put->ttl || !put->done() || put->unknown || same_key.size() != 1) return;
  world_.count("an entry that expires");
  if (world_.now() > put->completed + *put->ttl + world_.options().clock_tolerance)
    problem("expired, but read: " + describe(*put));
}

}  // namespace muster::lab
