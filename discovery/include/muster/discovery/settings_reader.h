// SPDX-License-Identifier: MIT
//
// Reading Settings with good errors.  A Fields hands out the values of one map by name and type,
// notes which names were asked for, and finish() reports every other key with the nearest of them:
//
//   Problems problems;
//   Fields fields(*file, "", problems);
//   const auto port = fields.integer("port", 4000, 1, 65535);
//   const auto poll = fields.duration("polling_interval", 5s);
//   fields.finish();
//   if (!problems.empty()) return problems.error();
//
// A value of the wrong type is one problem and reads as the default, so that one run reports all
// problems of a file.
#pragma once

#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "muster/discovery/settings.h"

namespace muster {

/// The errors of one file, each "file:line:column: what is wrong", in the order of reading; at most
/// 100 are kept.
class Problems {
 public:
  void add(const Settings& where, std::string_view what);
  void add(const Error& error) { keep(error.text()); }
  [[nodiscard]] bool empty() const { return lines_.empty(); }
  [[nodiscard]] const std::vector<std::string>& lines() const { return lines_; }
  /// All lines in one Error, one below the other.
  [[nodiscard]] Error error() const;

 private:
  void keep(std::string line);

  std::vector<std::string> lines_;
};

class Fields {
 public:
  /// `path` names the map in errors ("topologies.local.config").  A null reads as an empty map;
  /// anything else than a map is a problem.  `settings` and `problems` must outlive this.
  Fields(const Settings& settings, std::string path, Problems& problems);

  [[nodiscard]] std::string string(std::string_view key, std::string_view otherwise = {});
  [[nodiscard]] bool boolean(std::string_view key, bool otherwise);
  [[nodiscard]] std::int64_t integer(std::string_view key, std::int64_t otherwise,
                                     std::int64_t least = std::numeric_limits<std::int64_t>::min(),
                                     std::int64_t most = std::numeric_limits<std::int64_t>::max());
  /// `forever` is within bounds only if `most` is.
  [[nodiscard]] Duration duration(std::string_view key, Duration otherwise,
                                  Duration least = Duration::zero(), Duration most = forever);
  /// A list of scalars; a lone scalar is a list of one.
  [[nodiscard]] std::vector<std::string> strings(std::string_view key,
                                                 std::vector<std::string> otherwise = {});
  template <class Enum, std::size_t Size>
  [[nodiscard]] Enum choice(std::string_view key, Enum otherwise,
                            const std::pair<std::string_view, Enum> (&choices)[Size]) {
    std::vector<std::string> names;
    for (const auto& [name, value] : choices) names.emplace_back(name);
    const auto index = choice_index(key, names);
    return index ? choices[*index].second : otherwise;
  }

  /// The map under `key`, to be read and finished by itself; empty where absent.
  [[nodiscard]] Fields fields(std::string_view key);
  /// The value under `key` as it is, or null; counts as read.
  [[nodiscard]] const Settings* find(std::string_view key);
  [[nodiscard]] const Settings& settings() const { return *settings_; }

  /// A problem unless `key` is there; use before the getter.  Returns whether it is there.
  bool require(std::string_view key);
  /// A problem of the value under `key` (of the map itself where absent): "PATH.KEY " + what.
  void reject(std::string_view key, std::string_view what);
  /// Reports every key that nobody asked for.
  void finish();

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string path_of(std::string_view key) const;
  [[nodiscard]] Problems& problems() { return *problems_; }

 private:
  const Settings* scalar(std::string_view key, std::string_view kind);
  std::optional<std::size_t> choice_index(std::string_view key,
                                          const std::vector<std::string>& names);
  void reject_value(const Settings& value, std::string_view key, std::string_view wanted);

  const Settings* settings_;
  std::string path_;
  Problems* problems_;
  std::vector<std::string> known_;
};

}  // namespace muster
