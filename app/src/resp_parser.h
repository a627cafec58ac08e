// SPDX-License-Identifier: MIT
//
// Requests of the Redis protocol, RESP arrays of bulk strings and inline commands, from a buffer
// that grows: parse() looks at the same bytes again with more behind them and goes on where it
// stopped, so that a request that arrives byte by byte costs no more than one that arrives whole.
// Arguments are views into the buffer (of an inline command: into the parser).
//
// Invariant: no byte beyond the buffer is looked at, every length is checked against Limits before
// anything waits for it.  Errors are whole lines for the client, after which the connection is
// closed.  Threads: none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace muster::app {

struct RespLimits {
  std::int64_t arguments = 16 * 1024;
  std::int64_t bulk_bytes = 512 * 1024;
  std::size_t line_bytes = 64 * 1024;           ///< Of an inline command or a length.
  std::size_t request_bytes = 2 * 1024 * 1024;  ///< All of one request.
  bool authenticated = true;
};
/// What a client gets that has not said the password yet.
[[nodiscard]] RespLimits limits_before_auth();

class RespParser {
 public:
  enum class Status { complete, partial, error };

  /// After `complete`, used() bytes are done with and the next call begins a new request;
  /// arguments() may be empty then (an empty line).
  Status parse(std::string_view bytes, const RespLimits& limits);

  [[nodiscard]] const std::vector<std::string_view>& arguments() const { return arguments_; }
  [[nodiscard]] std::size_t used() const { return position_; }
  /// How many bytes the buffer must have before parse() can get any further; a hint.
  [[nodiscard]] std::size_t wanted() const { return wanted_; }
  [[nodiscard]] std::string_view error() const { return error_; }

 private:
  struct Span {
    std::size_t offset, size;
  };

  Status parse_inline(std::string_view bytes, const RespLimits& limits);
  Status parse_header(std::string_view bytes, const RespLimits& limits);
  Status parse_bulks(std::string_view bytes, const RespLimits& limits);
  Status parse_bulk_size(std::string_view bytes, const RespLimits& limits);
  Status complete(std::string_view bytes);
  Status fail(std::string error);
  /// The line at position_, without CRLF; nothing while its end is missing.
  bool line_at(std::string_view bytes, std::string_view& line) const;
  bool split(std::string_view line);

  bool fresh_ = true;           // The next parse() starts a new request.
  bool in_array_ = false;       // The '*' line has been read.
  std::int64_t remaining_ = 0;  // Bulk strings still to come.
  std::int64_t bulk_ = -1;      // Size of the one being read; -1: its '$' line comes next.
  std::size_t position_ = 0;
  std::size_t wanted_ = 0;
  std::vector<Span> spans_;
  std::vector<std::string_view> arguments_;
  std::string words_;  // Of an inline command, unquoted.
  std::string error_;
};

}  // namespace muster::app
