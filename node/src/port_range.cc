// SPDX-License-Identifier: MIT
// See port_range.h.
#include "muster/node/port_range.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>

namespace muster::node {
namespace {

std::optional<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return port;
}

}  // namespace

Result<PortRange> PortRange::parse(std::string_view text) {
  const std::size_t dash = text.find('-');
  const auto first = parse_port(text.substr(0, dash));
  const auto last = dash == std::string_view::npos ? first : parse_port(text.substr(dash + 1));
  const bool range = dash != std::string_view::npos;
  if (!first || !last || *first > *last || (range && *first == 0)) {
    return bad_input(
        fmt::format("'{}' is neither a port nor a range of ports like 4370-4380", text));
  }
  return PortRange{*first, *last};
}

std::string PortRange::text() const {
  return first == last ? fmt::format("{}", first) : fmt::format("{}-{}", first, last);
}

}  // namespace muster::node
