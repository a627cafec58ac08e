// SPDX-License-Identifier: MIT
//
// A hash that two nodes compute alike, to notice that they know different things.  Against chance,
// not against malice: whoever speaks on a link has proved the cookie.
#pragma once

#include <cstdint>
#include <string_view>

namespace muster::node {

class Digest {
 public:
  void mix(std::uint64_t value) {
    hash_ = (hash_ ^ value) * 0x9e3779b97f4a7c15;
    hash_ ^= hash_ >> 29;
  }
  void mix(std::string_view text) {
    for (const char c : text) mix(std::uint64_t{static_cast<unsigned char>(c)});
  }
  [[nodiscard]] std::uint64_t value() const { return hash_; }

 private:
  std::uint64_t hash_ = 0xcbf29ce484222325;
};

}  // namespace muster::node
