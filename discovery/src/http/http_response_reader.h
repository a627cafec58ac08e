// SPDX-License-Identifier: MIT
//
// What an HTTP server says: bytes in, one reply out, or the lines of a stream.  Pure.
//
// Bounds: 16 KiB of head; `most_bytes` of body, or of each line of a stream.  Errors: feed() and
// end() say what is wrong with the answer; then nothing more may be fed.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "muster/discovery/strategy_machine.h"

namespace muster::discovery {

class HttpResponseReader {
 public:
  struct Options {
    bool head_only = false;  ///< The answer to a HEAD has no body, whatever it says.
    bool stream = false;     ///< The body of a 200 comes line by line.
    std::size_t most_bytes = 0;
  };
  /// Lines without their ends; empty ones are left out.
  using TakeLine = std::function<void(std::string line)>;

  HttpResponseReader(Options options, TakeLine take_line);
  ~HttpResponseReader();
  HttpResponseReader(const HttpResponseReader&) = delete;
  HttpResponseReader& operator=(const HttpResponseReader&) = delete;

  Result<void> feed(std::string_view bytes);
  /// The connection has ended: an error unless the answer is whole by that.
  Result<void> end();

  [[nodiscard]] bool has_begun() const;     ///< At least a byte has come.
  [[nodiscard]] bool is_streaming() const;  ///< The head has come, and lines follow.
  [[nodiscard]] bool is_done() const;
  /// Another request may follow on the same connection.
  [[nodiscard]] bool keeps_alive() const;
  /// Once it is streaming or done.
  [[nodiscard]] HttpReply take_reply();

 private:
  class Parser;

  Options options_;
  TakeLine take_line_;
  std::unique_ptr<Parser> parser_;
  std::string buffer_;  // What the parser could not take yet.
  bool has_begun_ = false;
};

}  // namespace muster::discovery
