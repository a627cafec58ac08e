// SPDX-License-Identifier: MIT
//
// Bytes lie in blocks that are filled one after the other and freed whole, so that a running log
// costs no allocation per operation but two queue slots.
#include "operation_log.h"

#include <algorithm>
#include <cassert>

namespace muster::cache {

std::string_view OperationLog::append(const Dot& dot, std::string_view encoded) {
  PerOrigin& origin = origins_[dot.origin];
  if (dot.sequence != origin.floor + origin.positions.size() + 1) {
    raise_floor(dot.origin, dot.sequence - 1);
  }
  if (blocks_.empty() || blocks_.back().capacity() - blocks_.back().size() < encoded.size()) {
    blocks_.emplace_back().reserve(std::max(block_bytes, encoded.size()));
  }
  std::string& block = blocks_.back();
  origin.positions.push_back(first_position_ + entries_.size());
  entries_.push_back({dot, first_block_ + blocks_.size() - 1,
                      static_cast<std::uint32_t>(block.size()),
                      static_cast<std::uint32_t>(encoded.size())});
  block.append(encoded);
  bytes_ += encoded.size();
  while (bytes_ > bytes_max_ && entries_.size() > 1) drop_first();
  return bytes_of(entries_.back());
}

void OperationLog::drop_first() {
  const Entry entry = entries_.front();
  entries_.pop_front();
  ++first_position_;
  bytes_ -= entry.length;
  if (const auto origin = origins_.find(entry.dot.origin);
      origin != origins_.end() && !origin->second.positions.empty() &&
      origin->second.positions.front() == first_position_ - 1) {
    origin->second.positions.pop_front();
    origin->second.floor = entry.dot.sequence;
  }
  const std::uint64_t needed =
      entries_.empty() ? first_block_ + blocks_.size() - 1 : entries_.front().block;
  while (first_block_ < needed) {
    blocks_.pop_front();
    ++first_block_;
  }
}

void OperationLog::raise_floor(const OriginId& id, std::uint64_t sequence) {
  PerOrigin& origin = origins_[id];
  while (origin.floor < sequence && !origin.positions.empty()) {
    origin.positions.pop_front();  // its entry stays in the ring, unreachable, until it is dropped
    ++origin.floor;
  }
  origin.floor = std::max(origin.floor, sequence);
}

void OperationLog::forget(const OriginId& origin) { origins_.erase(origin); }

void OperationLog::clear() {
  first_position_ += entries_.size();
  first_block_ += blocks_.size();
  entries_.clear();
  blocks_.clear();
  origins_.clear();
  bytes_ = 0;
}

std::uint64_t OperationLog::floor(const OriginId& origin) const {
  const auto found = origins_.find(origin);
  return found == origins_.end() ? 0 : found->second.floor;
}

bool OperationLog::reaches(const Vector& have, const Vector& upto) const {
  return std::all_of(upto.begin(), upto.end(), [&](const Vector::Entry& entry) {
    const std::uint64_t from = have.at(entry.first);
    if (from >= entry.second) return true;
    const auto found = origins_.find(entry.first);
    return found != origins_.end() && found->second.floor <= from &&
           found->second.floor + found->second.positions.size() >= entry.second;
  });
}

void OperationLog::visit_missing(const Vector& have, const Visit& visit) const {
  std::uint64_t start = first_position_ + entries_.size();
  for (const auto& [id, origin] : origins_) {
    const std::uint64_t from = std::max(have.at(id), origin.floor);
    const std::uint64_t index = from - origin.floor;
    if (index < origin.positions.size()) start = std::min(start, origin.positions[index]);
  }
  for (std::uint64_t i = start - first_position_; i < entries_.size(); ++i) {
    const Entry& entry = entries_[i];
    if (have.covers(entry.dot)) continue;
    const auto origin = origins_.find(entry.dot.origin);
    if (origin == origins_.end() || origin->second.floor >= entry.dot.sequence) continue;
    if (!visit(entry.dot, bytes_of(entry))) return;
  }
}

std::string_view OperationLog::find(const Dot& dot) const {
  const auto origin = origins_.find(dot.origin);
  if (origin == origins_.end() || dot.sequence <= origin->second.floor) return {};
  const std::uint64_t index = dot.sequence - origin->second.floor - 1;
  if (index >= origin->second.positions.size()) return {};
  return bytes_of(entries_[origin->second.positions[index] - first_position_]);
}

std::string_view OperationLog::bytes_of(const Entry& entry) const {
  return std::string_view(blocks_[entry.block - first_block_]).substr(entry.offset, entry.length);
}

void OperationLog::check_invariants() const {
  std::size_t bytes = 0;
  for (const Entry& entry : entries_) bytes += entry.length;
  assert(bytes == bytes_);
  for (const auto& [id, origin] : origins_) {
    std::uint64_t sequence = origin.floor;
    for (const std::uint64_t position : origin.positions) {
      assert(position >= first_position_ && position - first_position_ < entries_.size());
      const Dot expected{id, ++sequence};
      assert(entries_[position - first_position_].dot == expected);
    }
  }
}

}  // namespace muster::cache
