// SPDX-License-Identifier: MIT
//
// The port through which a healer of splits (muster::unsplit) decides what the cache then does. The
// cache knows lines and how to lose one; whether a fork may be healed, and who wins it, is asked
// here.  Without a healer, tables stay apart.
//
// Threads: the node's strand.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "muster/cache/definition.h"
#include "muster/cache/table.h"
#include "muster/cache/types.h"
#include "muster/discovery/time.h"
#include "muster/node/identity.h"

namespace muster::cache {

enum class SplitContext : std::uint8_t {
  running_partitioned_network,   ///< Both sides ran and wrote while apart.
  starting_partitioned_network,  ///< One side is starting with an old disk.
  never_met,                     ///< Two clusters with roots of their own.
};

[[nodiscard]] std::string_view to_string(SplitContext context);

/// Sibling lines have met: `ours` and `theirs` are equal up to `common` lines and differ after.
struct Fork {
  SplitContext context = SplitContext::running_partitioned_network;
  node::Member peer;
  std::string table;
  Path ours;
  Path theirs;
  std::size_t common = 0;

  [[nodiscard]] const Line& our_sibling() const { return ours[common]; }
  [[nodiscard]] const Line& their_sibling() const { return theirs[common]; }
};

enum class Verdict : std::uint8_t { ours_wins, theirs_wins, apart };

/// One value that a heal took out of the table, on its way to the journal.
struct SetAside {
  std::string key;  ///< Encoded.
  Dot created;
  ValueRegister value;  ///< With the expiry of the entry as it was, touches included.
  Stamp before;         ///< Of the value that the key holds again now; no stamp: none.
  std::string why;      ///< Empty: its line is losing the fork that was just judged.
};

struct HealReport {
  Fork fork;
  Verdict verdict = Verdict::apart;
  std::uint64_t set_aside = 0;
  Duration took{};       ///< From the contact until both sides had what the other had.
  bool complete = true;  ///< False: cut off before that; the next contact does the rest.
};

class Healer {
 public:
  virtual ~Healer() = default;

  /// Read from the two paths and the definition alone, so that every node answers alike at any
  /// time.
  [[nodiscard]] virtual Verdict judge(Now now, const TableDefinition& table, const Fork& fork) = 0;
  /// The journal record of a value that is being set aside, as it goes into Space::journal in the
  /// same commit as the loss.  `speaks`: of all that lose this value this node answers for it: it
  /// wrote it, or whoever did is not here and this node is the oldest of them.  Returns the row's
  /// key and value.
  struct Record {
    std::string key, value;
  };
  [[nodiscard]] virtual Record record(Now now, const TableDefinition& table, const SetAside& aside,
                                      bool speaks) = 0;
  /// Once per node, table and heal, on winners and losers alike, when it is done.
  virtual void healed(Now now, const HealReport& report) = 0;
};

}  // namespace muster::cache
