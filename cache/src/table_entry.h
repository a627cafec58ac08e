// SPDX-License-Identifier: MIT
//
// How one key lies in memory.  One block holds a 24 byte header, a timer where the entry expires, a
// touch where it was touched, then key and value: the plain form, for one incarnation with one
// value, which is nearly every key.  Anything richer (several incarnations, `before` values, a
// touch whose create has not come) is held in a Rich beside the block.  The value of a plain entry
// may be absent: it is on disk.
//
// The ids that repeat in every entry (origin, boot, line) are interned: 24 bits stand for all
// three.
//
// Threads: made and changed by the owner; readers look at it under the lock of its shard.
#pragma once

#include <array>
#include <bit>
#include <boost/unordered/unordered_flat_map.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "expiry_wheel.h"
#include "muster/cache/definition.h"
#include "muster/cache/table.h"
#include "muster/cache/types.h"
#include "table_version.h"

namespace muster::cache {

/// What repeats from entry to entry.
struct Context {
  OriginId origin;  ///< Of the create dot.
  BootId boot;      ///< Of the value's stamp.
  LineId line = 0;
  friend bool operator==(const Context&, const Context&) = default;
};

/// Contexts by number.  Only ever grows, by what boots and lines a table has seen; a reader may
/// look up any number that it found in an entry, without a lock of the registry's own.
class Contexts {
 public:
  static constexpr std::uint32_t limit = 1U << 24;

  /// None when there are more than `limit`.
  std::optional<std::uint32_t> intern(const Context& context);
  [[nodiscard]] const Context& at(std::uint32_t number) const;
  [[nodiscard]] std::size_t size() const { return count_; }

 private:
  struct Hash {
    std::size_t operator()(const Context& context) const;
  };
  static constexpr unsigned first_chunk_bits = 4;
  std::array<std::unique_ptr<Context[]>, 24> chunks_;  // Chunk n holds 16 << n; never moves.
  boost::unordered_flat_map<Context, std::uint32_t, Hash> numbers_;
  std::uint32_t count_ = 0;
  std::uint32_t latest_ = 0;
};

inline const Context& Contexts::at(std::uint32_t number) const {
  const std::uint32_t place = number + (1U << first_chunk_bits);
  const auto chunk = static_cast<std::size_t>(std::bit_width(place)) - first_chunk_bits - 1;
  return chunks_[chunk][place - (1U << (chunk + first_chunk_bits))];
}

class Entry {
 public:
  struct Free {
    void operator()(Entry* entry) const;
  };
  using Owned = std::unique_ptr<Entry, Free>;

  static Owned make(std::string_view key, const Plain& plain, std::uint32_t context);
  static Owned make(std::string_view key, Rich rich);
  /// As `entry`, which is plain, without its value.
  static Owned without_value(const Entry& entry, const Contexts& contexts);
  static Entry& of(TimerNode& timer);

  /// Writes `plain` over this plain entry in place; false when it does not have the right size and
  /// form, and then nothing happened.  The timer keeps its links and takes the new expiry.
  bool overwrite(const Plain& plain, std::uint32_t context);

  [[nodiscard]] bool rich() const { return (flags() & is_rich) != 0; }
  [[nodiscard]] bool absent() const { return (flags() & is_absent) != 0; }  ///< No value here.
  [[nodiscard]] bool has_timer() const { return (flags() & with_timer) != 0; }
  [[nodiscard]] std::string_view key() const { return {bytes(), key_length()}; }
  [[nodiscard]] std::size_t allocated() const;  ///< As malloc counts.

  // The plain form.
  [[nodiscard]] std::uint32_t context() const { return kind_ >> 8; }
  [[nodiscard]] std::string_view value() const { return {bytes() + key_length(), value_length()}; }
  [[nodiscard]] bool live(Timestamp at) const { return !has_timer() || timer().expiry > at; }
  [[nodiscard]] Expiry expiry() const { return has_timer() ? timer().expiry : never_expires; }
  [[nodiscard]] Plain plain(const Contexts& contexts) const;

  // The rich form.
  [[nodiscard]] const Rich& versions() const { return *rich_; }
  [[nodiscard]] Rich& versions() { return *rich_; }

  [[nodiscard]] TimerNode& timer() { return *std::launder(reinterpret_cast<TimerNode*>(this + 1)); }
  [[nodiscard]] const TimerNode& timer() const {
    return *std::launder(reinterpret_cast<const TimerNode*>(this + 1));
  }

 private:
  enum Flag : std::uint32_t { with_timer = 1, with_touch = 2, is_rich = 4, is_absent = 8 };
  struct Touch {
    std::uint64_t time = 0;
    BootId boot;
    Expiry expiry = never_expires;
    Expiry value_expiry = never_expires;
  };

  Entry() = default;
  static Owned allocate(std::size_t key, std::size_t value, std::uint32_t flags);
  [[nodiscard]] static std::uint32_t flags_of(const Plain& plain);
  [[nodiscard]] static std::size_t size_of(std::size_t key, std::size_t value,
                                           std::uint32_t flags) {
    return sizeof(Entry) + ((flags & with_timer) != 0 ? sizeof(TimerNode) : 0) +
           ((flags & with_touch) != 0 ? sizeof(Touch) : 0) + key + value;
  }
  void fill(const Plain& plain, std::uint32_t context);

  [[nodiscard]] std::uint32_t flags() const { return kind_ & 0xFF; }
  [[nodiscard]] std::size_t key_length() const { return lengths_ & 0xFFF; }
  [[nodiscard]] std::size_t value_length() const { return lengths_ >> 12; }
  [[nodiscard]] std::size_t blocks() const { return size_of(0, 0, flags()); }
  [[nodiscard]] char* bytes() { return reinterpret_cast<char*>(this) + blocks(); }
  [[nodiscard]] const char* bytes() const { return reinterpret_cast<const char*>(this) + blocks(); }
  [[nodiscard]] Touch* touch();
  [[nodiscard]] const Touch* touch() const;

  std::uint32_t lengths_ = 0;  ///< Of key (12 bits) and value (20 bits).
  std::uint32_t kind_ = 0;     ///< Context (24 bits) and flags.
  union {
    std::uint64_t time_ = 0;
    Rich* rich_;
  };
  std::uint64_t sequence_ = 0;
};
static_assert(sizeof(Entry) == 24 && sizeof(TimerNode) == 24);
static_assert(max_value_bytes < std::size_t{1} << 20 && Key::max_encoded < std::size_t{1} << 12);

}  // namespace muster::cache
