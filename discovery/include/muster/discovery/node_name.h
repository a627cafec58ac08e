// SPDX-License-Identifier: MIT
//
// `name@host`: the identity of a node.  A host without a dot is a short name (`--sname`); a host
// with a dot, or an address, is a long one (`--name`).  The two kinds do not mix in one cluster.
#pragma once

#include <compare>
#include <string>
#include <string_view>

#include "muster/discovery/result.h"

namespace muster {

class NodeName {
 public:
  NodeName() = default;  ///< Empty; only parse() makes a usable one.

  /// Accepts `name@host`: name of [A-Za-z0-9_-], 1 to 64 characters; host a name, an IPv4 or an
  /// IPv6 literal, up to 255 characters.
  static Result<NodeName> parse(std::string_view text);

  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] std::string_view base() const { return std::string_view(text_).substr(0, at_); }
  [[nodiscard]] std::string_view host() const { return std::string_view(text_).substr(at_ + 1); }
  [[nodiscard]] bool is_long() const;
  [[nodiscard]] bool empty() const { return text_.empty(); }

  friend bool operator==(const NodeName& a, const NodeName& b) { return a.text_ == b.text_; }
  friend auto operator<=>(const NodeName& a, const NodeName& b) { return a.text_ <=> b.text_; }

 private:
  std::string text_;
  std::size_t at_ = 0;
};

}  // namespace muster
