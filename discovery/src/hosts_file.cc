// SPDX-License-Identifier: MIT
#include "hosts_file.h"

#include <algorithm>
#include <optional>

#include "muster/discovery/node_name.h"

namespace muster::discovery {
namespace {

constexpr std::size_t max_hosts = 1000;
constexpr std::size_t max_problems = 20;

bool is_space(char c) { return static_cast<unsigned char>(c) <= ' '; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_word(char c) {
  return is_lower(c) || is_digit(c) || (c >= 'A' && c <= 'Z') || c == '_' || c == '@';
}

int digit_value(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return 99;
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  HostsFile parse() {
    for (skip_blanks(); !at_end(); skip_blanks()) term();
    return std::move(file_);
  }

 private:
  [[nodiscard]] bool at_end() const { return at_ >= text_.size(); }
  [[nodiscard]] char peek() const { return at_end() ? '\0' : text_[at_]; }
  char take() {
    const char c = text_[at_++];
    if (c == '\n') ++line_;
    return c;
  }

  void skip_blanks() {
    while (!at_end()) {
      if (peek() == '%')
        while (!at_end() && peek() != '\n') take();
      else if (is_space(peek()))
        take();
      else
        return;
    }
  }

  /// A dot ends a term only before a blank, a comment or the end.
  [[nodiscard]] bool at_final_dot() const {
    if (peek() != '.') return false;
    const char next = at_ + 1 < text_.size() ? text_[at_ + 1] : '\n';
    return is_space(next) || next == '%';
  }

  void term() {
    const int line = line_;
    const auto atom = peek() == '\'' ? quoted(line) : unquoted(line);
    if (!atom) return skip_term();
    skip_blanks();
    if (!at_final_dot()) {
      problem(line,
              at_end() ? "the final dot is missing" : "only one atom may stand before each dot");
      return skip_term();
    }
    take();
    accept(line, *atom);
  }

  void skip_term() {
    while (!at_end() && !at_final_dot()) take();
    if (!at_end()) take();
  }

  std::optional<std::string> unquoted(int line) {
    if (!is_lower(peek())) {
      problem(line, "expected a host like 'web-1.example.com'. in single quotes");
      return std::nullopt;
    }
    std::string atom;
    while (!at_end() && is_word(peek())) atom += take();
    return atom;
  }

  std::optional<std::string> quoted(int line) {
    take();
    std::string atom;
    while (!at_end() && peek() != '\'') {
      const char c = take();
      if (c != '\\') {
        atom += c;
        continue;
      }
      const auto escaped = at_end() ? std::nullopt : escape();
      if (!escaped) {
        problem(line, "bad escape in a quoted atom");
        return std::nullopt;
      }
      atom += *escaped;
    }
    if (at_end()) {
      problem(line, "the closing quote is missing");
      return std::nullopt;
    }
    take();
    return atom;
  }

  /// Behind a backslash.  Only ASCII can be part of a host, so larger codes become '?', which none
  /// accepts.
  std::optional<char> escape() {
    static constexpr std::string_view letters = "bdefnrstv";
    static constexpr std::string_view meanings = "\b\x7f\x1b\f\n\r \t\v";
    if (peek() == 'x') return hexadecimal();
    if (peek() >= '0' && peek() <= '7') return number(8, 3);
    const char c = take();
    if (c == '^') return at_end() ? std::nullopt : std::optional(static_cast<char>(take() & 31));
    const auto letter = letters.find(c);
    return letter == std::string_view::npos ? c : meanings[letter];
  }

  std::optional<char> hexadecimal() {
    take();
    if (peek() != '{') return number(16, 2);
    take();
    const auto c = number(16, 6);
    if (!c || peek() != '}') return std::nullopt;
    take();
    return c;
  }

  std::optional<char> number(int base, int most_digits) {
    int value = 0, digits = 0;
    for (; digits < most_digits && digit_value(peek()) < base; ++digits)
      value = value * base + digit_value(take());
    if (digits == 0) return std::nullopt;
    return value < 128 ? static_cast<char>(value) : '?';
  }

  void accept(int line, const std::string& host) {
    if (!NodeName::parse("a@" + host)) return problem(line, "this is not a host name");
    if (std::ranges::find(file_.hosts, host) != file_.hosts.end()) return;
    if (file_.hosts.size() < max_hosts)
      file_.hosts.push_back(host);
    else
      problem(line, "too many hosts");
  }

  void problem(int line, const char* what) {
    if (file_.problems.size() < max_problems)
      file_.problems.push_back("line " + std::to_string(line) + ": " + what);
  }

  std::string_view text_;
  std::size_t at_ = 0;
  int line_ = 1;
  HostsFile file_;
};

}  // namespace

HostsFile parse_hosts_file(std::string_view text) { return Parser(text).parse(); }

}  // namespace muster::discovery
