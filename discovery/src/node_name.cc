// SPDX-License-Identifier: MIT
#include "muster/discovery/node_name.h"

#include <algorithm>

namespace muster {
namespace {

constexpr std::size_t max_base = 64;
constexpr std::size_t max_host = 255;

bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}
bool is_base_character(char c) { return is_alphanumeric(c) || c == '_' || c == '-'; }
bool is_host_character(char c) {
  return is_alphanumeric(c) || c == '_' || c == '-' || c == '.' || c == ':' || c == '%';
}

}  // namespace

Result<NodeName> NodeName::parse(std::string_view text) {
  const auto wrong = [&](const char* why) {
    return bad_input("bad node name '" + std::string(text.substr(0, 80)) + "': " + why +
                     "; a node name looks like a@127.0.0.1 or a@myhost");
  };
  const auto at = text.find('@');
  if (at == std::string_view::npos) return wrong("it has no '@'");
  const auto base = text.substr(0, at);
  const auto host = text.substr(at + 1);
  if (base.empty() || base.size() > max_base)
    return wrong("the part before '@' needs 1 to 64 characters");
  if (!std::ranges::all_of(base, is_base_character))
    return wrong("the part before '@' may hold letters, digits, '_' and '-'");
  if (host.empty() || host.size() > max_host) return wrong("the host needs 1 to 255 characters");
  if (!std::ranges::all_of(host, is_host_character))
    return wrong("the host is neither a host name nor an address");
  NodeName name;
  name.text_ = text;
  name.at_ = at;
  return name;
}

bool NodeName::is_long() const { return host().find_first_of(".:") != std::string_view::npos; }

}  // namespace muster
