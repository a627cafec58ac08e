// SPDX-License-Identifier: MIT
#include "table_row.h"

#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>

#include "muster/cache/definition.h"

namespace muster::cache {
namespace {

constexpr unsigned char row_version = 1;
enum Mark : unsigned char { same_boot = 1, no_expiry = 2 };
constexpr unsigned char touched = 1;
constexpr std::uint64_t parts_max = 1024;  ///< Incarnations of a key, values of an incarnation.

constexpr std::uint64_t little_end_first(std::uint64_t value) {
  return std::endian::native == std::endian::little ? value : __builtin_bswap64(value);
}

class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}
  void byte(unsigned char value) { out_.push_back(static_cast<char>(value)); }
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) byte(static_cast<unsigned char>(value | 0x80));
    byte(static_cast<unsigned char>(value));
  }
  void fixed(std::uint64_t value) {
    const std::uint64_t stored = little_end_first(value);
    out_.append(reinterpret_cast<const char*>(&stored), sizeof(stored));
  }
  void expiry(Expiry at) { fixed(static_cast<std::uint64_t>(at.time_since_epoch().count())); }
  void bytes(std::string_view data) {
    varint(data.size());
    out_ += data;
  }

 private:
  std::string& out_;
};

/// Reads past the end give zeros and are remembered: checked once, at the end of each part.
class Reader {
 public:
  explicit Reader(std::string_view in) : in_(in) {}

  unsigned char byte() {
    if (in_.empty()) {
      good_ = false;
      return 0;
    }
    const auto value = static_cast<unsigned char>(in_.front());
    in_.remove_prefix(1);
    return value;
  }
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const unsigned char part = byte();
      value |= std::uint64_t{part & 0x7FU} << shift;
      if (part < 0x80) return value;
    }
    good_ = false;
    return 0;
  }
  std::uint64_t fixed() {
    std::uint64_t value = 0;
    if (in_.size() < sizeof(value)) {
      good_ = false;
      return 0;
    }
    std::memcpy(&value, in_.data(), sizeof(value));
    in_.remove_prefix(sizeof(value));
    return little_end_first(value);
  }
  Expiry expiry() { return Expiry(std::chrono::microseconds(static_cast<std::int64_t>(fixed()))); }
  std::string_view bytes(std::size_t longest) {
    const std::uint64_t size = varint();
    if (size > in_.size() || size > longest) {
      good_ = false;
      return {};
    }
    const std::string_view data = in_.substr(0, size);
    in_.remove_prefix(size);
    return data;
  }
  [[nodiscard]] bool good() const { return good_; }
  [[nodiscard]] bool ended() const { return good_ && in_.empty(); }

 private:
  std::string_view in_;
  bool good_ = true;
};

void write_value(Writer& out, BootId creator, const ValueRegister& value) {
  const bool same = value.stamp.boot == creator;
  const bool forever_there = value.expiry == never_expires;
  out.byte(static_cast<unsigned char>((same ? same_boot : 0) | (forever_there ? no_expiry : 0)));
  out.fixed(value.stamp.time);
  if (!same) out.fixed(value.stamp.boot.value);
  out.fixed(value.line);
  if (!forever_there) out.expiry(value.expiry);
  out.bytes(value.bytes);
}

void write_incarnation(Writer& out, const Dot& created, const ExpiryRegister& touch,
                       std::span<const ValueRegister> values) {
  out.fixed(created.origin.boot.value);
  out.varint(created.origin.number);
  out.varint(created.sequence);
  const bool is_touched = touch.stamp != Stamp{};
  out.byte(is_touched ? touched : 0);
  if (is_touched) {
    out.fixed(touch.stamp.time);
    out.fixed(touch.stamp.boot.value);
    out.expiry(touch.expiry);
  }
  out.varint(values.size());
  for (const ValueRegister& value : values) write_value(out, created.origin.boot, value);
}

bool read_value(Reader& in, BootId creator, ValueRegister& value) {
  const unsigned char marks = in.byte();
  if ((marks & ~(same_boot | no_expiry)) != 0) return false;
  value.stamp.time = in.fixed();
  value.stamp.boot = (marks & same_boot) != 0 ? creator : BootId{in.fixed()};
  value.line = in.fixed();
  value.expiry = (marks & no_expiry) != 0 ? never_expires : in.expiry();
  value.bytes = in.bytes(max_value_bytes);
  return in.good();
}

bool line_is_new(const std::vector<ValueRegister>& values, LineId line) {
  for (const ValueRegister& value : values) {
    if (value.line == line) return false;
  }
  return true;
}

bool read_incarnation(Reader& in, Incarnation& incarnation) {
  incarnation.values.clear();
  incarnation.touch = {};
  incarnation.created.origin.boot.value = in.fixed();
  const std::uint64_t number = in.varint();
  incarnation.created.origin.number = static_cast<std::uint32_t>(number);
  incarnation.created.sequence = in.varint();
  const unsigned char shape = in.byte();
  if (!in.good() || number > UINT32_MAX || (shape & ~touched) != 0) return false;
  if (shape == touched) {
    incarnation.touch.stamp.time = in.fixed();
    incarnation.touch.stamp.boot.value = in.fixed();
    incarnation.touch.expiry = in.expiry();
    if (incarnation.touch.stamp == Stamp{}) return false;
  }
  const std::uint64_t values = in.varint();
  if (!in.good() || values > parts_max) return false;
  if (values == 0 && shape != touched) return false;
  for (std::uint64_t i = 0; i < values; ++i) {
    ValueRegister value;
    if (!read_value(in, incarnation.created.origin.boot, value)) return false;
    const bool in_order =
        incarnation.values.empty() || value.stamp <= incarnation.values.back().stamp;
    if (!in_order || !line_is_new(incarnation.values, value.line)) return false;
    incarnation.values.push_back(value);
  }
  return true;
}

}  // namespace

std::string encode_row(const std::vector<Incarnation>& incarnations) {
  std::size_t size = 16;
  for (const Incarnation& incarnation : incarnations) {
    size += 64;
    for (const ValueRegister& value : incarnation.values) size += 40 + value.bytes.size();
  }
  std::string row;
  row.reserve(size);
  Writer out(row);
  out.byte(row_version);
  out.varint(incarnations.size());
  for (const Incarnation& incarnation : incarnations) {
    write_incarnation(out, incarnation.created, incarnation.touch, incarnation.values);
  }
  return row;
}

void append_row(std::string& out, const Dot& created, const ValueRegister& value,
                const ExpiryRegister& touch) {
  Writer writer(out);
  writer.byte(row_version);
  writer.varint(1);
  write_incarnation(writer, created, touch, {&value, 1});
}

Result<void> parse_row(std::string_view row, std::vector<Incarnation>& incarnations) {
  Reader in(row);
  if (const unsigned char version = in.byte(); version != row_version) {
    return bad_input("row of unknown format " + std::to_string(version));
  }
  const std::uint64_t count = in.varint();
  if (!in.good() || count == 0 || count > parts_max) return bad_input("malformed row");
  incarnations.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    if (!read_incarnation(in, incarnations[i])) return bad_input("malformed row");
    if (i > 0 && incarnations[i - 1].created >= incarnations[i].created) {
      return bad_input("malformed row: incarnations out of order");
    }
  }
  if (!in.ended()) return bad_input("malformed row: bytes left over");
  return {};
}

}  // namespace muster::cache
