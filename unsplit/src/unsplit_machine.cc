// SPDX-License-Identifier: MIT
#include "muster/unsplit/unsplit_machine.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <chrono>

#include "put_of.h"

namespace muster::unsplit {
namespace {

/// Those that do not merge a value themselves look for the result.
constexpr Duration tidy_after = std::chrono::seconds(2);

}  // namespace

using cache::Fork;
using cache::TableDefinition;
using cache::Verdict;

UnsplitMachine::UnsplitMachine(UnsplitOptions options, Report report, NameOf name_of)
    : options_(std::move(options)), report_(std::move(report)), name_of_(std::move(name_of)) {}

void UnsplitMachine::attach(cache::CacheMachine& cache) {
  cache_ = &cache;
  cache.set_healer(this);
}

/// Cluster time: that of expiries.
Timestamp UnsplitMachine::clock(Now now) const {
  return cache_ == nullptr ? now.wall : cache_->time(now);
}

std::string UnsplitMachine::name_of(node::BootId boot) const {
  std::string name = name_of_ ? name_of_(boot) : std::string();
  return name.empty() ? "boot " + node::to_string(boot) : name;
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
  const auto decided = [&](bool ours_wins) {
    if (ours_wins) return Verdict::ours_wins;
    losses_.insert_or_assign(
        table.name, fmt::format("the line of {} lost to that of {} ({})",
                                name_of(fork.our_sibling().namer.boot),
                                name_of(fork.their_sibling().namer.boot), to_string(rule)));
    return Verdict::theirs_wins;
  };
  switch (rule) {
    case Rule::oldest:
    case Rule::merge:
    case Rule::custom:
      return decided(ours_is_older(fork));
    case Rule::largest:
      return decided(ours_is_larger(fork));
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

cache::Healer::Record UnsplitMachine::record(Now now, const TableDefinition& table,
                                             const cache::SetAside& aside, bool speaks) {
  JournalEntry entry;
  entry.key = aside.key;
  entry.value = aside.value.bytes;
  entry.stamp = aside.value.stamp;
  entry.created = aside.created;
  entry.before = aside.before;
  entry.line = aside.value.line;
  entry.expiry = aside.value.expiry;
  entry.writer = name_of(aside.value.stamp.boot);
  entry.set_aside = clock(now);
  entry.why = aside.why;
  const auto loss = losses_.find(table.name);
  if (entry.why.empty() && loss != losses_.end()) entry.why = loss->second;
  entry.to_merge = speaks && table.on_split == cache::OnSplit::custom &&
                   options_.merge_functions.contains(table.name);
  ++totals_[table.name].set_aside;
  return encode(entry);
}

void UnsplitMachine::healed(Now now, const cache::HealReport& report) {
  const Fork& fork = report.fork;
  Heal heal;
  heal.table = fork.table;
  heal.peer = fork.peer.name;
  heal.context = fork.context;
  const auto rule = rules_.find(fork.table);
  heal.rule = rule == rules_.end() ? Rule::oldest : rule->second;
  heal.verdict = report.verdict;
  const bool ours = report.verdict == Verdict::ours_wins;
  heal.winner = name_of((ours ? fork.our_sibling() : fork.their_sibling()).namer.boot);
  heal.set_aside = report.set_aside;
  heal.took = report.took;
  heal.complete = report.complete;
  heal.text = fmt::format(
      "table {} healed with {} ({}): the line of {} wins by {}, {} values set aside here, took {} "
      "ms{}",
      heal.table, heal.peer.text(), to_string(heal.context), heal.winner, to_string(heal.rule),
      heal.set_aside, std::chrono::duration_cast<std::chrono::milliseconds>(heal.took).count(),
      heal.complete ? "" : "; cut off before all was copied");
  HealTotals& totals = totals_[heal.table];
  ++totals.heals;
  if (!heal.complete) ++totals.cut_off;
  totals.took += heal.took;
  totals.last_took = heal.took;
  totals.last_winner = heal.winner;
  if (heal.rule == Rule::custom) {
    next_merge_ = now.mono;
    next_prune_ = std::min(next_prune_, now.mono + tidy_after);
  }
  remember(now, std::move(heal));
}

void UnsplitMachine::refuse(Now now, const TableDefinition& table, const Fork& fork, Rule rule,
                            std::string text) {
  constexpr std::size_t remembered_most = 1024;
  if (refused_.size() >= remembered_most) refused_.clear();
  if (!refused_.emplace(table.name, fork.peer.name, fork.our_sibling().id, fork.their_sibling().id)
           .second)
    return;
  ++totals_[table.name].refusals;
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
  heal.at = clock(now);
  if (report_) report_(now, heal);
  heals_.push_back(std::move(heal));
  if (heals_.size() > options_.heals_kept) heals_.pop_front();
}

void UnsplitMachine::on_event(Now now, const cache::CacheEvent& event) {
  if (cache_ == nullptr) return;
  if (event.kind == cache::CacheEvent::Kind::ready &&
      options_.merge_functions.contains(event.table))
    next_merge_ = now.mono;
  if (event.kind != cache::CacheEvent::Kind::deleted) return;
  // A delete ends what it came after, and the incarnations that it names whatever the clocks.
  std::vector<std::string> rows;
  cache_->for_each_journal(
      event.table, row_prefix(event.key), [&](std::string_view row, std::string_view record) {
        const auto entry = decode(row, record);
        if (!entry || entry->key != event.key) return;
        if (entry->stamp < event.stamp ||
            std::ranges::find(event.created, entry->created) != event.created.end())
          rows.emplace_back(row);
      });
  for (const std::string& row : rows) cache_->erase_journal(now, event.table, row);
}

void UnsplitMachine::wake(Now now) {
  if (cache_ == nullptr) return;
  if (now.mono >= next_merge_) gather_merges(now);
  if (now.mono < next_prune_) return;
  next_prune_ = now.mono + options_.prune_every;
  for (const std::string& table : cache_->table_names())
    for (const JournalEntry& entry : journal(table))
      if (is_over(now, table, entry)) cache_->erase_journal(now, table, entry.row);
}

/// Expired, put again (here or elsewhere), or given to the merge function by the node that wrote
/// it.
bool UnsplitMachine::is_over(Now now, const std::string& table, const JournalEntry& entry) const {
  if (entry.expiry <= clock(now)) return true;
  const auto copy = cache_->table(table);
  const auto present = copy ? copy->find(entry.key, clock(now)) : std::nullopt;
  if (!present || present->stamp <= entry.stamp) return false;
  if (present->value == entry.value) return true;
  const bool merges = options_.merge_functions.contains(table);
  return merges && !entry.to_merge && present->stamp.boot == entry.stamp.boot &&
         Timestamp(std::chrono::microseconds(static_cast<std::int64_t>(present->stamp.time))) >
             entry.set_aside;
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

std::optional<JournalEntry> UnsplitMachine::find(std::string_view table,
                                                 std::string_view row) const {
  std::optional<JournalEntry> found;
  cache_->for_each_journal(table, row, [&](std::string_view at, std::string_view record) {
    if (at != row) return;
    if (auto entry = decode(at, record)) found = std::move(*entry);
  });
  return found;
}

void UnsplitMachine::replay(Now now, std::string_view table, std::string_view row,
                            ReplayDone done) {
  assert(cache_ != nullptr);
  const auto found = find(table, row);
  if (!found) return done(now, bad_input("no such journal record; its key was deleted or expired"));
  const auto gone = [&](const char* why) {
    cache_->erase_journal(now, table, row);
    done(now, bad_input(why));
  };
  if (found->expiry <= clock(now)) return gone("the record's entry has expired; it is gone");
  if (cache_->deleted(table, found->key, found->created))
    return gone("the key was deleted; the record is gone");
  const auto copy = cache_->table(table);
  const auto present = copy ? copy->find(found->key, clock(now)) : std::nullopt;
  if (present && present->stamp >= found->stamp)
    return done(now, bad_input("the key holds a newer value; the record stays in the journal"));

  cache::Write write;
  write.puts.push_back(put_of(*found, found->value, found->expiry));
  cache_->write(now, table, std::move(write), {},
                [this, table = std::string(table), row = std::string(row), done = std::move(done)](
                    Now at, Result<cache::Written> written) {
                  if (!written) return done(at, written.error());
                  cache_->erase_journal(at, table, row);
                  done(at, {});
                });
}

}  // namespace muster::unsplit
