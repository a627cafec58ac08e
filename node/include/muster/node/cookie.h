// SPDX-License-Identifier: MIT
//
// The cookie: the one secret that all nodes of a cluster share, a file that the first node of a
// user creates.  Keys for different purposes are derived from it, so that what one of them leaks
// says nothing about another.
//
// Threads: values; as safe as a string.  Errors: sentences that say which file and what to run.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "muster/discovery/result.h"

namespace muster::node {

/// 256 bits; wiped when it goes away.
class Key {
 public:
  Key() = default;
  Key(const Key&) = default;
  Key& operator=(const Key&) = default;
  ~Key();

  std::array<std::uint8_t, 32> bytes{};
  friend bool operator==(const Key&, const Key&) = default;
};

class Cookie {
 public:
  explicit Cookie(std::string text) : text_(std::move(text)) {}

  /// Reads `file`; creates it with 256 random bits, mode 0600, when there is none.  Of several
  /// nodes that start together one creates it and all read the same.  A file that group or others
  /// may read is refused.
  static Result<Cookie> load_or_create(const std::filesystem::path& file);

  /// What is wrong with it off loopback ("shorter than 32 characters"); empty when nothing is.
  [[nodiscard]] std::string weakness() const;

  /// HKDF-SHA256.  Purposes in use: "link", "gossip".
  [[nodiscard]] Key derive(std::string_view purpose) const;

 private:
  std::string text_;
};

/// `~/.muster.cookie` of the user that runs this process.
[[nodiscard]] std::filesystem::path default_cookie_file();

}  // namespace muster::node
