// SPDX-License-Identifier: MIT
#include "http_message.h"

#include <optional>

namespace muster::app {
namespace {

constexpr std::size_t segments_max = 64;

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<std::string> decoded(std::string_view text, bool plus_is_space) {
  std::string bytes;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus_is_space) {
      bytes += ' ';
    } else if (text[i] != '%') {
      bytes += text[i];
    } else {
      if (i + 2 >= text.size() || digit(text[i + 1]) < 0 || digit(text[i + 2]) < 0)
        return std::nullopt;
      bytes += static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2]));
      i += 2;
    }
  }
  return bytes;
}

/// The text up to `separator`, which is taken off the front as well.
std::string_view take(std::string_view& text, char separator) {
  const auto end = text.find(separator);
  const std::string_view piece = text.substr(0, end);
  text.remove_prefix(end == text.npos ? text.size() : end + 1);
  return piece;
}

}  // namespace

bool parse_target(std::string_view target, HttpRequest& request) {
  if (!target.starts_with('/')) return false;
  target.remove_prefix(1);
  std::string_view path = take(target, '?');
  while (!path.empty()) {
    auto segment = decoded(take(path, '/'), false);
    if (!segment || request.path.size() == segments_max) return false;
    request.path.push_back(std::move(*segment));
  }
  while (!target.empty()) {
    std::string_view pair = take(target, '&');
    auto name = decoded(take(pair, '='), true);
    auto value = decoded(pair, true);
    if (!name || !value || request.query.size() == segments_max) return false;
    request.query[std::move(*name)] = std::move(*value);
  }
  return true;
}

std::string percent_encoded(std::string_view bytes) {
  static constexpr std::string_view digits = "0123456789ABCDEF";
  std::string text;
  for (const char c : bytes) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.' || c == '~';
    const auto byte = static_cast<unsigned char>(c);
    if (plain)
      text += c;
    else
      ((text += '%') += digits[byte >> 4]) += digits[byte & 15];
  }
  return text;
}

}  // namespace muster::app
