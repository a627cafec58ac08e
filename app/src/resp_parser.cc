// SPDX-License-Identifier: MIT
// The words of errors are those of Redis 7, for clients and people who search for them.
#include "resp_parser.h"

#include <cctype>
#include <cstring>
#include <limits>
#include <utility>

namespace muster::app {
namespace {

/// A length as Redis reads it: an optional minus, no plus, no leading zeros or spaces.
bool parse_length(std::string_view text, std::int64_t& value) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  if (text.empty() || text.size() > 18 || (text[0] == '0' && (text.size() > 1 || negative)))
    return false;
  value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    value = value * 10 + (c - '0');
  }
  if (negative) value = -value;
  return true;
}

/// The usual line of a length, "$256" or "*3", at `position`, which moves behind it; -1: it is
/// another one, or its end is missing.
std::int64_t take_short_length(std::string_view bytes, char type, std::size_t& position) {
  constexpr std::size_t digits_max = 6;
  const std::string_view line = bytes.substr(position, 1 + digits_max + 2);
  if (line.size() < 4 || line[0] != type || line[1] < '1') return -1;
  std::int64_t value = 0;
  std::size_t at = 1;
  for (; at < line.size() && line[at] >= '0' && line[at] <= '9'; ++at)
    value = value * 10 + (line[at] - '0');
  if (at + 1 >= line.size() || line[at] != '\r') return -1;
  position += at + 2;
  return value;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_space(char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; }

/// One backslash sequence of a double-quoted word; advances over it.
char unescape(std::string_view line, std::size_t& at) {
  if (at + 3 < line.size() && line[at + 1] == 'x' && hex_digit(line[at + 2]) >= 0 &&
      hex_digit(line[at + 3]) >= 0) {
    const int byte = hex_digit(line[at + 2]) * 16 + hex_digit(line[at + 3]);
    at += 3;
    return static_cast<char>(byte);
  }
  switch (const char c = line[++at]) {
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    case 'b':
      return '\b';
    case 'a':
      return '\a';
    default:
      return c;
  }
}

/// The word at `at`, appended to `out`; false: quotes that do not close, or close within a word.
bool take_word(std::string_view line, std::size_t& at, std::string& out) {
  char quote = '\0';
  for (; at < line.size(); ++at) {
    const char c = line[at];
    if (quote == '\0') {
      if (is_space(c)) return true;
      if (c == '"' || c == '\'')
        quote = c;
      else
        out += c;
    } else if (c == quote) {
      ++at;
      return at == line.size() || is_space(line[at]);
    } else if (quote == '"' && c == '\\' && at + 1 < line.size()) {
      out += unescape(line, at);
    } else if (quote == '\'' && line.substr(at, 2) == "\\'") {
      out += '\'';
      ++at;
    } else {
      out += c;
    }
  }
  return quote == '\0';
}

}  // namespace

RespLimits limits_before_auth() {
  return {.arguments = 10,
          .bulk_bytes = 16 * 1024,
          .line_bytes = 16 * 1024,
          .request_bytes = 16 * 1024,
          .authenticated = false};
}

RespParser::Status RespParser::fail(std::string error) {
  error_ = "-ERR Protocol error: " + std::move(error) + "\r\n";
  return Status::error;
}

RespParser::Status RespParser::parse(std::string_view bytes, const RespLimits& limits) {
  if (std::exchange(fresh_, false)) {
    position_ = wanted_ = 0;
    in_array_ = false;
    bulk_ = -1;
    spans_.clear();
    arguments_.clear();
  }
  if (bytes.empty()) return Status::partial;
  if (bytes[0] != '*') return parse_inline(bytes, limits);
  if (!in_array_)
    if (const Status status = parse_header(bytes, limits); status != Status::complete || fresh_)
      return status;
  return parse_bulks(bytes, limits);
}

bool RespParser::line_at(std::string_view bytes, std::string_view& line) const {
  const auto end = bytes.find('\r', position_);
  if (end == bytes.npos || end + 1 >= bytes.size()) return false;
  line = bytes.substr(position_, end - position_);
  return true;
}

