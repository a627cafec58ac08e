// SPDX-License-Identifier: MIT
//
// What a key holds, as values on their own: incarnations that own their registers, and how a change
// settles in them.  In both registers the newest stamp wins, in whatever order and however often.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "muster/cache/table.h"
#include "muster/cache/types.h"

namespace muster::cache {

/// An incarnation with one value, as its fields.
struct Plain {
  Dot created;
  ValueRegister value;
  ExpiryRegister touch;

  [[nodiscard]] Expiry expiry() const {
    return touch.stamp > value.stamp ? touch.expiry : value.expiry;
  }
};

/// An incarnation that owns its values.
struct Version {
  struct Value {
    Stamp stamp;
    LineId line = 0;
    Expiry expiry = never_expires;
    std::string bytes;
  };
  Dot created;
  std::vector<Value> values;  ///< Newest first, one per line.
  ExpiryRegister touch;
  bool called_back = false;  ///< Its expiry was reported; it has left the digest.

  [[nodiscard]] Expiry expiry() const;
  [[nodiscard]] bool live(Timestamp at) const { return !values.empty() && expiry() > at; }
  /// Waits for its expiry to be reported.
  [[nodiscard]] bool pending() const {
    return !values.empty() && !called_back && expiry() != never_expires;
  }
};

/// Sorted by create dot.
using Rich = std::vector<Version>;

/// The newest by value among those for which `counts` holds; nullptr: none.
template <class Counts>
[[nodiscard]] const Version* newest(const Rich& rich, const Counts& counts) {
  const Version* found = nullptr;
  for (const Version& version : rich) {
    if (version.values.empty() || !counts(version)) continue;
    if (found == nullptr || found->values.front().stamp <= version.values.front().stamp) {
      found = &version;
    }
  }
  return found;
}

[[nodiscard]] ValueRegister view_of(const Version::Value& value);
[[nodiscard]] Version::Value owned(const ValueRegister& value);

/// nullptr: not there.
[[nodiscard]] Version* find_version(Rich& rich, const Dot& created);
/// Made without registers where it is not there.
[[nodiscard]] Version& obtain_version(Rich& rich, const Dot& created);

// True when something changed.
bool put_value(Version& version, const ValueRegister& value, bool keep_before);
bool touch_version(Version& version, const ExpiryRegister& touch);
/// An incarnation left without value and touch goes.
bool take_value(Rich& rich, const Dot& created, LineId line);

/// One incarnation with one value: fits the plain form of an entry.
[[nodiscard]] bool plain_enough(const Rich& rich);
[[nodiscard]] Plain plain_of(const Version& version);

}  // namespace muster::cache
