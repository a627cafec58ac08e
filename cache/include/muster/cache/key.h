// SPDX-License-Identifier: MIT
//
// A key is a list of byte strings, ordered as such: ["user", "42"] < ["user", "43"] < ["user",
// "43", "x"]. It is held in one string whose byte order is the order of the keys: 0x00 within a
// part is written 0x00 0xFF, and between two parts stands 0x00 0x01.  So a key of one part without
// zero bytes is that part itself.
#pragma once

#include <compare>
#include <cstddef>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "muster/discovery/result.h"

namespace muster::cache {

class Key {
 public:
  static constexpr std::size_t max_encoded = 480;  ///< LMDB takes keys up to 511 bytes.

  Key() = default;
  explicit Key(std::string_view part);
  Key(std::initializer_list<std::string_view> parts);
  explicit Key(const std::vector<std::string>& parts);
  /// From its encoded form; an error when that is malformed or too long.
  static Result<Key> decode(std::string_view encoded);

  [[nodiscard]] const std::string& encoded() const { return encoded_; }
  [[nodiscard]] std::vector<std::string> parts() const;
  /// Fits the limit and is not empty; operations on a key that is not valid are refused with a
  /// clear error.
  [[nodiscard]] bool valid() const { return !encoded_.empty() && encoded_.size() <= max_encoded; }

  friend auto operator<=>(const Key&, const Key&) = default;

 private:
  std::string encoded_;
};

/// A pattern of parts: each is a byte string or a wildcard (`_`), which matches exactly one part.
/// The leading parts that are no wildcards are a prefix, and matching costs only what shares it.
struct Pattern {
  std::vector<std::optional<std::string>> parts;
  bool any_tail = false;  ///< Further parts may follow.

  [[nodiscard]] std::string prefix() const;  ///< In encoded form.
  [[nodiscard]] bool matches(std::string_view encoded) const;
};

}  // namespace muster::cache
