// SPDX-License-Identifier: MIT
//
// The healer of splits: judges forks by the rule that each table's owner chose, writes the journal,
// has set-aside values merged where the table has a function for that, remembers what was healed.
// A heal that is cut by a new split or a crash leaves no state here: it is simply judged again at
// the next contact.  Pure; driven by the lab and by the shell (unsplit.h).
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "muster/cache/cache_machine.h"
#include "muster/cache/healer.h"
#include "muster/unsplit/journal.h"
#include "muster/unsplit/merge_functions.h"
#include "muster/unsplit/policy.h"

namespace muster::unsplit {

struct UnsplitOptions {
  FlushTables flush_tables;
  bool auto_initialize_cluster = true;  ///< Clusters that never met join; the younger root follows.
  /// By table, for those whose on_split is `custom`; the same on every node.
  std::map<std::string, MergeFunction, std::less<>> merge_functions = {};
  std::size_t merges_at_once = 64;  ///< Puts of merged values under way, per table.
  std::size_t heals_kept = 100;     ///< In status.
  Duration prune_every = std::chrono::seconds(30);
};

/// One heal, or one refusal to heal, as people see it.
struct Heal {
  Timestamp at{};
  std::string table;
  NodeName peer;
  cache::SplitContext context = cache::SplitContext::running_partitioned_network;
  Rule rule = Rule::none;
  cache::Verdict verdict = cache::Verdict::apart;
  std::string winner;  ///< Who named the winning line: a node's name, or its boot id when that life
                       ///< is over.
  std::uint64_t set_aside = 0;
  Duration took{};
  bool complete = true;  ///< False: cut off; the next contact does the rest.
  std::string text;      ///< The sentence for the log.
};

/// Of one table, since the node started; for metrics.
struct HealTotals {
  std::uint64_t heals = 0;
  std::uint64_t cut_off = 0;  ///< Of these.
  std::uint64_t refusals = 0;
  std::uint64_t set_aside = 0;
  std::uint64_t merged = 0;  ///< Of these, put again by the table's merge function.
  Duration took{};           ///< All heals together.
  Duration last_took{};
  std::string last_winner;  ///< Empty: no heal yet.
};

class UnsplitMachine final : public cache::Healer {
 public:
  /// `report` gets each heal and each refusal once.  `name_of` names the node of a boot, or gives
  /// "".
  using Report = std::function<void(Now, const Heal&)>;
  using NameOf = std::function<std::string(node::BootId)>;
  UnsplitMachine(UnsplitOptions options, Report report, NameOf name_of);

  /// Becomes the healer of `cache`, which must outlive it or be told set_healer(nullptr) first.
  void attach(cache::CacheMachine& cache);

  // cache::Healer.
  [[nodiscard]] cache::Verdict judge(Now now, const cache::TableDefinition& table,
                                     const cache::Fork& fork) override;
  [[nodiscard]] Record record(Now now, const cache::TableDefinition& table,
                              const cache::SetAside& aside, bool speaks) override;
  void healed(Now now, const cache::HealReport& report) override;

  /// To be told of the cache's events: a delete ends the key's records, a table that is ready
  /// (again) goes on merging.
  void on_event(Now now, const cache::CacheEvent& event);
  /// May come nearer with every call that takes `now`.
  [[nodiscard]] Instant next_wake() const { return std::min(next_prune_, next_merge_); }
  /// Drops the records whose entries have expired; has set-aside values merged.
  void wake(Now now);

  [[nodiscard]] std::vector<Heal> heals() const;  ///< Newest last.
  [[nodiscard]] const std::map<std::string, HealTotals, std::less<>>& totals() const {
    return totals_;
  }
  [[nodiscard]] std::vector<JournalEntry> journal(std::string_view table) const;
  /// Puts a record's value again with what is left of its time, unless the key holds a newer value,
  /// was deleted, or the record has expired; then erases the record.
  using ReplayDone = std::function<void(Now, Result<void>)>;
  void replay(Now now, std::string_view table, std::string_view row, ReplayDone done);

 private:
  struct Merging {
    std::deque<std::string> rows = {};
    std::size_t under_way = 0;
  };

  [[nodiscard]] Timestamp clock(Now now) const;
  [[nodiscard]] std::string name_of(node::BootId boot) const;
  [[nodiscard]] bool is_over(Now now, const std::string& table, const JournalEntry& entry) const;
  [[nodiscard]] std::optional<JournalEntry> find(std::string_view table,
                                                 std::string_view row) const;
  void refuse(Now now, const cache::TableDefinition& table, const cache::Fork& fork, Rule rule,
              std::string text);
  void remember(Now now, Heal heal);

  // unsplit_merging.cc
  void gather_merges(Now now);
  void merge_some(Now now, const std::string& table);
  void merge_one(Now now, const std::string& table, const std::string& row);
  void put_merged(Now now, const std::string& table, const JournalEntry& entry, cache::Put put);
  void keep_unmerged(Now now, const std::string& table, JournalEntry entry, std::string why);

  const UnsplitOptions options_;
  const Report report_;
  const NameOf name_of_;
  cache::CacheMachine* cache_ = nullptr;
  std::deque<Heal> heals_;
  std::map<std::string, HealTotals, std::less<>> totals_;
  /// Told already: table, peer, our sibling and theirs.
  std::set<std::tuple<std::string, NodeName, cache::LineId, cache::LineId>> refused_;
  std::map<std::string, Rule, std::less<>> rules_;          // As last judged, for the report ...
  std::map<std::string, std::string, std::less<>> losses_;  // ... and why for the journal.
  Instant next_prune_{};
  std::map<std::string, Merging, std::less<>> merging_;
  Instant next_merge_ = never;
};

}  // namespace muster::unsplit
