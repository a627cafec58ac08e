// SPDX-License-Identifier: MIT
// Values built in C++, durations and spelling help; settings_yaml.cc holds the parser.
#include "muster/discovery/settings.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <numeric>

namespace muster {
namespace {

struct Unit {
  std::string_view name;
  std::chrono::nanoseconds size;
};
// Largest first: duration_text takes the first that divides.
constexpr std::array<Unit, 7> units{{{"d", std::chrono::hours(24)},
                                     {"h", std::chrono::hours(1)},
                                     {"m", std::chrono::minutes(1)},
                                     {"s", std::chrono::seconds(1)},
                                     {"ms", std::chrono::milliseconds(1)},
                                     {"us", std::chrono::microseconds(1)},
                                     {"ns", std::chrono::nanoseconds(1)}}};

/// Levenshtein's; words are option names, so short.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t above = row[j + 1];
      const std::size_t swap = diagonal + (a[i] == b[j] ? 0 : 1);
      row[j + 1] = std::min({swap, above + 1, row[j] + 1});
      diagonal = above;
    }
  }
  return row.back();
}

}  // namespace

Settings::Settings(Duration value) : Settings(duration_text(value)) {}

Settings Settings::list(std::vector<Settings> items) {
  Settings settings;
  settings.kind_ = Kind::list;
  settings.items_ = std::move(items);
  return settings;
}

Settings Settings::map(const std::vector<std::pair<std::string, Settings>>& entries) {
  Settings settings;
  settings.kind_ = Kind::map;
  for (const auto& [key, value] : entries) settings.set(key, value);
  return settings;
}

const Settings* Settings::find(std::string_view key) const {
  const auto found =
      std::ranges::find_if(entries_, [&](const Entry& entry) { return entry.key.text() == key; });
  return found == entries_.end() ? nullptr : &found->value;
}

Settings& Settings::set(std::string key, Settings value) {
  if (kind_ == Kind::null) kind_ = Kind::map;
  for (Entry& entry : entries_)
    if (entry.key.text() == key) {
      entry.value = std::move(value);
      return *this;
    }
  entries_.push_back({Settings(std::move(key)), std::move(value)});
  return *this;
}

void Settings::push_back(Settings item) {
  if (kind_ == Kind::null) kind_ = Kind::list;
  items_.push_back(std::move(item));
}

const std::string& Settings::source() const {
  static const std::string none;
  return source_ ? *source_ : none;
}

std::string Settings::where() const {
  if (line_ == 0) return {};
  return source() + ":" + std::to_string(line_) + ":" + std::to_string(column_) + ": ";
}

Result<Duration> parse_duration(std::string_view text) {
  if (text == "infinity") return forever;
  std::int64_t count = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  const std::string_view name(rest, static_cast<std::size_t>(text.data() + text.size() - rest));
  const auto unit = std::ranges::find(units, name.empty() ? "ms" : name, &Unit::name);
  if (error != std::errc() || unit == units.end() || count < 0 ||
      count > Duration::max().count() / unit->size.count())
    return bad_input("'" + std::string(text.substr(0, 60)) +
                     "' is not a time like 500ms, 5s, 1h or infinity");
  return Duration(count * unit->size);
}

std::string duration_text(Duration value) {
  if (value == forever) return "infinity";
  if (value == Duration::zero()) return "0ms";
  const std::chrono::nanoseconds whole = value;
  const auto unit = std::ranges::find_if(
      units, [&](const Unit& candidate) { return whole % candidate.size == whole.zero(); });
  return std::to_string(whole / unit->size) + std::string(unit->name);
}

std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates) {
  if (word.size() > 100) return {};
  const std::string* nearest = nullptr;
  std::size_t best = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    const std::size_t far = distance(word, candidate);
    if (far < best && far < candidate.size()) {
      best = far;
      nearest = &candidate;
    }
  }
  return nearest ? ", did you mean '" + *nearest + "'?" : std::string();
}

}  // namespace muster
