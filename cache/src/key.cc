// SPDX-License-Identifier: MIT
//
// Keys and patterns in their encoded form: escapes, separators, and nothing that depends on a
// table.
#include "muster/cache/key.h"

#include "key_check.h"

namespace muster::cache {
namespace {

constexpr char zero = '\0';
constexpr char separator = '\x01';
constexpr char escaped_zero = '\xFF';

void append_part(std::string& encoded, std::string_view part) {
  for (std::size_t end = part.find(zero); end != part.npos; end = part.find(zero)) {
    encoded.append(part.substr(0, end + 1));
    encoded.push_back(escaped_zero);
    part.remove_prefix(end + 1);
  }
  encoded.append(part);
}

void append_separator(std::string& encoded) {
  encoded.push_back(zero);
  encoded.push_back(separator);
}

/// Where the part that starts at `from` ends: at a separator or at the end of the key.
std::size_t end_of_part(std::string_view encoded, std::size_t from) {
  std::size_t at = encoded.find(zero, from);
  while (at != std::string_view::npos && at + 1 < encoded.size() && encoded[at + 1] != separator) {
    at = encoded.find(zero, at + 2);
  }
  return at == std::string_view::npos ? encoded.size() : at;
}

std::string unescaped(std::string_view part) {
  std::string plain;
  plain.reserve(part.size());
  for (std::size_t at = 0; at < part.size(); ++at) {
    plain.push_back(part[at]);
    if (part[at] == zero) ++at;
  }
  return plain;
}

bool equals_escaped(std::string_view encoded, std::string_view plain) {
  std::size_t at = 0;
  for (const char byte : plain) {
    if (at >= encoded.size() || encoded[at] != byte) return false;
    at += byte == zero ? 2 : 1;
  }
  return at == encoded.size();
}

}  // namespace

Key::Key(std::string_view part) : encoded_(part) {
  if (part.find(zero) == part.npos) return;
  encoded_.clear();
  append_part(encoded_, part);
}

Key::Key(std::initializer_list<std::string_view> parts) {
  bool first = true;
  for (const std::string_view part : parts) {
    if (!first) append_separator(encoded_);
    append_part(encoded_, part);
    first = false;
  }
}

Key::Key(const std::vector<std::string>& parts) {
  bool first = true;
  for (const std::string& part : parts) {
    if (!first) append_separator(encoded_);
    append_part(encoded_, part);
    first = false;
  }
}

Result<void> check_key(std::string_view encoded) {
  if (encoded.empty()) return bad_input("a key may not be empty");
  if (encoded.size() > Key::max_encoded) {
    return bad_input("a key may have " + std::to_string(Key::max_encoded) +
                     " bytes, this one has " + std::to_string(encoded.size()));
  }
  for (std::size_t at = encoded.find(zero); at != std::string_view::npos;
       at = encoded.find(zero, at + 2)) {
    const bool whole = at + 1 < encoded.size() &&
                       (encoded[at + 1] == separator || encoded[at + 1] == escaped_zero);
    if (!whole) return bad_input("malformed key: a zero byte that is neither escape nor separator");
  }
  return {};
}

Result<Key> Key::decode(std::string_view encoded) {
  if (auto good = check_key(encoded); !good) return good.error();
  Key key;
  key.encoded_ = encoded;
  return key;
}

std::vector<std::string> Key::parts() const {
  std::vector<std::string> parts;
  if (encoded_.empty()) return parts;
  const std::string_view encoded = encoded_;
  for (std::size_t from = 0;;) {
    const std::size_t end = end_of_part(encoded, from);
    parts.push_back(unescaped(encoded.substr(from, end - from)));
    if (end == encoded.size()) return parts;
    from = end + 2;
  }
}

std::string Pattern::prefix() const {
  std::string prefix;
  for (std::size_t part = 0; part < parts.size(); ++part) {
    if (!parts[part]) return prefix;
    append_part(prefix, *parts[part]);
    if (part + 1 < parts.size()) append_separator(prefix);
  }
  return prefix;
}

bool Pattern::matches(std::string_view encoded) const {
  std::size_t from = 0;
  for (std::size_t part = 0; part < parts.size(); ++part) {
    const std::size_t end = end_of_part(encoded, from);
    if (parts[part] && !equals_escaped(encoded.substr(from, end - from), *parts[part])) {
      return false;
    }
    const bool last = part + 1 == parts.size();
    if (end == encoded.size()) return last;
    if (last) return any_tail;
    from = end + 2;
  }
  return any_tail;
}

}  // namespace muster::cache
