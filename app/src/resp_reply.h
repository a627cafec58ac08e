// SPDX-License-Identifier: MIT
//
// Replies of the Redis protocol, appended to a string.  Nothing here takes user bytes into a line:
// bulk() carries them with their length, error() is for our own words.
#pragma once

#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>

namespace muster::app {

/// 2 or 3: what HELLO agreed upon.
using RespVersion = int;

class RespReply {
 public:
  RespReply(std::string& out, RespVersion version) : out_(out), version_(version) {}

  void ok() { out_ += "+OK\r\n"; }
  void simple(std::string_view ours) { line('+', ours); }
  /// "ERR ...": without '-' and CRLF.
  void error(std::string_view ours) { line('-', ours); }
  void integer(std::int64_t value) { number(':', value); }
  void bulk(std::string_view bytes) {
    number('$', static_cast<std::int64_t>(bytes.size()));
    out_ += bytes;
    out_ += "\r\n";
  }
  void null() { out_ += version_ == 3 ? "_\r\n" : "$-1\r\n"; }
  void null_array() { out_ += version_ == 3 ? "_\r\n" : "*-1\r\n"; }
  void array(std::size_t size) { number('*', static_cast<std::int64_t>(size)); }
  void set(std::size_t size) { number(version_ == 3 ? '~' : '*', static_cast<std::int64_t>(size)); }
  /// `size` pairs follow.
  void map(std::size_t size) {
    const auto count = static_cast<std::int64_t>(size);
    version_ == 3 ? number('%', count) : number('*', 2 * count);
  }
  /// A text that RESP3 clients know as such.
  void verbatim(std::string_view text) {
    if (version_ != 3) return bulk(text);
    number('=', static_cast<std::int64_t>(text.size() + 4));
    out_ += "txt:";
    out_ += text;
    out_ += "\r\n";
  }

  [[nodiscard]] std::string& out() { return out_; }
  [[nodiscard]] RespVersion version() const { return version_; }

 private:
  void line(char type, std::string_view text) {
    out_ += type;
    out_ += text;
    out_ += "\r\n";
  }
  void number(char type, std::int64_t value) {
    char text[24];
    text[0] = type;
    char* end = std::to_chars(text + 1, text + 22, value).ptr;
    *end++ = '\r';
    *end++ = '\n';
    out_.append(text, static_cast<std::size_t>(end - text));
  }

  std::string& out_;
  RespVersion version_;
};

}  // namespace muster::app
