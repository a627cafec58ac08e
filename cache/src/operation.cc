// SPDX-License-Identifier: MIT
//
// The encoding of message Operation in replication.proto, by hand.  Threads: none, pure functions.
#include "operation.h"

#include "muster/cache/definition.h"
#include "muster/cache/key.h"
#include "wire_format.h"

namespace muster::cache {
namespace {

using namespace wire_format;

std::uint64_t encode_expiry(Expiry expiry) {
  if (expiry == never_expires) return 0;
  const auto micros = expiry.time_since_epoch().count();
  return micros <= 0 ? 1 : static_cast<std::uint64_t>(micros);
}
Expiry decode_expiry(std::uint64_t micros) {
  if (micros == 0 || micros > std::uint64_t{1} << 62) return never_expires;
  return Expiry(std::chrono::microseconds(static_cast<std::int64_t>(micros)));
}

std::size_t dot_size(const Dot& dot) {
  return 9 + 1 + varint_size(dot.origin.number) + 1 + varint_size(dot.sequence);
}
template <class Out>
[[gnu::always_inline]] inline void put_dot(Out& out, std::uint32_t field, const Dot& dot) {
  put_tag(out, field, Type::bytes);
  put_varint(out, dot_size(dot));
  put_fixed64_field(out, 1, dot.origin.boot.value);
  put_varint_field(out, 2, dot.origin.number);
  put_varint_field(out, 3, dot.sequence);
}
bool read_dot(std::string_view bytes, Dot& dot) {
  Reader reader(bytes);
  while (reader.next()) {
    if (reader.field() == 1) dot.origin.boot.value = reader.number();
    if (reader.field() == 2) dot.origin.number = static_cast<std::uint32_t>(reader.number());
    if (reader.field() == 3) dot.sequence = reader.number();
  }
  return reader.ok() && dot.origin.boot.valid() && dot.sequence != 0;
}
bool valid_key(std::string_view key) { return !key.empty() && key.size() <= Key::max_encoded; }

bool read_put(std::string_view bytes, PutItem& item) {
  Reader reader(bytes);
  while (reader.next()) {
    if (reader.field() == 1) item.key = reader.bytes();
    if (reader.field() == 2 && !read_dot(reader.bytes(), item.created.emplace())) return false;
    if (reader.field() == 3) item.value = reader.bytes();
    if (reader.field() == 4) item.expiry = decode_expiry(reader.number());
  }
  return reader.ok() && valid_key(item.key) && item.value.size() <= max_value_bytes;
}
bool read_touch(std::string_view bytes, TouchItem& item) {
  Reader reader(bytes);
  while (reader.next()) {
    if (reader.field() == 1) item.key = reader.bytes();
    if (reader.field() == 2 && !read_dot(reader.bytes(), item.created)) return false;
    if (reader.field() == 3) item.expiry = decode_expiry(reader.number());
  }
  return reader.ok() && valid_key(item.key) && item.created.sequence != 0;
}
bool read_remove(std::string_view bytes, RemoveItem& item) {
  Reader reader(bytes);
  while (reader.next()) {
    if (reader.field() == 1) item.key = reader.bytes();
    if (reader.field() == 2 && !read_dot(reader.bytes(), item.dots.emplace_back())) return false;
    if (reader.field() == 3) item.made = reader.number();
  }
  return reader.ok() && valid_key(item.key);
}
bool read_origin(std::string_view bytes, Origin& origin) {
  Reader reader(bytes);
  while (reader.next()) {
    if (reader.field() == 1) origin.line = reader.number();
    if (reader.field() == 2) origin.root = reader.number();
  }
  return reader.ok();
}

void encode_put(const PutItem& put, std::string& out) {
  Piece tail;  // what follows the key, up to the value
  if (put.created) put_dot(tail, 2, *put.created);
  if (put.expiry != never_expires) put_varint_field(tail, 4, encode_expiry(put.expiry));
  put_tag(tail, 3, Type::bytes);
  put_varint(tail, put.value.size());
  Piece head;
  put_tag(head, 6, Type::bytes);
  put_varint(head, bytes_field_size(put.key.size()) + tail.size() + put.value.size());
  put_tag(head, 1, Type::bytes);
  put_varint(head, put.key.size());
  out.append(head.view()).append(put.key).append(tail.view()).append(put.value);
}

void encode_items(const Operation& operation, std::string& out) {
  for (const PutItem& put : operation.puts) encode_put(put, out);
  std::string item;
  for (const TouchItem& touch : operation.touches) {
    item.clear();
    put_bytes_field(item, 1, touch.key);
    put_dot(item, 2, touch.created);
    put_varint_field(item, 3, encode_expiry(touch.expiry));
    put_bytes_field(out, 7, item);
  }
  for (const RemoveItem& remove : operation.removes) {
    item.clear();
    put_bytes_field(item, 1, remove.key);
    for (const Dot& dot : remove.dots) put_dot(item, 2, dot);
    if (remove.made != 0) put_varint_field(item, 3, remove.made);
    put_bytes_field(out, 8, item);
  }
}

Error malformed() { return bad_input("malformed operation"); }

/// Fields 1 to 8; false when an item is malformed.
bool read_field(Reader& reader, Operation& operation) {
  switch (reader.field()) {
    case 1:
      operation.dot.origin.boot.value = reader.number();
      return true;
    case 2:
      operation.dot.origin.number = static_cast<std::uint32_t>(reader.number());
      return true;
    case 3:
      operation.dot.sequence = reader.number();
      return true;
    case 4:
      operation.stamp.time = reader.number();
      return true;
    case 5:
      return read_origin(reader.bytes(), operation.origin.emplace());
    case 6:
      return read_put(reader.bytes(), operation.puts.emplace_back());
    case 7:
      return read_touch(reader.bytes(), operation.touches.emplace_back());
    case 8:
      return read_remove(reader.bytes(), operation.removes.emplace_back());
    default:
      return true;  // a later version's
  }
}

}  // namespace

void encode(const Operation& operation, std::string& out) {
  Piece head;
  put_fixed64_field(head, 1, operation.dot.origin.boot.value);
  put_varint_field(head, 2, operation.dot.origin.number);
  put_varint_field(head, 3, operation.dot.sequence);
  put_varint_field(head, 4, operation.stamp.time);
  if (operation.origin) {
    put_tag(head, 5, Type::bytes);
    put_varint(head, 18);
    put_fixed64_field(head, 1, operation.origin->line);
    put_fixed64_field(head, 2, operation.origin->root);
  }
  out.append(head.view());
  encode_items(operation, out);
}

std::string_view first_key(std::string_view bytes) {
  constexpr std::uint32_t puts_field = 6, key_field = 1;
  Reader reader(bytes);
  while (reader.next()) {
    if (reader.field() != puts_field) continue;
    Reader put(reader.bytes());
    return put.next() && put.field() == key_field ? put.bytes() : std::string_view();
  }
  return {};
}

Result<void> decode(std::string_view bytes, Operation& operation) {
  operation.dot = {};
  operation.stamp = {};
  operation.origin.reset();
  operation.puts.clear();
  operation.touches.clear();
  operation.removes.clear();
  Reader reader(bytes);
  while (reader.next()) {
    if (!read_field(reader, operation)) return malformed();
  }
  operation.stamp.boot = operation.dot.origin.boot;
  const bool lineless = !operation.touches.empty() || !operation.removes.empty();
  if (!reader.ok() || !operation.dot.origin.boot.valid() || operation.dot.sequence == 0 ||
      operation.stamp.time == 0 || lineless == !operation.puts.empty()) {
    return malformed();
  }
  if (operation.origin) {
    operation.origin->id = operation.dot.origin;
    operation.origin->start = operation.stamp;
    if ((operation.origin->line == 0) != lineless) return malformed();
  }
  return {};
}

}  // namespace muster::cache
