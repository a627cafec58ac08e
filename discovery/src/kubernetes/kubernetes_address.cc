// SPDX-License-Identifier: MIT
#include "kubernetes/kubernetes_address.h"

#include <algorithm>
#include <charconv>

namespace muster::discovery::kubernetes {
namespace {

constexpr std::size_t page_size = 500;  // As kubectl and client-go have it.

bool is_unreserved(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_' || c == '~';
}

bool is_host_name(std::string_view text) {
  return !text.empty() && text.size() <= 253 && text.front() != '.' && text.front() != '-' &&
         text.find("..") == std::string_view::npos &&
         std::ranges::all_of(text, [](char c) { return is_unreserved(c) && c != '~'; });
}

bool is_port(std::string_view text) {
  unsigned port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc() && end == text.data() + text.size() && port >= 1 && port <= 65535;
}

bool is_ipv4(std::string_view text) {
  return !canonical_address(text).empty() && text.find(':') == std::string_view::npos;
}
bool is_ipv6(std::string_view text) {
  return !canonical_address(text).empty() && text.find(':') != std::string_view::npos;
}

/// "host", "host:port", "[::1]", "[::1]:port"; host may be an address.  The host alone, or nothing.
std::string_view host_of(std::string_view authority) {
  std::string_view host = authority;
  std::string_view port;
  if (authority.starts_with('[')) {
    const auto end = authority.find(']');
    if (end == std::string_view::npos) return {};
    host = authority.substr(1, end - 1);
    port = authority.substr(end + 1);
    if (!is_ipv6(host)) return {};
  } else if (const auto colon = authority.find(':'); colon != std::string_view::npos) {
    host = authority.substr(0, colon);
    port = authority.substr(colon);
    if (!is_host_name(host)) return {};
  } else if (!is_host_name(host)) {
    return {};
  }
  if (!port.empty() && !(port.front() == ':' && is_port(port.substr(1)))) return {};
  return host;
}

bool is_path(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return is_unreserved(c) || c == '/' || c == ':'; });
}

Result<std::string> base_of_url(std::string_view url) {
  const auto scheme_end = url.find("://");
  const std::string_view scheme = url.substr(0, scheme_end);
  std::string_view rest = url.substr(scheme_end + 3);
  while (rest.ends_with('/')) rest.remove_suffix(1);
  const std::string_view authority = rest.substr(0, rest.find('/'));
  const std::string_view host = host_of(authority);
  if ((scheme != "https" && scheme != "http") || host.empty() ||
      !is_path(rest.substr(authority.size())))
    return bad_input("must be a URL like https://10.0.0.1:6443");
  const bool is_loopback =
      host == "localhost" || host == "::1" || (is_ipv4(host) && host.starts_with("127."));
  if (scheme == "http" && !is_loopback)
    return bad_input("must be https: the token would cross the network in the clear");
  return std::string(scheme) + "://" + std::string(rest);
}

std::string query_of(const Collection& collection) {
  return "labelSelector=" + percent_encoded(collection.selector);
}

std::string path_of(const Collection& collection) {
  const std::string_view group = collection.resource == Resource::endpointslices
                                     ? "/apis/discovery.k8s.io/v1/namespaces/"
                                     : "/api/v1/namespaces/";
  return collection.base + std::string(group) + percent_encoded(collection.space) + "/" +
         std::string(to_string(collection.resource)) + "?";
}

std::string dashed(std::string text) {
  for (char& c : text)
    if (c == '.' || c == ':') c = '-';
  return text;
}

}  // namespace

Result<std::string> api_base(std::string_view master, std::string_view domain) {
  if (master.find("://") != std::string_view::npos) return base_of_url(master);
  if (is_ipv6(master)) return "https://[" + canonical_address(master) + "]";
  const std::string text(master);
  if (host_of(master).empty())
    return bad_input(
        "must be a host, host:port, address, [IPv6]:port or URL, like kubernetes.default.svc or "
        "10.0.0.1:6443");
  const bool is_bare_name =
      master.find(':') == std::string_view::npos && !is_ipv4(master) && !master.starts_with('[');
  if (!is_bare_name || master.ends_with(domain) || master.ends_with('.')) return "https://" + text;
  return "https://" + text + "." + std::string(domain);
}

std::string list_url(const Collection& collection, bool cached, std::string_view next) {
  std::string url = path_of(collection);
  if (cached && next.empty()) return url + "resourceVersion=0&" + query_of(collection);
  url += query_of(collection) + "&limit=" + std::to_string(page_size);
  if (!next.empty()) url += "&continue=" + percent_encoded(next);
  return url;
}

std::string watch_url(const Collection& collection, std::string_view resource_version,
                      std::chrono::seconds within) {
  return path_of(collection) + query_of(collection) +
         "&watch=1&allowWatchBookmarks=true&resourceVersion=" + percent_encoded(resource_version) +
         "&timeoutSeconds=" + std::to_string(within.count());
}

std::string percent_encoded(std::string_view text) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    if (is_unreserved(c)) {
      encoded += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    encoded += '%';
    encoded += digits[byte >> 4];
    encoded += digits[byte & 15];
  }
  return encoded;
}

std::optional<Peer> peer_of(const Naming& naming, const Member& member) {
  std::string host;
  switch (naming.mode) {
    case Naming::Mode::ip:
      host = member.ip;
      break;
    case Naming::Mode::dns:
      host = dashed(member.ip) + "." + member.space + ".pod." + naming.domain;
      break;
    case Naming::Mode::hostname:
      if (member.hostname.empty()) return std::nullopt;
      host = member.hostname + "." + naming.service + "." + member.space + ".svc." + naming.domain;
      break;
  }
  auto name = NodeName::parse(naming.base + "@" + host);
  if (!name) return std::nullopt;
  return Peer{.name = *name, .address = member.ip};
}

}  // namespace muster::discovery::kubernetes