RespParser::Status RespParser::parse_inline(std::string_view bytes, const RespLimits& limits) {
  const auto end = bytes.find('\n', position_);
  if (end == bytes.npos) {
    position_ = bytes.size();  // Looked at; the next parse() searches behind it.
    return bytes.size() > limits.line_bytes ? fail("too big inline request") : Status::partial;
  }
  std::string_view line = bytes.substr(0, end);
  if (line.size() > limits.line_bytes) return fail("too big inline request");
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (!split(line)) return fail("unbalanced quotes in request");
  if (static_cast<std::int64_t>(arguments_.size()) > limits.arguments)
    return fail(limits.authenticated ? "invalid multibulk length"
                                     : "unauthenticated multibulk length");
  position_ = end + 1;
  fresh_ = true;
  return Status::complete;
}

bool RespParser::split(std::string_view line) {
  words_.clear();
  for (std::size_t at = 0;;) {
    while (at < line.size() && is_space(line[at])) ++at;
    if (at == line.size()) break;
    const std::size_t start = words_.size();
    if (!take_word(line, at, words_)) return false;
    spans_.push_back({start, words_.size() - start});
  }
  for (const Span& span : spans_)
    arguments_.push_back(std::string_view(words_).substr(span.offset, span.size));
  return true;
}

RespParser::Status RespParser::parse_header(std::string_view bytes, const RespLimits& limits) {
  std::int64_t count = take_short_length(bytes, '*', position_);
  if (count < 0) {
    std::string_view line;
    if (!line_at(bytes, line))
      return bytes.size() > limits.line_bytes ? fail("too big mbulk count string")
                                              : Status::partial;
    if (!parse_length(line.substr(1), count)) return fail("invalid multibulk length");
    position_ += line.size() + 2;
  }
  if (count > limits.arguments)
    return fail(limits.authenticated ? "invalid multibulk length"
                                     : "unauthenticated multibulk length");
  if (count <= 0) {
    fresh_ = true;
    return Status::complete;
  }
  in_array_ = true;
  remaining_ = count;
  return Status::complete;
}

RespParser::Status RespParser::parse_bulk_size(std::string_view bytes, const RespLimits& limits) {
  if (bytes.size() <= position_) return Status::partial;
  std::int64_t size = take_short_length(bytes, '$', position_);
  if (size < 0) {
    std::string_view line;
    if (!line_at(bytes, line))
      return bytes.size() - position_ > limits.line_bytes ? fail("too big bulk count string")
                                                          : Status::partial;
    if (line.empty() || line[0] != '$') {
      const char got = line.empty() ? '\r' : line[0];
      return fail(std::string("expected '$', got '") + (got > ' ' && got < 127 ? got : ' ') + "'");
    }
    if (!parse_length(line.substr(1), size) || size < 0) return fail("invalid bulk length");
    position_ += line.size() + 2;
  }
  if (size > limits.bulk_bytes)
    return fail(limits.authenticated ? "invalid bulk length" : "unauthenticated bulk length");
  if (position_ + static_cast<std::size_t>(size) + 2 > limits.request_bytes)
    return fail("too big request");
  bulk_ = size;
  return Status::complete;
}

RespParser::Status RespParser::parse_bulks(std::string_view bytes, const RespLimits& limits) {
  while (remaining_ > 0) {
    if (bulk_ < 0)
      if (const Status status = parse_bulk_size(bytes, limits); status != Status::complete)
        return status;
    const auto size = static_cast<std::size_t>(bulk_);
    wanted_ = position_ + size + 2;
    if (bytes.size() < wanted_) return Status::partial;
    spans_.push_back({position_, size});
    position_ = wanted_;  // As in Redis, the two bytes behind a bulk string are not looked at.
    bulk_ = -1;
    --remaining_;
  }
  return complete(bytes);
}

RespParser::Status RespParser::complete(std::string_view bytes) {
  for (const Span& span : spans_) arguments_.push_back(bytes.substr(span.offset, span.size));
  fresh_ = true;
  return Status::complete;
}

}  // namespace muster::app
