// SPDX-License-Identifier: MIT
#include "ordered_index.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstdint>
#include <cstring>

namespace muster::cache {
namespace {

/// The 8 bytes of `key` from `from` on as a number that compares as they do.
std::uint64_t digits_of(std::string_view key, std::size_t from) {
  std::uint64_t digits = 0;
  if (from < key.size())
    std::memcpy(&digits, key.data() + from, std::min<std::size_t>(8, key.size() - from));
  return std::endian::native == std::endian::little ? __builtin_bswap64(digits) : digits;
}

std::size_t common_prefix(const std::vector<Entry*>& entries) {
  const std::string_view first = entries.front()->key();
  std::size_t common = first.size();
  for (const Entry* entry : entries) {
    const std::string_view key = entry->key().substr(0, common);
    common = static_cast<std::size_t>(std::mismatch(key.begin(), key.end(), first.begin()).first -
                                      key.begin());
  }
  return common;
}

/// Most comparisons are settled by 8 bytes beside the pointer, without a look at the entry.
void sort_by_key(std::vector<Entry*>& entries) {
  struct Item {
    std::uint64_t digits;
    Entry* entry;
  };
  const std::size_t common = common_prefix(entries);
  std::vector<Item> items;
  items.reserve(entries.size());
  for (Entry* entry : entries) items.push_back({digits_of(entry->key(), common), entry});
  std::sort(items.begin(), items.end(), [](const Item& a, const Item& b) {
    return a.digits != b.digits ? a.digits < b.digits : a.entry->key() < b.entry->key();
  });
  std::transform(items.begin(), items.end(), entries.begin(),
                 [](const Item& item) { return item.entry; });
}

}  // namespace

OrderedIndex::OrderedIndex(std::vector<Entry*> entries) {
  if (entries.empty()) return;
  sort_by_key(entries);
  constexpr std::size_t fill = chunk_max * 3 / 4;
  for (std::size_t from = 0; from < entries.size(); from += fill) {
    const auto begin = entries.begin() + static_cast<std::ptrdiff_t>(from);
    const auto end =
        entries.begin() + static_cast<std::ptrdiff_t>(std::min(entries.size(), from + fill));
    chunks_.emplace_back(begin, end);
  }
}

std::size_t OrderedIndex::chunk_of(std::string_view key) const {
  const auto after = std::upper_bound(
      chunks_.begin(), chunks_.end(), key,
      [](std::string_view wanted, const Chunk& chunk) { return wanted < chunk.front()->key(); });
  return after == chunks_.begin() ? 0 : static_cast<std::size_t>(after - chunks_.begin()) - 1;
}

std::size_t OrderedIndex::position(const Chunk& chunk, std::string_view key) {
  const auto found = std::lower_bound(
      chunk.begin(), chunk.end(), key,
      [](const Entry* entry, std::string_view wanted) { return entry->key() < wanted; });
  return static_cast<std::size_t>(found - chunk.begin());
}

void OrderedIndex::insert(Entry& entry) {
  if (chunks_.empty()) {
    chunks_.push_back({&entry});
    return;
  }
  const std::size_t at = chunk_of(entry.key());
  Chunk& chunk = chunks_[at];
  chunk.insert(chunk.begin() + static_cast<std::ptrdiff_t>(position(chunk, entry.key())), &entry);
  if (chunk.size() < chunk_max) return;
  // Keys that come in order fill their chunks; others leave room on both sides.
  const bool in_order = chunk.back() == &entry;
  const auto middle =
      chunk.begin() + static_cast<std::ptrdiff_t>(in_order ? chunk_max - 1 : chunk_max / 2);
  Chunk upper(middle, chunk.end());
  chunk.erase(middle, chunk.end());
  chunks_.insert(chunks_.begin() + static_cast<std::ptrdiff_t>(at) + 1, std::move(upper));
}

void OrderedIndex::erase(const Entry& entry) {
  const std::size_t at = chunk_of(entry.key());
  Chunk& chunk = chunks_[at];
  const std::size_t place = position(chunk, entry.key());
  assert(place < chunk.size() && chunk[place] == &entry);
  chunk.erase(chunk.begin() + static_cast<std::ptrdiff_t>(place));
  if (chunk.empty()) chunks_.erase(chunks_.begin() + static_cast<std::ptrdiff_t>(at));
}

void OrderedIndex::replace(Entry& entry) {
  Chunk& chunk = chunks_[chunk_of(entry.key())];
  const std::size_t place = position(chunk, entry.key());
  assert(place < chunk.size() && chunk[place]->key() == entry.key());
  chunk[place] = &entry;
}

std::size_t OrderedIndex::bytes() const {
  return chunks_.size() * (sizeof(Chunk) + chunk_max * sizeof(Entry*));
}

}  // namespace muster::cache
