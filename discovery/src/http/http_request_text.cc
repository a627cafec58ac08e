// SPDX-License-Identifier: MIT
#include "http/http_request_text.h"

#include <algorithm>

namespace muster::discovery {
namespace {

bool is_token(std::string_view text) {
  const auto fits = [](char byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') ||
           std::string_view("!#$%&'*+-.^_`|~").find(byte) != std::string_view::npos;
  };
  return !text.empty() && std::ranges::all_of(text, fits);
}

bool is_value(std::string_view text) {
  return std::ranges::all_of(text, [](char byte) {
    const auto code = static_cast<unsigned char>(byte);
    return code == '\t' || (code >= 0x20 && code != 0x7f);
  });
}

}  // namespace

Result<std::string> write_request(const HttpRequest& request, const HttpUrl& url) {
  if (!is_token(request.method)) return bad_input(url.origin + ": this is no HTTP method");
  std::string text = request.method + " " + url.target + " HTTP/1.1\r\nHost: " + url.authority +
                     "\r\nUser-Agent: muster\r\n";
  for (const auto& [name, value] : request.headers) {
    if (!is_token(name)) return bad_input(url.origin + ": a header's name cannot be sent");
    if (!is_value(value))
      return bad_input(url.origin + ": the header " + name + " has a line break or control byte");
    text += name + ": " + value + "\r\n";
  }
  if (!request.body.empty() || (request.method != "GET" && request.method != "HEAD"))
    text += "Content-Length: " + std::to_string(request.body.size()) + "\r\n";
  return text + "\r\n" + request.body;
}

}  // namespace muster::discovery
