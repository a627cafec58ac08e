// SPDX-License-Identifier: MIT
//
// Settings: a tree of values read from YAML (or JSON, a subset of it) or built in C++.  Every value
// remembers file, line and column, so that whoever reads it can say where it is wrong;
// settings_reader.h does the reading.
//
//   auto file = Settings::load("muster.yaml");
//   auto made = Settings::map({{"strategy", "epmd"}, {"hosts", Settings::list({"a@host",
//   "b@host"})}});
//
// Bounds: 1 MiB of text, 100,000 values after aliases, 64 levels.  Threads: a value like
// std::string.
#pragma once

#include <concepts>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "muster/discovery/result.h"
#include "muster/discovery/time.h"

namespace muster {

class Settings {
 public:
  enum class Kind { null, scalar, list, map };
  template <class T>
  struct KeyAndValue {
    T key;  ///< A scalar; a value of its own so that it has a place.
    T value;
  };
  using Entry = KeyAndValue<Settings>;

  Settings() = default;  ///< null: reads like an absent key.
  // Implicit on purpose: trees built in C++ read like the YAML that they stand for.
  Settings(const char* text) : Settings(std::string(text)) {}
  Settings(std::string_view text) : Settings(std::string(text)) {}
  Settings(std::string text) : kind_(Kind::scalar), text_(std::move(text)) {}
  Settings(bool value) : Settings(value ? "true" : "false") {}
  template <class Count, class Period>
  Settings(std::chrono::duration<Count, Period> value) : Settings(Duration(value)) {}
  Settings(Duration value);
  template <class T>
  requires std::integral<T> &&(!std::same_as<T, bool>)Settings(T value)
      : Settings(std::to_string(value)) {}

  static Settings list(std::vector<Settings> items);
  static Settings map(const std::vector<std::pair<std::string, Settings>>& entries = {});

  /// `source` stands before line and column in errors.
  static Result<Settings> parse(std::string_view text, const std::string& source = "settings");
  static Result<Settings> load(const std::filesystem::path& file);

  [[nodiscard]] Kind kind() const { return kind_; }
  [[nodiscard]] bool is_null() const { return kind_ == Kind::null; }
  [[nodiscard]] const std::string& text() const { return text_; }              ///< Of a scalar.
  [[nodiscard]] const std::vector<Settings>& items() const { return items_; }  ///< Of a list.
  [[nodiscard]] const std::vector<Entry>& entries() const {
    return entries_;
  }  ///< Of a map, in order.
  [[nodiscard]] const Settings* find(
      std::string_view key) const;  ///< Null where the map has no such key.

  /// Adds or replaces; makes a map of a null.
  Settings& set(std::string key, Settings value);
  void push_back(Settings item);  ///< Makes a list of a null.

  /// "file:line:column: ", or nothing for a value made in C++.
  [[nodiscard]] std::string where() const;
  [[nodiscard]] const std::string& source() const;
  [[nodiscard]] int line() const { return line_; }      ///< From 1; 0: made in C++.
  [[nodiscard]] int column() const { return column_; }  ///< From 1.

 private:
  friend class SettingsBuilder;

  Kind kind_ = Kind::null;
  std::string text_;
  std::vector<Settings> items_;
  std::vector<Entry> entries_;
  std::shared_ptr<const std::string> source_;
  int line_ = 0;
  int column_ = 0;
};

/// `500ms`, `5s`, `1h`, `infinity` or bare milliseconds; units ns us ms s m h d.
Result<Duration> parse_duration(std::string_view text);
/// What parse_duration reads back: "500ms", "5s", "infinity".
std::string duration_text(Duration value);

/// ", did you mean 'x'?" with the nearest of the candidates, or nothing when none is near.
std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace muster
