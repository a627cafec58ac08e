// SPDX-License-Identifier: MIT
// Untrusted: what an HTTP server says to a strategy, which must mean the same however the network
// cuts it; and URLs.
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "http/http_response_reader.h"
#include "http/http_url.h"

using namespace muster::discovery;

namespace {

constexpr std::size_t most_bytes = 200;

struct Heard {
  bool is_whole = false;
  int status = 0;
  std::string body = {};
  std::vector<std::string> lines = {};

  friend bool operator==(const Heard&, const Heard&) = default;
};

Heard hear(std::string_view bytes, std::size_t piece, std::uint8_t kind) {
  Heard heard;
  HttpResponseReader reader(
      {.head_only = (kind & 2) != 0, .stream = (kind & 1) != 0, .most_bytes = most_bytes},
      [&](std::string line) { heard.lines.push_back(std::move(line)); });
  bool is_good = true;
  while (is_good && !bytes.empty() && !reader.is_done()) {
    is_good = reader.feed(bytes.substr(0, piece)).has_value();
    bytes.remove_prefix(std::min(piece, bytes.size()));
  }
  if (is_good && !reader.is_done()) is_good = reader.end().has_value();
  for (const std::string& line : heard.lines) assert(!line.empty() && line.size() <= most_bytes);
  if (!is_good) return {};
  assert(reader.is_done());
  const HttpReply reply = reader.take_reply();
  assert(reply.body.size() <= most_bytes);
  heard.is_whole = true;
  heard.status = reply.status;
  heard.body = reply.body;
  return heard;
}

void check_url(std::string_view text) {
  const auto url = HttpUrl::parse(text);
  if (!url) return;
  const auto again = HttpUrl::parse(url->origin + url->target);
  assert(again && again->host == url->host && again->port == url->port);
  assert(again->target == url->target && again->is_https == url->is_https);
  assert(url->target.find_first_of("\r\n ") == std::string::npos);
  assert(url->authority.find_first_of("\r\n @") == std::string::npos);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0 || size > 2048) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 8 == 4) {
    check_url(bytes);
    return 0;
  }
  const Heard whole = hear(bytes, bytes.size() + 1, data[0]);
  assert(whole == hear(bytes, 1, data[0]));
  assert(whole == hear(bytes, 7, data[0]));
  return 0;
}
