// SPDX-License-Identifier: MIT
// Untrusted: requests on the Redis port.  Byte by byte gives the same commands, and the same error,
// as all at once.
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "resp_parser.h"

using namespace muster::app;

namespace {

struct Requests {
  std::vector<std::vector<std::string>> commands;
  std::string error;
  friend bool operator==(const Requests&, const Requests&) = default;
};

// Reads on with `step` more bytes whenever the parser wants more.
Requests parse_all(std::string_view bytes, const RespLimits& limits, std::size_t step) {
  Requests requests;
  RespParser parser;
  std::size_t end = std::min(step, bytes.size());
  for (;;) {
    switch (parser.parse(bytes.substr(0, end), limits)) {
      case RespParser::Status::complete: {
        assert(parser.used() > 0 && parser.used() <= end);
        requests.commands.emplace_back(parser.arguments().begin(), parser.arguments().end());
        bytes.remove_prefix(parser.used());
        end = std::min(bytes.size(), std::max(end - parser.used(), step));
        if (bytes.empty()) return requests;
        break;
      }
      case RespParser::Status::error:
        requests.error = parser.error();
        return requests;
      case RespParser::Status::partial:
        if (end == bytes.size()) return requests;
        end = std::min(bytes.size(), end + step);
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto limits = data[0] % 2 == 0 ? RespLimits() : limits_before_auth();
  const auto whole = parse_all(bytes, limits, bytes.size() + 1);
  assert(parse_all(bytes, limits, 1) == whole);
  for (const auto& command : whole.commands) {
    for (const auto& word : command)
      assert(word.size() <= static_cast<std::size_t>(limits.bulk_bytes));
  }
  return 0;
}
