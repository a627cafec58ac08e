// SPDX-License-Identifier: MIT
//
// Merging: after a heal of a `custom` table the values that this node answers for are given to the
// table's function, a few at a time, and what it returns is put.  Records say what is still to be
// done, so a crash only delays it.
#include <algorithm>
#include <chrono>
#include <exception>

#include "muster/unsplit/unsplit_machine.h"
#include "put_of.h"

namespace muster::unsplit {
namespace {

constexpr Duration try_again = std::chrono::seconds(1);

}  // namespace

void UnsplitMachine::gather_merges(Now now) {
  next_merge_ = never;
  for (const auto& [table, function] : options_.merge_functions) {
    Merging& merging = merging_[table];
    // What the winner has of a key must be here first; `ready` or `healed` comes.
    if (!cache_->ready(table) || cache_->healing(table)) continue;
    if (merging.rows.empty() && merging.under_way == 0)
      for (const JournalEntry& entry : journal(table))
        if (entry.to_merge) merging.rows.push_back(entry.row);
    merge_some(now, table);
  }
}

void UnsplitMachine::merge_some(Now now, const std::string& table) {
  Merging& merging = merging_[table];
  while (!merging.rows.empty() && merging.under_way < options_.merges_at_once) {
    const std::string row = std::move(merging.rows.front());
    merging.rows.pop_front();
    merge_one(now, table, row);
  }
}

void UnsplitMachine::merge_one(Now now, const std::string& table, const std::string& row) {
  auto entry = find(table, row);
  if (!entry || !entry->to_merge) return;
  if (entry->expiry <= clock(now) || cache_->deleted(table, entry->key, entry->created))
    return cache_->erase_journal(now, table, row);
  const auto copy = cache_->table(table);
  const auto kept = copy ? copy->find(entry->key, clock(now)) : std::nullopt;
  // Where the winner's side has not changed the key, nothing is to be settled.
  if ((kept ? kept->stamp : cache::Stamp{}) == entry->before)
    return put_merged(now, table, *entry, put_of(*entry, entry->value, entry->expiry));

  MergeConflict conflict;
  conflict.key = cache::Key::decode(entry->key).value();
  conflict.lost = {entry->value, entry->written()};
  if (kept)
    conflict.kept = MergeConflict::Version{
        kept->value,
        Timestamp(std::chrono::microseconds(static_cast<std::int64_t>(kept->stamp.time)))};
  std::optional<std::string> result;
  try {
    result = options_.merge_functions.find(table)->second(conflict);
  } catch (const std::exception& failure) {
    return keep_unmerged(now, table, *std::move(entry),
                         std::string("the merge function failed: ") + failure.what());
  }
  if (result && result->size() > cache::max_value_bytes)
    return keep_unmerged(now, table, *std::move(entry), "the merged value is too large");
  if (kept && result == entry->value && result == kept->value)
    return cache_->erase_journal(now, table, row);  // Both sides wrote the same.
  if (!result || (kept && *result == kept->value))
    return keep_unmerged(now, table, *std::move(entry),
                         "the merge function kept the other version");
  const cache::Expiry expiry = kept ? std::max(entry->expiry, kept->expiry) : entry->expiry;
  put_merged(now, table, *entry, put_of(*entry, *std::move(result), expiry));
}

void UnsplitMachine::put_merged(Now now, const std::string& table, const JournalEntry& entry,
                                cache::Put put) {
  ++merging_[table].under_way;
  cache::Write write;
  write.puts.push_back(std::move(put));
  cache_->write(now, table, std::move(write), {},
                [this, table, row = entry.row](Now at, const Result<cache::Written>& written) {
                  Merging& merging = merging_[table];
                  --merging.under_way;
                  if (written) {
                    ++totals_[table].merged;
                    cache_->erase_journal(at, table, row);
                  } else {
                    next_merge_ = std::min(next_merge_, at.mono + try_again);
                  }
                  if (!merging.rows.empty()) next_merge_ = std::min(next_merge_, at.mono);
                });
}

void UnsplitMachine::keep_unmerged(Now now, const std::string& table, JournalEntry entry,
                                   std::string why) {
  entry.to_merge = false;
  entry.why += "; " + why;
  Record row = encode(entry);
  cache_->write_journal(now, table, std::move(row.key), std::move(row.value));
}

}  // namespace muster::unsplit
