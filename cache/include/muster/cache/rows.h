// SPDX-License-Identifier: MIT
//
// Rows on their way to a store: one behind the other in a few pieces of memory, so that a row
// costs a copy of its bytes and nothing else.  The store's log keeps them in the same layout
// (recent_rows.h).
//
// Layout of a row: mark (one byte: the space, and 128 where a value follows), length of the key
// (2 bytes) and of the value (4 bytes, 0 where there is none), little end first, key, value.
// Threads: none, values.
#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace muster::cache {

/// Kept apart on disk; the keys are the machine's (replica_store.cc).
enum class Space : std::uint8_t { entries, deletes, meta, journal };
constexpr std::size_t spaces = 4;

/// The views lead into whatever it was read from.
struct Row {
  Space space = Space::entries;
  std::string_view key;
  std::optional<std::string_view> value;  ///< None: erase.
};

constexpr std::size_t row_head_bytes = 7;
[[nodiscard]] inline std::size_t row_bytes(const Row& row) {
  return row_head_bytes + row.key.size() + (row.value ? row.value->size() : 0);
}
/// Keys are shorter than 64 KiB, values than 4 GiB.
void write_row(std::string& out, const Row& row);
/// Takes the first row off `bytes`.  False: there is no whole and valid one.
[[nodiscard]] bool take_row(std::string_view& bytes, Row& row);

class Rows {
 public:
  void add(const Row& row);
  void clear();
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }

  /// In the order in which they came.
  template <class Visit>  // (const Row&)
  void for_each(const Visit& visit) const {
    for (const std::string& piece : pieces_) {
      Row row;
      for (std::string_view rest = piece; !rest.empty(); visit(row)) {
        if (!take_row(rest, row)) return assert(false);
      }
    }
  }

 private:
  std::vector<std::string> pieces_;
  std::size_t size_ = 0, bytes_ = 0;
};

}  // namespace muster::cache
