// SPDX-License-Identifier: MIT
//
// Big-endian numbers and counted strings for hand-made wire formats.  ByteReader never reads beyond
// its bytes: the first read that would marks it failed, and every later one answers zeros, so
// callers check once, at the end.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace muster {

class ByteWriter {
 public:
  template <std::unsigned_integral T>
  void number(T value) {
    for (int shift = static_cast<int>(sizeof(T)) * 8 - 8; shift >= 0; shift -= 8)
      bytes_.push_back(static_cast<char>(static_cast<std::uint8_t>(value >> shift)));
  }
  void text(std::string_view value) { bytes_ += value; }
  /// A string behind its length as an Length; longer ones are the caller's bug.
  template <std::unsigned_integral Length>
  void counted(std::string_view value) {
    number(static_cast<Length>(value.size()));
    text(value);
  }
  [[nodiscard]] std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : rest_(bytes) {}

  template <std::unsigned_integral T>
  T number() {
    T value = 0;
    for (const char c : text(sizeof(T)))
      value =
          static_cast<T>((static_cast<std::uint64_t>(value) << 8) | static_cast<std::uint8_t>(c));
    return value;
  }
  std::string_view text(std::size_t size) {
    if (size > rest_.size()) {
      failed_ = true;
      rest_ = {};
      return {};
    }
    const auto taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }
  template <std::unsigned_integral Length>
  std::string_view counted() {
    return text(number<Length>());
  }
  /// The next byte, left where it is; of none a zero.
  [[nodiscard]] char peek() const { return rest_.empty() ? '\0' : rest_.front(); }
  [[nodiscard]] bool failed() const { return failed_; }
  [[nodiscard]] std::size_t left() const { return rest_.size(); }

 private:
  std::string_view rest_;
  bool failed_ = false;
};

}  // namespace muster
