// SPDX-License-Identifier: MIT
//
// The healer of splits: judges forks by the rule that each table's owner chose, writes the journal,
// remembers what was healed.  A heal that is cut by a new split or a crash leaves no state here: it
// is simply judged again at the next contact.  Pure; driven by the lab and by the shell
// (unsplit.h).
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "muster/cache/cache_machine.h"
#include "muster/cache/healer.h"
#include "muster/unsplit/journal.h"
#include "muster/unsplit/policy.h"

namespace muster::unsplit {

struct UnsplitOptions {
  FlushTables flush_tables;
  bool auto_initialize_cluster = true;  ///< Clusters that never met join; the younger root follows.
  std::size_t heals_kept = 100;         ///< In status.
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
  std::string text;  ///< The sentence for the log.
};
[[nodiscard]] std::string_view to_string(cache::SplitContext context);

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
                              const cache::SetAside& aside) override;
  void healed(Now now, const cache::HealReport& report) override;

  /// To be told of the cache's `deleted` events: the key's records go.
  void on_event(Now now, const cache::CacheEvent& event);
  [[nodiscard]] Instant next_wake() const { return next_prune_; }
  void wake(Now now);  ///< Drops the records whose entries have expired.

  [[nodiscard]] std::vector<Heal> heals() const;  ///< Newest last.
  [[nodiscard]] std::vector<JournalEntry> journal(std::string_view table) const;
  /// Puts a record's value again with what is left of its time, unless the key holds a newer value
  /// or the record has expired; then erases the record.  A key that was deleted since has no record
  /// any more.
  using ReplayDone = std::function<void(Now, Result<void>)>;
  void replay(Now now, std::string_view table, std::string_view row, ReplayDone done);

 private:
  [[nodiscard]] std::string winner_of(const cache::Fork& fork, cache::Verdict verdict) const;
  void refuse(Now now, const cache::TableDefinition& table, const cache::Fork& fork, Rule rule,
              std::string text);
  void remember(Now now, Heal heal);

  const UnsplitOptions options_;
  const Report report_;
  const NameOf name_of_;
  cache::CacheMachine* cache_ = nullptr;
  std::deque<Heal> heals_;
  std::set<std::pair<std::string, node::BootId>> refused_;  // Told already, until healed.
  std::map<std::string, Rule, std::less<>> rules_;          // As last judged, for the report.
  Instant next_prune_{};
};

}  // namespace muster::unsplit
