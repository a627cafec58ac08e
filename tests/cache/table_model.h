// SPDX-License-Identifier: MIT
//
// The naive table: maps of maps, everything recomputed at each look.  What Table must agree with.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "muster/cache/table.h"

namespace muster::cache {

class TableModel {
 public:
  struct Value {
    Stamp stamp;
    LineId line = 0;
    Expiry expiry = never_expires;
    std::string bytes;
    friend bool operator==(const Value&, const Value&) = default;
  };
  struct Version {
    std::map<LineId, Value> values;
    Stamp touched;
    Expiry touch_expiry = never_expires;
    bool called_back = false;

    [[nodiscard]] const Value* newest() const {
      const Value* found = nullptr;
      for (const auto& [line, value] : values) {
        if (found == nullptr || found->stamp < value.stamp) found = &value;
      }
      return found;
    }
    [[nodiscard]] Expiry expiry() const {
      return newest() == nullptr || touched > newest()->stamp ? touch_expiry : newest()->expiry;
    }
    [[nodiscard]] bool live(Timestamp at) const { return !values.empty() && expiry() > at; }
  };
  using Versions = std::map<Dot, Version>;

  explicit TableModel(bool keep_before) : keep_before_(keep_before) {}

  bool put(const std::string& key, const Dot& dot, const Value& value) {
    Version& version = keys[key][dot];
    if (!keep_before_ && !version.values.empty()) {
      if (version.newest()->stamp >= value.stamp) return false;
      version.values.clear();
    }
    if (const auto known = version.values.find(value.line); known != version.values.end()) {
      if (known->second.stamp >= value.stamp) return false;
    }
    version.values[value.line] = value;
    settle(version);
    return true;
  }
  bool touch(const std::string& key, const Dot& dot, const Stamp& stamp, Expiry expiry) {
    Version& version = keys[key][dot];
    if (version.touched >= stamp) return false;
    version.touched = stamp;
    version.touch_expiry = expiry;
    settle(version);
    return true;
  }
  bool remove(const std::string& key, const Dot& dot) {
    const auto at = keys.find(key);
    if (at == keys.end() || at->second.erase(dot) == 0) return false;
    if (at->second.empty()) keys.erase(at);
    return true;
  }
  bool remove_value(const std::string& key, const Dot& dot, LineId line) {
    Version* version = find(key, dot);
    if (version == nullptr || version->values.erase(line) == 0) return false;
    if (version->values.empty() && version->touched == Stamp{}) return remove(key, dot);
    settle(*version);
    return true;
  }
  bool remove_before(const std::string& key, const Dot& dot) {
    Version* version = find(key, dot);
    if (version == nullptr || version->values.size() < 2) return false;
    const Value newest = *version->newest();
    version->values = {{newest.line, newest}};
    return true;
  }
  [[nodiscard]] const Version* shown(const std::string& key,
                                     const std::function<bool(const Version&)>& counts) const {
    const auto at = keys.find(key);
    const Version* found = nullptr;
    if (at == keys.end()) return found;
    for (const auto& [dot, version] : at->second) {
      if (version.values.empty() || !counts(version)) continue;
      if (found == nullptr || found->newest()->stamp <= version.newest()->stamp) found = &version;
    }
    return found;
  }
  [[nodiscard]] const Version* visible(const std::string& key, Timestamp at) const {
    return shown(key, [at](const Version& version) { return version.live(at); });
  }
  /// Keys to be called back, in key order.
  std::vector<std::string> expire(Timestamp at) {
    called_until_ = std::max(called_until_, at);
    std::vector<std::string> expired;
    const auto fresh = [](const Version& version) { return !version.called_back; };
    for (auto& [key, versions] : keys) {
      const Version* before = shown(key, fresh);
      bool fired = false;
      for (auto& [dot, version] : versions) {
        if (version.values.empty() || version.called_back || version.expiry() > at) continue;
        version.called_back = true;
        fired = true;
      }
      const Version* now = shown(key, fresh);
      if (fired && (now == nullptr || now != before)) expired.push_back(key);
    }
    return expired;
  }

  std::map<std::string, Versions> keys;

 private:
  Version* find(const std::string& key, const Dot& dot) {
    const auto at = keys.find(key);
    if (at == keys.end()) return nullptr;
    const auto version = at->second.find(dot);
    return version == at->second.end() ? nullptr : &version->second;
  }
  void settle(Version& version) const {
    if (version.values.empty() || version.expiry() > called_until_) version.called_back = false;
  }

  bool keep_before_;
  Expiry called_until_{};
};

}  // namespace muster::cache
