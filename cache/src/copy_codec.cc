// SPDX-License-Identifier: MIT
#include "copy_codec.h"

#include "muster/cache/key.h"
#include "wire_format.h"

namespace muster::cache {
namespace {

using namespace wire_format;

constexpr std::uint32_t copy_answer_field = 11;  // of wire::Message
constexpr std::uint32_t buckets_field = 4;       // of wire::CopyAnswer

bool valid_key(std::string_view key) { return !key.empty() && key.size() <= Key::max_encoded; }

bool read_dot(std::string_view bytes, Dot& dot) {
  Reader reader(bytes);
  while (reader.next()) {
    if (reader.field() == 1) dot.origin.boot.value = reader.number();
    if (reader.field() == 2) dot.origin.number = static_cast<std::uint32_t>(reader.number());
    if (reader.field() == 3) dot.sequence = reader.number();
  }
  return reader.ok();
}

bool read_stamp(std::string_view bytes, Stamp& stamp) {
  Reader reader(bytes);
  while (reader.next()) {
    if (reader.field() == 1) stamp.time = reader.number();
    if (reader.field() == 2) stamp.boot.value = reader.number();
  }
  return reader.ok();
}

bool read_delete(std::string_view bytes, BucketPart::Deleted& deleted) {
  Reader reader(bytes);
  while (reader.next()) {
    if (reader.field() == 1) deleted.key = reader.bytes();
    if (reader.field() == 2 && !read_dot(reader.bytes(), deleted.created)) return false;
    if (reader.field() == 3 && !read_stamp(reader.bytes(), deleted.stamp)) return false;
  }
  return reader.ok() && valid_key(deleted.key);
}

bool read_entry(std::string_view bytes, std::pair<std::string_view, std::string_view>& entry) {
  Reader reader(bytes);
  while (reader.next()) {
    if (reader.field() == 1) entry.first = reader.bytes();
    if (reader.field() == 2) entry.second = reader.bytes();
  }
  return reader.ok() && valid_key(entry.first);
}

}  // namespace

void BucketWriter::begin(std::uint32_t number, bool same) {
  bytes_.clear();
  put_varint_field(bytes_, 1, number);
  if (same) put_varint_field(bytes_, 2, 1);
}

void BucketWriter::add_entry(std::string_view key, std::string_view row) {
  put_tag(bytes_, 4, Type::bytes);
  put_varint(bytes_, bytes_field_size(key.size()) + bytes_field_size(row.size()));
  put_bytes_field(bytes_, 1, key);
  put_bytes_field(bytes_, 2, row);
}

void BucketWriter::add_delete(std::string_view key, const Dot& created, const Stamp& stamp) {
  std::string dot, time;
  put_fixed64_field(dot, 1, created.origin.boot.value);
  put_varint_field(dot, 2, created.origin.number);
  put_varint_field(dot, 3, created.sequence);
  put_varint_field(time, 1, stamp.time);
  put_fixed64_field(time, 2, stamp.boot.value);
  item_.clear();
  put_bytes_field(item_, 1, key);
  put_bytes_field(item_, 2, dot);
  put_bytes_field(item_, 3, time);
  put_bytes_field(bytes_, 5, item_);
}

/// A field of one message that stands there twice is one: what both hold is taken together.
void BucketWriter::end(bool last, std::string& message) {
  if (last) put_varint_field(bytes_, 3, 1);
  put_tag(message, copy_answer_field, Type::bytes);
  put_varint(message, bytes_field_size(bytes_.size()));
  put_bytes_field(message, buckets_field, bytes_);
}

bool read_bucket(std::string_view bytes, BucketPart& part) {
  part.number = 0;
  part.same = part.last = false;
  part.entries.clear();
  part.deletes.clear();
  Reader reader(bytes);
  while (reader.next()) {
    if (reader.field() == 1) part.number = static_cast<std::uint32_t>(reader.number());
    if (reader.field() == 2) part.same = reader.number() != 0;
    if (reader.field() == 3) part.last = reader.number() != 0;
    if (reader.field() == 4 && !read_entry(reader.bytes(), part.entries.emplace_back())) {
      return false;
    }
    if (reader.field() == 5 && !read_delete(reader.bytes(), part.deletes.emplace_back())) {
      return false;
    }
  }
  return reader.ok();
}

}  // namespace muster::cache
