// SPDX-License-Identifier: MIT
#include "muster/discovery/settings_reader.h"

#include <algorithm>
#include <charconv>

namespace muster {
namespace {

constexpr std::size_t max_problems = 100;

std::string shown(const Settings& value) {
  switch (value.kind()) {
    case Settings::Kind::list:
      return "a list";
    case Settings::Kind::map:
      return "a map";
    default:
      return "'" + value.text().substr(0, 60) + "'";
  }
}

std::optional<bool> as_boolean(std::string_view text) {
  for (const auto yes : {"true", "True", "yes", "on"})
    if (text == yes) return true;
  for (const auto no : {"false", "False", "no", "off"})
    if (text == no) return false;
  return std::nullopt;
}

}  // namespace

void Problems::keep(std::string line) {
  if (lines_.size() < max_problems) lines_.push_back(std::move(line));
}

void Problems::add(const Settings& where, std::string_view what) {
  keep(where.where() + std::string(what));
}

Error Problems::error() const {
  std::string text;
  for (const std::string& line : lines_) text += (text.empty() ? "" : "\n") + line;
  return bad_input(std::move(text));
}

Fields::Fields(const Settings& settings, std::string path, Problems& problems)
    : settings_(&settings), path_(std::move(path)), problems_(&problems) {
  if (settings.kind() == Settings::Kind::map || settings.is_null()) return;
  problems.add(settings,
               (path_.empty() ? "the file" : path_) + " must be a map, not " + shown(settings));
}

std::string Fields::path_of(std::string_view key) const {
  return path_.empty() ? std::string(key) : path_ + "." + std::string(key);
}

const Settings* Fields::find(std::string_view key) {
  if (std::ranges::find(known_, key) == known_.end()) known_.emplace_back(key);
  const Settings* value = settings_->find(key);
  return value && !value->is_null() ? value : nullptr;
}

void Fields::reject_value(const Settings& value, std::string_view key, std::string_view wanted) {
  problems_->add(value, path_of(key) + " must be " + std::string(wanted) + ", not " + shown(value));
}

void Fields::reject(std::string_view key, std::string_view what) {
  const Settings* value = find(key);
  problems_->add(value ? *value : *settings_, path_of(key) + " " + std::string(what));
}

bool Fields::require(std::string_view key) {
  if (find(key)) return true;
  problems_->add(*settings_,
                 (path_.empty() ? "the file" : path_) + " needs '" + std::string(key) + "'");
  return false;
}

const Settings* Fields::scalar(std::string_view key, std::string_view kind) {
  const Settings* value = find(key);
  if (!value || value->kind() == Settings::Kind::scalar) return value;
  reject_value(*value, key, kind);
  return nullptr;
}

std::string Fields::string(std::string_view key, std::string_view otherwise) {
  const Settings* value = scalar(key, "a text");
  return value ? value->text() : std::string(otherwise);
}

bool Fields::boolean(std::string_view key, bool otherwise) {
  const Settings* value = scalar(key, "true or false");
  if (!value) return otherwise;
  const auto read = as_boolean(value->text());
  if (!read) reject_value(*value, key, "true or false");
  return read.value_or(otherwise);
}

std::int64_t Fields::integer(std::string_view key, std::int64_t otherwise, std::int64_t least,
                             std::int64_t most) {
  std::string wanted = "a whole number";
  if (least != std::numeric_limits<std::int64_t>::min() ||
      most != std::numeric_limits<std::int64_t>::max())
    wanted += " from " + std::to_string(least) + " to " + std::to_string(most);
  const Settings* value = scalar(key, wanted);
  if (!value) return otherwise;
  const std::string& text = value->text();
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc() && end == text.data() + text.size() && number >= least && number <= most)
    return number;
  reject_value(*value, key, wanted);
  return otherwise;
}

Duration Fields::duration(std::string_view key, Duration otherwise, Duration least, Duration most) {
  const Settings* value = scalar(key, "a time like 500ms, 5s, 1h or infinity");
  if (!value) return otherwise;
  const auto read = parse_duration(value->text());
  if (!read) {
    reject_value(*value, key, "a time like 500ms, 5s, 1h or infinity");
    return otherwise;
  }
  if (*read >= least && *read <= most) return *read;
  reject_value(*value, key,
               most == forever ? "at least " + duration_text(least)
                               : "from " + duration_text(least) + " to " + duration_text(most));
  return otherwise;
}

std::vector<std::string> Fields::strings(std::string_view key, std::vector<std::string> otherwise) {
  const Settings* value = find(key);
  if (!value) return otherwise;
  if (value->kind() == Settings::Kind::scalar) return {value->text()};
  std::vector<std::string> texts;
  if (value->kind() != Settings::Kind::list) reject_value(*value, key, "a list of texts");
  for (const Settings& item : value->items()) {
    if (item.kind() == Settings::Kind::scalar)
      texts.push_back(item.text());
    else
      problems_->add(item, path_of(key) + " must hold texts only, not " + shown(item));
  }
  return texts;
}

std::optional<std::size_t> Fields::choice_index(std::string_view key,
                                                const std::vector<std::string>& names) {
  std::string wanted;
  for (const std::string& name : names)
    wanted += (wanted.empty() ? "" : &name == &names.back() ? " or " : ", ") + name;
  const Settings* value = scalar(key, wanted);
  if (!value) return std::nullopt;
  const auto found = std::ranges::find(names, value->text());
  if (found != names.end()) return static_cast<std::size_t>(found - names.begin());
  problems_->add(*value, path_of(key) + " must be " + wanted + ", not " + shown(*value) +
                             did_you_mean(value->text(), names));
  return std::nullopt;
}

Fields Fields::fields(std::string_view key) {
  static const Settings absent;
  const Settings* value = find(key);
  return Fields(value ? *value : absent, path_of(key), *problems_);
}

void Fields::finish() {
  for (const auto& entry : settings_->entries()) {
    const std::string& key = entry.key.text();
    if (std::ranges::find(known_, key) != known_.end()) continue;
    problems_->add(entry.key, "unknown key '" + key.substr(0, 60) + "'" +
                                  (path_.empty() ? "" : " in " + path_) +
                                  did_you_mean(key, known_));
  }
}

}  // namespace muster
