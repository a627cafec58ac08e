// SPDX-License-Identifier: MIT
#include "table_version.h"

#include <algorithm>
#include <utility>

namespace muster::cache {
namespace {

/// Newest first; of equal stamps (which two lines never give) the order is settled, too.
bool newer(const Version::Value& a, const Version::Value& b) {
  return std::pair(a.stamp, a.line) > std::pair(b.stamp, b.line);
}

Rich::iterator place_of(Rich& rich, const Dot& created) {
  return std::lower_bound(
      rich.begin(), rich.end(), created,
      [](const Version& version, const Dot& dot) { return version.created < dot; });
}

}  // namespace

Expiry Incarnation::expiry() const {
  if (values.empty()) return touch.expiry;
  return touch.stamp > values.front().stamp ? touch.expiry : values.front().expiry;
}

bool Incarnation::live(Timestamp at) const { return !values.empty() && expiry() > at; }

Expiry Version::expiry() const {
  if (values.empty()) return touch.expiry;
  return touch.stamp > values.front().stamp ? touch.expiry : values.front().expiry;
}

ValueRegister view_of(const Version::Value& value) {
  return {value.stamp, value.line, value.expiry, value.bytes};
}

Version::Value owned(const ValueRegister& value) {
  return {value.stamp, value.line, value.expiry, std::string(value.bytes)};
}

Version* find_version(Rich& rich, const Dot& created) {
  const auto at = place_of(rich, created);
  return at != rich.end() && at->created == created ? &*at : nullptr;
}

Version& obtain_version(Rich& rich, const Dot& created) {
  const auto at = place_of(rich, created);
  if (at != rich.end() && at->created == created) return *at;
  Version version;
  version.created = created;
  return *rich.insert(at, std::move(version));
}

bool put_value(Version& version, const ValueRegister& value, bool keep_before) {
  auto& values = version.values;
  const auto same_line = [&](const Version::Value& known) { return known.line == value.line; };
  if (!keep_before) {
    if (!values.empty() && values.front().stamp >= value.stamp) return false;
    values.clear();
  } else if (const auto known = std::find_if(values.begin(), values.end(), same_line);
             known != values.end()) {
    if (known->stamp >= value.stamp) return false;
    values.erase(known);
  }
  values.push_back(owned(value));
  std::sort(values.begin(), values.end(), newer);
  return true;
}

bool touch_version(Version& version, const ExpiryRegister& touch) {
  if (touch.stamp <= version.touch.stamp) return false;
  version.touch = touch;
  return true;
}

bool plain_enough(const Rich& rich) { return rich.size() == 1 && rich.front().values.size() == 1; }

Plain plain_of(const Version& version) {
  return {version.created, view_of(version.values.front()), version.touch};
}

bool take_value(Rich& rich, const Dot& created, LineId line) {
  const auto version = place_of(rich, created);
  if (version == rich.end() || version->created != created) return false;
  const auto on_line = [&](const Version::Value& value) { return value.line == line; };
  if (std::erase_if(version->values, on_line) == 0) return false;
  if (!version->values.empty()) return true;
  version->called_back = false;
  if (version->touch.stamp == Stamp{}) rich.erase(version);
  return true;
}

}  // namespace muster::cache
