// SPDX-License-Identifier: MIT
//
// The few pieces of the Protocol Buffers encoding that the hot path writes and reads by hand:
// operations are encoded once, forwarded as bytes and read without copying.  All else goes through
// generated classes.  What is written here is plain protobuf (replication.proto describes it), and
// what is read is checked at each step: malformed input ends the reading, it never reads past it.
#pragma once

#include <array>
#include <bit>
#include <cassert>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace muster::cache::wire_format {

static_assert(std::endian::native == std::endian::little);

enum class Type : std::uint8_t { varint = 0, fixed64 = 1, bytes = 2 };

inline std::size_t varint_size(std::uint64_t value) {
  return value == 0 ? 1 : (static_cast<std::size_t>(std::bit_width(value)) + 6) / 7;
}

/// A few fields at a time, put together without a call for each byte: all of it but the bytes stays
/// in registers, for which every function is inlined.  Room for 64 bytes, which the writer must not
/// exceed.
class Piece {
 public:
  [[gnu::always_inline]] void push_back(char byte) {
    assert(size_ < bytes_.size());
    bytes_[size_++] = byte;
  }
  [[gnu::always_inline]] void append(const char* bytes, std::size_t size) {
    assert(size <= bytes_.size() - size_);
    std::memcpy(bytes_.data() + size_, bytes, size);
    size_ += size;
  }
  [[gnu::always_inline]] void append_varint(std::uint64_t value) {
    assert(bytes_.size() - size_ >= 10 || varint_size(value) <= bytes_.size() - size_);
    char* at = bytes_.data() + size_;
    for (; value >= 0x80; value >>= 7) *at++ = static_cast<char>(value | 0x80);
    *at++ = static_cast<char>(value);
    size_ = static_cast<std::size_t>(at - bytes_.data());
  }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::string_view view() const { return {bytes_.data(), size_}; }

 private:
  std::array<char, 64> bytes_;
  std::size_t size_ = 0;
};

// `Out` is a std::string or a Piece.
template <class Out>
void put_varint(Out& out, std::uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}
inline void put_varint(Piece& out, std::uint64_t value) { out.append_varint(value); }
/// Of a field below 16.
inline std::size_t bytes_field_size(std::size_t size) { return 1 + varint_size(size) + size; }
template <class Out>
[[gnu::always_inline]] inline void put_tag(Out& out, std::uint32_t field, Type type) {
  put_varint(out, field << 3 | static_cast<std::uint32_t>(type));
}
template <class Out>
[[gnu::always_inline]] inline void put_varint_field(Out& out, std::uint32_t field,
                                                    std::uint64_t value) {
  put_tag(out, field, Type::varint);
  put_varint(out, value);
}
template <class Out>
[[gnu::always_inline]] inline void put_fixed64_field(Out& out, std::uint32_t field,
                                                     std::uint64_t value) {
  put_tag(out, field, Type::fixed64);
  char raw[8];
  std::memcpy(raw, &value, 8);
  out.append(raw, 8);
}
inline void put_bytes_field(std::string& out, std::uint32_t field, std::string_view bytes) {
  put_tag(out, field, Type::bytes);
  put_varint(out, bytes.size());
  out.append(bytes);
}

/// Walks the fields of one message: `while (reader.next()) switch (reader.field()) ...`, then
/// ok().
class Reader {
 public:
  explicit Reader(std::string_view input) : at_(input.data()), end_(at_ + input.size()) {}

  /// Reads the next field whole; false at the end and on malformed input.
  bool next() {
    if (!ok_ || at_ == end_) return false;
    const std::uint64_t tag = take_varint();
    field_ = static_cast<std::uint32_t>(tag >> 3);
    switch (tag & 7) {
      case 0:
        number_ = take_varint();
        break;
      case 1:
        number_ = take_fixed<std::uint64_t>();
        break;
      case 2:
        bytes_ = take_bytes();
        break;
      case 5:
        number_ = take_fixed<std::uint32_t>();
        break;
      default:
        ok_ = false;
    }
    type_ = static_cast<Type>(tag & 7);
    return ok_;
  }
  [[nodiscard]] std::uint32_t field() const { return field_; }
  [[nodiscard]] std::uint64_t number() {
    ok_ = ok_ && type_ != Type::bytes;
    return number_;
  }
  [[nodiscard]] std::string_view bytes() {
    ok_ = ok_ && type_ == Type::bytes;
    return ok_ ? bytes_ : std::string_view{};
  }
  [[nodiscard]] bool ok() const { return ok_; }

 private:
  [[nodiscard]] std::size_t left() const { return static_cast<std::size_t>(end_ - at_); }
  std::uint64_t take_varint() {
    // Tags and nearly all lengths are one byte.
    if (at_ != end_ && static_cast<unsigned char>(*at_) < 0x80) {
      return static_cast<unsigned char>(*at_++);
    }
    return take_long_varint();
  }
  std::uint64_t take_long_varint() {
    std::uint64_t value = 0;
    const char* at = at_;
    for (unsigned shift = 0; shift < 64 && at != end_; shift += 7) {
      const auto byte = static_cast<unsigned char>(*at++);
      value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) {
        at_ = at;
        return value;
      }
    }
    ok_ = false;
    return 0;
  }
  template <class Word>
  std::uint64_t take_fixed() {
    if (left() < sizeof(Word)) {
      ok_ = false;
      return 0;
    }
    Word value = 0;
    std::memcpy(&value, at_, sizeof(Word));
    at_ += sizeof(Word);
    return value;
  }
  std::string_view take_bytes() {
    const std::uint64_t size = take_varint();
    if (!ok_ || size > left()) {
      ok_ = false;
      return {};
    }
    const std::string_view taken(at_, size);
    at_ += size;
    return taken;
  }

  const char* at_;
  const char* end_;
  std::string_view bytes_;
  std::uint64_t number_ = 0;
  std::uint32_t field_ = 0;
  Type type_ = Type::varint;
  bool ok_ = true;
};

}  // namespace muster::cache::wire_format
