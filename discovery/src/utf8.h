// SPDX-License-Identifier: MIT
//
// Is this UTF-8, and how many characters is it?  As RFC 3629 has it: no overlong forms, no
// surrogates, nothing above U+10FFFF.  Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace muster {

/// The size of the character at the beginning of `text`, which is not empty; 0 where there is none.
[[nodiscard]] constexpr std::size_t utf8_character_size(std::string_view text) {
  const auto byte = [&](std::size_t at) { return static_cast<std::uint8_t>(text[at]); };
  const std::uint8_t first = byte(0);
  if (first < 0x80) return 1;
  if (first < 0xC2 || first > 0xF4) return 0;  // A continuation, an overlong form, or too large.
  const std::size_t size = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  if (text.size() < size) return 0;
  for (std::size_t at = 1; at < size; ++at)
    if ((byte(at) & 0xC0) != 0x80) return 0;
  const std::uint8_t second = byte(1);
  const bool overlong = (first == 0xE0 && second < 0xA0) || (first == 0xF0 && second < 0x90);
  const bool surrogate = first == 0xED && second >= 0xA0;
  const bool too_large = first == 0xF4 && second >= 0x90;
  return overlong || surrogate || too_large ? 0 : size;
}

/// How many characters; nothing where it is no UTF-8.
[[nodiscard]] constexpr std::optional<std::size_t> utf8_characters(std::string_view text) {
  std::size_t characters = 0;
  for (; !text.empty(); ++characters) {
    const std::size_t size = utf8_character_size(text);
    if (size == 0) return std::nullopt;
    text.remove_prefix(size);
  }
  return characters;
}

}  // namespace muster
