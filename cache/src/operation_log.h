// SPDX-License-Identifier: MIT
//
// A bounded ring of the encoded operations of all origins, own and others', in the order in which
// they were applied here: what a peer missed is sent again from it, the same bytes, and from any
// member.  Each origin has a floor: operations up to it are no longer (or never were) in the log.
//
// Invariant: of each origin the log holds exactly the sequences (floor, last], without a hole.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "muster/cache/types.h"
#include "vector.h"

namespace muster::cache {

class OperationLog {
 public:
  explicit OperationLog(std::size_t bytes_max) : bytes_max_(bytes_max) {}
  void set_bytes_max(std::size_t bytes_max) { bytes_max_ = bytes_max; }  ///< From the next on.

  /// `dot` must follow the last of its origin (or that origin's floor); otherwise the origin's
  /// floor moves up to just before it.  The view returned is valid until the next change.
  std::string_view append(const Dot& dot, std::string_view encoded);
  /// Nothing of `origin` up to `sequence` can be served from here.
  void raise_floor(const OriginId& origin, std::uint64_t sequence);
  void forget(const OriginId& origin);
  void clear();

  [[nodiscard]] std::uint64_t floor(const OriginId& origin) const;
  /// True when everything that `have` lacks of what `upto` covers is here.
  [[nodiscard]] bool reaches(const Vector& have, const Vector& upto) const;

  /// All operations that `have` lacks, in the order applied here, from position `from` on (0: the
  /// first needed one), while `visit` returns true.
  using Visit = std::function<bool(const Dot& dot, std::string_view encoded)>;
  void visit_missing(const Vector& have, const Visit& visit) const;
  [[nodiscard]] std::string_view find(const Dot& dot) const;  ///< Empty: not here.

  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  [[nodiscard]] std::size_t size() const { return entries_.size(); }
  void check_invariants() const;

 private:
  struct Entry {
    Dot dot;
    std::uint64_t block = 0;
    std::uint32_t offset = 0;
    std::uint32_t length = 0;
  };
  struct PerOrigin {
    std::uint64_t floor = 0;
    std::deque<std::uint64_t> positions;  // of floor + 1, floor + 2, ...
  };
  [[nodiscard]] std::string_view bytes_of(const Entry& entry) const;
  void drop_first();

  static constexpr std::size_t block_bytes = std::size_t{256} << 10;
  std::size_t bytes_max_;
  std::size_t bytes_ = 0;
  std::deque<Entry> entries_;
  std::uint64_t first_position_ = 0;  // of entries_.front()
  std::deque<std::string> blocks_;
  std::uint64_t first_block_ = 0;
  std::map<OriginId, PerOrigin> origins_;
};

}  // namespace muster::cache
