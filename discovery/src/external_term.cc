// SPDX-License-Identifier: MIT
#include "external_term.h"

#include <algorithm>
#include <cassert>

namespace muster::discovery::external_term {
namespace {

constexpr std::uint8_t version = 131;

enum Tag : std::uint8_t {
  new_float = 70,
  bit_binary = 77,
  new_pid = 88,
  new_port = 89,
  newer_reference = 90,
  small_integer = 97,
  integer = 98,
  float_text = 99,
  atom_latin1 = 100,
  reference = 101,
  port = 102,
  pid = 103,
  small_tuple = 104,
  large_tuple = 105,
  nil = 106,
  string = 107,
  list = 108,
  binary = 109,
  small_big = 110,
  large_big = 111,
  new_function = 112,
  export_function = 113,
  new_reference = 114,
  small_atom_latin1 = 115,
  map_pairs = 116,
  old_function = 117,
  atom_utf8 = 118,
  small_atom_utf8 = 119,
  large_port = 120,
};

bool is_atom(std::uint8_t tag) {
  return tag == atom_latin1 || tag == small_atom_latin1 || tag == atom_utf8 ||
         tag == small_atom_utf8;
}

std::string utf8_of_latin1(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<std::uint8_t>(c);
    if (byte < 0x80) {
      out.push_back(c);
    } else {
      out.push_back(static_cast<char>(0xc0 | (byte >> 6)));
      out.push_back(static_cast<char>(0x80 | (byte & 0x3f)));
    }
  }
  return out;
}

/// Each character has one byte that is no tail.
std::size_t characters_of(std::string_view utf8) {
  return static_cast<std::size_t>(std::ranges::count_if(
      utf8, [](char c) { return (static_cast<std::uint8_t>(c) & 0xc0) != 0x80; }));
}

}  // namespace

Reader::Reader(std::string_view bytes) : in_(bytes) {
  if (in_.number<std::uint8_t>() != version) fail();
}

std::optional<std::string> Reader::atom() {
  if (failed() || in_.left() == 0 || !is_atom(peek())) return std::nullopt;
  const auto tag = in_.number<std::uint8_t>();
  const bool is_small = tag == small_atom_latin1 || tag == small_atom_utf8;
  const auto bytes = is_small ? in_.counted<std::uint8_t>() : in_.counted<std::uint16_t>();
  const bool is_utf8 = tag == atom_utf8 || tag == small_atom_utf8;
  std::string text = is_utf8 ? std::string(bytes) : utf8_of_latin1(bytes);
  if (characters_of(text) > max_atom) fail();
  if (failed()) return std::nullopt;
  return text;
}

std::optional<std::uint32_t> Reader::map() {
  if (failed() || in_.left() == 0 || peek() != map_pairs) return std::nullopt;
  in_.number<std::uint8_t>();
  const auto pairs = in_.number<std::uint32_t>();
  if (std::uint64_t{pairs} * 2 > in_.left()) fail();
  if (failed()) return std::nullopt;
  return pairs;
}

void Reader::skip() {
  // Terms still to come, instead of recursion: depth costs nothing.
  for (std::uint64_t pending = 1; pending > 0 && !failed(); --pending) {
    pending += skip_one();
    if (pending - 1 > in_.left()) fail();
  }
}

/// Returns how many terms it holds, which follow.
std::uint64_t Reader::skip_one() {
  if (in_.left() > 0 && is_atom(peek())) {
    (void)atom();
    return 0;
  }
  const auto tag = in_.number<std::uint8_t>();
  switch (tag) {
    case nil:
      return 0;
    case small_tuple:
      return in_.number<std::uint8_t>();
    case large_tuple:
      return in_.number<std::uint32_t>();
    case list:
      return std::uint64_t{in_.number<std::uint32_t>()} + 1;  // Its tail.
    case map_pairs:
      return std::uint64_t{in_.number<std::uint32_t>()} * 2;
    default:
      return skip_number_or_text(tag);
  }
}

std::uint64_t Reader::skip_number_or_text(std::uint8_t tag) {
  switch (tag) {
    case small_integer:
      in_.text(1);
      break;
    case integer:
      in_.text(4);
      break;
    case new_float:
      in_.text(8);
      break;
    case float_text:
      in_.text(31);
      break;
    case small_big:
      in_.text(std::size_t{in_.number<std::uint8_t>()} + 1);  // And its sign.
      break;
    case large_big:
      in_.text(std::size_t{in_.number<std::uint32_t>()} + 1);
      break;
    case string:
      in_.counted<std::uint16_t>();
      break;
    case binary:
      in_.counted<std::uint32_t>();
      break;
    case bit_binary:
      in_.text(std::size_t{in_.number<std::uint32_t>()} + 1);  // And the bits of its last byte.
      break;
    default:
      return skip_identifier(tag);
  }
  return 0;
}

/// Node, numbers, creation.
std::uint64_t Reader::skip_identifier(std::uint8_t tag) {
  std::size_t words = 0;  // Of a reference, told before the node.
  std::size_t size = 0;
  if (tag == new_reference || tag == newer_reference) words = in_.number<std::uint16_t>();
  switch (tag) {
    case reference:
    case port:
      size = 4 + 1;
      break;
    case pid:
      size = 4 + 4 + 1;
      break;
    case new_pid:
      size = 4 + 4 + 4;
      break;
    case new_port:
      size = 4 + 4;
      break;
    case large_port:
      size = 8 + 4;
      break;
    case new_reference:
      size = 1 + 4 * words;
      break;
    case newer_reference:
      size = 4 + 4 * words;
      break;
    default:
      return skip_function(tag);
  }
  if (!atom()) fail();
  in_.text(size);
  return 0;
}

std::uint64_t Reader::skip_function(std::uint8_t tag) {
  switch (tag) {
    case export_function:
      return 3;  // Module, function, arity.
    case old_function:
      return std::uint64_t{in_.number<std::uint32_t>()} + 4;  // Pid, module, index, unique.
    case new_function: {
      in_.text(4 + 1 + 16 + 4);                               // Size, arity, unique, index.
      return std::uint64_t{in_.number<std::uint32_t>()} + 4;  // Module, index, unique, pid.
    }
    default:
      fail();
      return 0;
  }
}

std::string map_of_atoms(std::string_view key, std::string_view value) {
  // ATOM_EXT is what releases up to 25 write, and all read.
  ByteWriter out;
  out.number(version);
  out.number(std::uint8_t{map_pairs});
  out.number(std::uint32_t{1});
  for (const auto text : {key, value}) {
    assert(text.size() <= max_atom);
    out.number(std::uint8_t{atom_latin1});
    out.counted<std::uint16_t>(text);
  }
  return out.take();
}

}  // namespace muster::discovery::external_term
