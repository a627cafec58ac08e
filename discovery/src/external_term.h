// SPDX-License-Identifier: MIT
//
// Erlang's external term format, as much of it as discovery needs: atoms and maps are read, every
// other term is stepped over, whatever its tag.  Pure.
//
// The bytes are anybody's: nothing is read beyond them and nothing recurses; the work is bounded by
// their number, since each term still to come must have a byte.  Refused, as malformed: compressed
// terms, the atom cache of distribution, the local format of one runtime, unknown tags.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "bytes.h"

namespace muster::discovery::external_term {

constexpr std::size_t max_atom = 255;  ///< Characters.

class Reader {
 public:
  /// Of a whole term, version byte included.
  explicit Reader(std::string_view bytes);

  /// The next term's text in UTF-8 where that is an atom, of any tag; otherwise nothing is read.
  [[nodiscard]] std::optional<std::string> atom();
  /// The number of its pairs where the next term is a map: key and value of each follow.
  [[nodiscard]] std::optional<std::uint32_t> map();
  /// Steps over the next term, all that is within it included.
  void skip();

  [[nodiscard]] bool failed() const { return in_.failed() || failed_; }

 private:
  [[nodiscard]] std::uint8_t peek() const { return static_cast<std::uint8_t>(in_.peek()); }
  std::uint64_t skip_one();
  std::uint64_t skip_number_or_text(std::uint8_t tag);
  std::uint64_t skip_identifier(std::uint8_t tag);
  std::uint64_t skip_function(std::uint8_t tag);
  void fail() { failed_ = true; }

  ByteReader in_;
  bool failed_ = false;
};

/// Version byte and a map of one pair of atoms, by tags that every release of Erlang reads; both
/// texts ASCII, of at most 255 characters.
[[nodiscard]] std::string map_of_atoms(std::string_view key, std::string_view value);

}  // namespace muster::discovery::external_term
