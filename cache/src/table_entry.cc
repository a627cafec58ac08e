// SPDX-License-Identifier: MIT
#include "table_entry.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <bit>
#include <cassert>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#include "muster/cache/definition.h"

namespace muster::cache {
namespace {

constexpr std::size_t malloc_header = 8;

/// What a block of `size` bytes really holds: malloc deals in steps of 16 bytes.
constexpr std::size_t usable(std::size_t size) {
  return (size + malloc_header + 15) / 16 * 16 - malloc_header;
}

}  // namespace

std::size_t Contexts::Hash::operator()(const Context& context) const {
  const std::array<std::uint64_t, 4> words{context.origin.boot.value, context.origin.number,
                                           context.boot.value, context.line};
  return XXH3_64bits(words.data(), sizeof(words));
}

std::optional<std::uint32_t> Contexts::intern(const Context& context) {
  if (count_ > 0 && at(latest_) == context) return latest_;
  if (const auto known = numbers_.find(context); known != numbers_.end()) {
    return latest_ = known->second;
  }
  if (count_ == limit - (1U << first_chunk_bits)) return std::nullopt;
  const std::uint32_t place = count_ + (1U << first_chunk_bits);
  const auto chunk = static_cast<std::size_t>(std::bit_width(place)) - first_chunk_bits - 1;
  const std::uint32_t base = 1U << (chunk + first_chunk_bits);
  if (!chunks_[chunk]) chunks_[chunk] = std::make_unique<Context[]>(base);
  chunks_[chunk][place - base] = context;
  numbers_.emplace(context, count_);
  return latest_ = count_++;
}

void Entry::Free::operator()(Entry* entry) const {
  if (entry->rich()) delete entry->rich_;
  if (entry->has_timer()) entry->timer().unlink();
  std::free(entry);
}

std::uint32_t Entry::flags_of(const Plain& plain) {
  return (plain.expiry() != never_expires ? with_timer : 0U) |
         (plain.touch.stamp != Stamp{} ? with_touch : 0U);
}

Entry::Owned Entry::allocate(std::size_t key, std::size_t value, std::uint32_t flags) {
  assert(key <= Key::max_encoded && value <= max_value_bytes);
  void* block = std::malloc(usable(size_of(key, value, flags)));
  if (block == nullptr) throw std::bad_alloc();
  auto* entry = new (block) Entry();
  entry->lengths_ = static_cast<std::uint32_t>(key | value << 12);
  entry->kind_ = flags;
  if ((flags & with_timer) != 0) new (entry + 1) TimerNode();
  if ((flags & with_touch) != 0) new (entry->touch()) Touch();
  return Owned(entry);
}

Entry::Owned Entry::make(std::string_view key, const Plain& plain, std::uint32_t context) {
  Owned entry = allocate(key.size(), plain.value.bytes.size(), flags_of(plain));
  std::memcpy(entry->bytes(), key.data(), key.size());
  entry->fill(plain, context);
  return entry;
}

Entry::Owned Entry::make(std::string_view key, Rich rich) {
  auto versions = std::make_unique<Rich>(std::move(rich));
  Owned entry = allocate(key.size(), 0, with_timer);  // Not rich yet: it owns no versions.
  std::memcpy(entry->bytes(), key.data(), key.size());
  entry->rich_ = versions.release();
  entry->kind_ |= is_rich;
  return entry;
}

Entry::Owned Entry::without_value(const Entry& entry, const Contexts& contexts) {
  Plain plain = entry.plain(contexts);
  plain.value.bytes = {};
  const std::string_view key = entry.key();
  Owned bare = allocate(key.size(), 0, entry.flags() | is_absent);
  std::memcpy(bare->bytes(), key.data(), key.size());
  bare->fill(plain, entry.context());
  return bare;
}

Entry& Entry::of(TimerNode& timer) {
  return *reinterpret_cast<Entry*>(reinterpret_cast<char*>(&timer) - sizeof(Entry));
}

void Entry::fill(const Plain& plain, std::uint32_t context) {
  kind_ = flags() | context << 8;
  time_ = plain.value.stamp.time;
  sequence_ = plain.created.sequence;
  if (has_timer()) timer().expiry = plain.expiry();
  if (Touch* block = touch()) {
    block->time = plain.touch.stamp.time;
    block->boot = plain.touch.stamp.boot;
    block->expiry = plain.touch.expiry;
    block->value_expiry = plain.value.expiry;
  }
  const std::string_view value = plain.value.bytes;
  lengths_ = static_cast<std::uint32_t>(key_length() | value.size() << 12);
  if (!value.empty()) std::memmove(bytes() + key_length(), value.data(), value.size());
}

bool Entry::overwrite(const Plain& plain, std::uint32_t context) {
  if (rich() || flags_of(plain) != flags()) return false;
  const std::size_t needed = size_of(key_length(), plain.value.bytes.size(), flags());
  if (usable(needed) != usable(blocks() + key_length() + value_length())) return false;
  fill(plain, context);
  return true;
}

std::size_t Entry::allocated() const {
  std::size_t total = usable(blocks() + key_length() + value_length()) + malloc_header;
  if (!rich()) return total;
  total += sizeof(Rich) + rich_->capacity() * sizeof(Version);
  for (const Version& version : *rich_) {
    total += version.values.capacity() * sizeof(Version::Value);
    for (const Version::Value& value : version.values) total += value.bytes.capacity();
  }
  return total;
}

Plain Entry::plain(const Contexts& contexts) const {
  const Context& shared = contexts.at(context());
  Plain plain;
  plain.created = {shared.origin, sequence_};
  plain.value = {{time_, shared.boot}, shared.line, expiry(), value()};
  if (const Touch* block = touch()) {
    plain.touch = {{block->time, block->boot}, block->expiry};
    plain.value.expiry = block->value_expiry;
  }
  return plain;
}

Entry::Touch* Entry::touch() {
  if ((flags() & with_touch) == 0) return nullptr;
  return reinterpret_cast<Touch*>(reinterpret_cast<char*>(this + 1) +
                                  (has_timer() ? sizeof(TimerNode) : 0));
}
const Entry::Touch* Entry::touch() const { return const_cast<Entry*>(this)->touch(); }

}  // namespace muster::cache
