// SPDX-License-Identifier: MIT
#include "config_text.h"

#include <unistd.h>

#include <array>
#include <boost/asio/ip/address.hpp>
#include <charconv>
#include <cstdlib>

namespace muster::app {

namespace ip = boost::asio::ip;

std::string short_host_name() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0 || name[0] == '\0') return "localhost";
  const std::string whole(name.data());
  return whole.substr(0, whole.find('.'));
}

Result<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error == std::errc() && end == text.data() + text.size()) return port;
  return bad_input("must be a port from 0 to 65535, not '" + std::string(text.substr(0, 60)) + "'");
}

Result<Level> parse_level(std::string_view text) {
  static const std::vector<std::string> names{"debug", "info", "warn", "error"};
  for (std::size_t i = 0; i < names.size(); ++i)
    if (text == names[i]) return static_cast<Level>(i);
  return bad_input("must be debug, info, warn or error, not '" + std::string(text.substr(0, 60)) +
                   "'" + did_you_mean(text, names));
}

Result<NodeName> parse_own_name(std::string_view text) {
  if (text.find('@') != text.npos) return NodeName::parse(text);
  return NodeName::parse(std::string(text) + "@" + short_host_name());
}

std::filesystem::path expand_home(std::string_view text) {
  if (text != "~" && !text.starts_with("~/")) return text;
  const char* home = std::getenv("HOME");
  return std::string(home ? home : "") + std::string(text.substr(1));
}

std::string Endpoint::text() const {
  const bool v6 = address.find(':') != std::string::npos;
  return (v6 ? "[" + address + "]" : address) + ":" + std::to_string(port);
}

Result<Endpoint> parse_endpoint(std::string_view text) {
  const std::string shown = "'" + std::string(text.substr(0, 60)) + "'";
  const std::string wanted = "must be ADDRESS:PORT like 127.0.0.1:4000, not " + shown;
  Endpoint endpoint;
  std::string_view address = text;
  std::string_view port;
  if (text.starts_with('[')) {
    const auto close = text.find(']');
    if (close == text.npos) return bad_input(wanted);
    address = text.substr(1, close - 1);
    port = text.substr(close + 1);
    if (!port.empty() && !port.starts_with(':')) return bad_input(wanted);
    if (!port.empty()) port.remove_prefix(1);
  } else if (std::ranges::count(text, ':') == 1) {
    address = text.substr(0, text.find(':'));
    port = text.substr(text.find(':') + 1);
  }
  endpoint.address = address == "localhost" ? "127.0.0.1" : std::string(address);
  boost::system::error_code problem;
  ip::make_address(endpoint.address, problem);
  if (problem) return bad_input(wanted);
  if (port.empty()) return endpoint;
  const auto number = parse_port(port);
  if (!number) return bad_input(wanted);
  endpoint.port = *number;
  return endpoint;
}

bool is_loopback(std::string_view address) {
  if (address == "localhost") return true;
  boost::system::error_code problem;
  const auto parsed = ip::make_address(std::string(address), problem);
  return !problem && parsed.is_loopback();
}

}  // namespace muster::app
