// SPDX-License-Identifier: MIT
#include "muster/unsplit/unsplit_machine.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <chrono>

namespace muster::unsplit {

using cache::Fork;
using cache::SplitContext;
using cache::TableDefinition;
using cache::Verdict;

std::string_view to_string(SplitContext context) {
  switch (context) {
    case SplitContext::running_partitioned_network:
      return "running_partitioned_network";
    case SplitContext::starting_partitioned_network:
      return "starting_partitioned_network";
    case SplitContext::never_met:
      return "never_met";
  }
  return "?";
}

UnsplitMachine::UnsplitMachine(UnsplitOptions options, Report report, NameOf name_of)
    : options_(std::move(options)), report_(std::move(report)), name_of_(std::move(name_of)) {}

void UnsplitMachine::attach(cache::CacheMachine& cache) {
  cache_ = &cache;
  cache.set_healer(this);
}

Verdict UnsplitMachine::judge(Now now, const TableDefinition& table, const Fork& fork) {
  assert(fork.common < fork.ours.size() && fork.common < fork.theirs.size());
  const Rule rule = rule_for(table, options_.flush_tables);
  rules_.insert_or_assign(table.name, rule);
  if (fork.common == 0 && !options_.auto_initialize_cluster) {
    refuse(now, table, fork, rule,
           fmt::format("table {} was founded twice, here and on {}; they stay apart because "
                       "auto_initialize_cluster is false",
                       table.name, fork.peer.name.text()));
    return Verdict::apart;
  }
  switch (rule) {
    case Rule::oldest:
    case Rule::merge:
      return ours_is_older(fork) ? Verdict::ours_wins : Verdict::theirs_wins;
    case Rule::largest:
      return ours_is_larger(fork) ? Verdict::ours_wins : Verdict::theirs_wins;
    case Rule::none:
      refuse(now, table, fork, rule,
             fmt::format("table {} stays apart from {}: its on_split is none", table.name,
                         fork.peer.name.text()));
      return Verdict::apart;
    case Rule::unexpected:
      refuse(now, table, fork, rule,
             fmt::format("Can't force reload unexpected tables [{}] to heal {}; list it in "
                         "flush_tables or give it an on_split of its own",
                         table.name, fork.peer.name.text()));
      return Verdict::apart;
  }
  return Verdict::apart;
}

cache::Healer::Record UnsplitMachine::record(Now now, const TableDefinition&,
                                             const cache::SetAside& aside) {
  return encode(aside, now.wall);
}

void UnsplitMachine::healed(Now now, const cache::HealReport& report) {
  const Fork& fork = report.fork;
  refused_.erase({fork.table, fork.peer.boot});
  Heal heal;
  heal.table = fork.table;
  heal.peer = fork.peer.name;
  heal.context = fork.context;
  const auto rule = rules_.find(fork.table);
  heal.rule = rule == rules_.end() ? Rule::oldest : rule->second;
  heal.verdict = report.verdict;
  heal.winner = winner_of(fork, report.verdict);
  heal.set_aside = report.set_aside;
  heal.took = report.took;
  heal.text = fmt::format(
      "table {} healed with {} ({}): the line of {} wins by {}, {} values set aside here, took {} "
      "ms",
      heal.table, heal.peer.text(), to_string(heal.context), heal.winner, to_string(heal.rule),
      heal.set_aside, std::chrono::duration_cast<std::chrono::milliseconds>(heal.took).count());
  remember(now, std::move(heal));
}

std::string UnsplitMachine::winner_of(const Fork& fork, Verdict verdict) const {
  const cache::Line& line =
      verdict == Verdict::ours_wins ? fork.our_sibling() : fork.their_sibling();
  std::string name = name_of_ ? name_of_(line.namer.boot) : std::string();
  return name.empty() ? "boot " + node::to_string(line.namer.boot) : name;
}

void UnsplitMachine::refuse(Now now, const TableDefinition& table, const Fork& fork, Rule rule,
                            std::string text) {
  if (!refused_.emplace(table.name, fork.peer.boot).second) return;
  Heal heal;
  heal.table = table.name;
  heal.peer = fork.peer.name;
  heal.context = fork.context;
  heal.rule = rule;
  heal.verdict = Verdict::apart;
  heal.text = std::move(text);
  remember(now, std::move(heal));
}

void UnsplitMachine::remember(Now now, Heal heal) {
  heal.at = now.wall;
  if (report_) report_(now, heal);
  heals_.push_back(std::move(heal));
  if (heals_.size() > options_.heals_kept) heals_.pop_front();
}

void UnsplitMachine::on_event(Now now, const cache::CacheEvent& event) {
  if (event.kind != cache::CacheEvent::Kind::deleted || cache_ == nullptr) return;
  std::vector<std::string> rows;  // of values that the delete came after
  cache_->for_each_journal(event.table, row_prefix(event.key),
                           [&](std::string_view row, std::string_view record) {
                             const auto entry = decode(row, record);
                             if (entry && entry->key == event.key && entry->stamp < event.stamp)
                               rows.emplace_back(row);
                           });
  for (const std::string& row : rows) cache_->erase_journal(now, event.table, row);
}

void UnsplitMachine::wake(Now now) {
  if (now.mono < next_prune_ || cache_ == nullptr) return;
  next_prune_ = now.mono + options_.prune_every;
  for (const std::string& table : cache_->table_names())
    for (const JournalEntry& entry : journal(table))
      if (entry.expiry <= now.wall) cache_->erase_journal(now, table, entry.row);
}

std::vector<Heal> UnsplitMachine::heals() const { return {heals_.begin(), heals_.end()}; }

std::vector<JournalEntry> UnsplitMachine::journal(std::string_view table) const {
  std::vector<JournalEntry> entries;
  if (cache_ == nullptr) return entries;
  cache_->for_each_journal(table, {}, [&](std::string_view row, std::string_view record) {
    if (auto entry = decode(row, record)) entries.push_back(std::move(*entry));
  });
  std::ranges::sort(entries, {}, &JournalEntry::stamp);
  return entries;
}

void UnsplitMachine::replay(Now now, std::string_view table, std::string_view row,
                            ReplayDone done) {
  assert(cache_ != nullptr);
  std::optional<JournalEntry> found;
  cache_->for_each_journal(table, {}, [&](std::string_view at, std::string_view record) {
    if (at != row) return;
    if (auto entry = decode(at, record)) found = std::move(*entry);
  });
  if (!found) return done(now, bad_input("no such journal record; its key was deleted or expired"));
  if (found->expiry <= now.wall) {
    cache_->erase_journal(now, table, row);
    return done(now, bad_input("the record's entry has expired; it is gone"));
  }
  const auto copy = cache_->table(table);
  const auto present = copy ? copy->find(found->key, now.wall) : std::nullopt;
  if (present && present->stamp >= found->stamp)
    return done(now, bad_input("the key holds a newer value; the record stays in the journal"));

  cache::Write write;
  cache::Put put;
  put.key = cache::Key::decode(found->key).value();
  put.value = found->value;
  if (found->expiry == cache::never_expires)
    put.ttl = std::nullopt;
  else
    put.ttl = found->expiry - now.wall;
  write.puts.push_back(std::move(put));
  cache_->write(now, table, std::move(write), {},
                [this, table = std::string(table), row = std::string(row), done = std::move(done)](
                    Now at, Result<cache::Written> written) {
                  if (!written) return done(at, written.error());
                  cache_->erase_journal(at, table, row);
                  done(at, {});
                });
}

}  // namespace muster::unsplit
