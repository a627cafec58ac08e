// SPDX-License-Identifier: MIT
//
// What clients did and what they were told, as they saw it: the record that checkers judge a world
// by.  It knows nothing of stamps or vectors; only who asked whom, when, the answer, and for
// excuses the line on which it was given.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "muster/discovery/time.h"

namespace muster::lab {

using NodeIndex = std::size_t;

struct Operation {
  enum class Kind : std::uint8_t { put, touch, remove };
  std::size_t id = 0;
  Kind kind = Kind::put;
  NodeIndex node = 0;
  std::uint32_t life = 0;  ///< Of the node.
  std::string table;
  std::string key;    ///< Encoded.
  std::string value;  ///< Unique in its world.
  std::optional<Duration> ttl;
  bool if_present = false;  ///< A put of a key that is there, or of none.
  bool again = false;       ///< A heal happened meanwhile, so it may have been put again.
  bool direct = true;       ///< The node was ready, so it did not have to ask another.
  Instant invoked{};
  Instant completed = never;  ///< Never: no answer, the node died first.
  bool applied = false;
  bool acknowledged = false;
  bool unknown = false;  ///< Passed on, and not answered: it may be applied even after that.
  std::string error;
  std::uint64_t line = 0;      ///< Of the node as it answered; 0: another answered, or it had none.
  std::uint64_t asked_on = 0;  ///< The same, as it was asked.
  /// Who has it, as far as anybody was told, and since when at the latest; crashes strike off.
  std::map<NodeIndex, Instant> holders;
  /// To whom the only holder handed it when it left, and when; crashes strike off.
  std::map<NodeIndex, Instant> heirs;
  bool maybe_lost = false;  ///< Every known holder, or heir, lost its disk or its tail since.

  [[nodiscard]] bool done() const { return completed != never; }
};

class History {
 public:
  Operation& add(Operation operation);
  [[nodiscard]] Operation& at(std::size_t id) { return operations_[id]; }
  [[nodiscard]] const std::vector<Operation>& all() const { return operations_; }
  /// Of one table and key, in the order of invocation.
  [[nodiscard]] std::vector<const Operation*> of(const std::string& table,
                                                 const std::string& key) const;
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> keys() const;
  [[nodiscard]] const Operation* put_of(const std::string& value) const;

  /// An answer says that `nodes` have it.  Those that have left meanwhile have handed it over, or
  /// taken it along.
  void held(std::size_t id, const std::set<NodeIndex>& nodes, Instant now);
  /// `node` lost what was completed later than its table's instant in `durable`; where a table is
  /// not in it: all.  Of the tables in `stored_first` it acknowledged nothing before that was on
  /// its own disk.
  void lost(NodeIndex node, const std::map<std::string, Instant>& durable,
            const std::set<std::string>& stored_first = {});
  /// `node` left for good; where it is in touch with nobody it takes with it what nobody else has,
  /// and of tables that are not on its disk also what it has set aside.
  void left(NodeIndex node, const std::set<NodeIndex>& in_touch,
            const std::set<std::string>& unwritten, Instant now);
  void returned(NodeIndex node) { left_.erase(node); }
  /// A heal: what is under way may be put again on the winner's line.
  void healed();
  /// All copies are equal now: everybody holds what anybody held.
  void settled(const std::set<NodeIndex>& nodes, Instant now);

  /// Whoever executed `later` had already applied `earlier`.
  [[nodiscard]] static bool happened_before(const Operation& earlier, const Operation& later);
  /// `later` may have taken the place of `earlier` where both were: it came after it, or the two
  /// did not know of each other, but met, for they were made on one line.
  [[nodiscard]] static bool may_replace(const Operation& earlier, const Operation& later);

 private:
  std::vector<Operation> operations_;
  std::map<std::pair<std::string, std::string>, std::vector<std::size_t>> by_key_;
  std::map<std::string, std::size_t> by_value_;
  /// Of those that have left: the company that they left behind, without those that lost something
  /// or left since.
  std::map<NodeIndex, std::set<NodeIndex>> left_;
};

}  // namespace muster::lab
