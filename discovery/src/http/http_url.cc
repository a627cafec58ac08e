// SPDX-License-Identifier: MIT
#include "http/http_url.h"

#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>

namespace muster::discovery {
namespace {

namespace urls = boost::urls;

constexpr std::size_t most_bytes = 8192;

Error not_usable(std::string_view text, const std::string& what) {
  // Without what may be a password: only what stands before the first '@', '?' or '#' is repeated.
  const std::string_view shown = text.substr(0, text.find_first_of("@?#"));
  return bad_input("'" + std::string(shown.substr(0, 100)) + "' " + what);
}

}  // namespace

Result<HttpUrl> HttpUrl::parse(std::string_view text) {
  if (text.size() > most_bytes) return not_usable(text, "is too long for a URL");
  const auto parsed = urls::parse_uri(urls::string_view(text.data(), text.size()));
  if (!parsed) return not_usable(text, "is no URL like https://host:port/path");
  const urls::url_view url = *parsed;
  HttpUrl result;
  result.is_https = url.scheme_id() == urls::scheme::https;
  if (!result.is_https && url.scheme_id() != urls::scheme::http)
    return not_usable(text, "must begin with http:// or https://");
  if (url.has_userinfo()) return bad_input("a URL must not carry a user or password");
  result.is_address =
      url.host_type() == urls::host_type::ipv4 || url.host_type() == urls::host_type::ipv6;
  if (!result.is_address && url.host_type() != urls::host_type::name)
    return not_usable(text, "names no host");
  result.host = url.host_address();
  if (result.host.empty()) return not_usable(text, "names no host");
  result.port = result.is_https ? 443 : 80;
  if (url.has_port() && !url.port().empty()) {
    if (url.port_number() == 0) return not_usable(text, "has no usable port");
    result.port = url.port_number();
  }
  const auto authority = url.encoded_host_and_port();
  result.authority.assign(authority.data(), authority.size());
  result.origin = (result.is_https ? "https://" : "http://") + result.authority;
  const auto target = url.encoded_target();
  result.target.assign(target.data(), target.size());
  if (result.target.empty() || result.target.front() != '/') result.target.insert(0, "/");
  return result;
}

}  // namespace muster::discovery
