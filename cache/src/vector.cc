// SPDX-License-Identifier: MIT
//
// A sorted array: vectors are small (two origins per node and line) and read far more than changed.
#include "vector.h"

#include <algorithm>

namespace muster::cache {
namespace {

struct ByOrigin {
  bool operator()(const Vector::Entry& entry, const OriginId& origin) const {
    return entry.first < origin;
  }
};

}  // namespace

std::uint64_t Vector::at(const OriginId& origin) const {
  const auto found = std::lower_bound(entries_.begin(), entries_.end(), origin, ByOrigin{});
  return found != entries_.end() && found->first == origin ? found->second : 0;
}

bool Vector::contains(const OriginId& origin) const {
  const auto found = std::lower_bound(entries_.begin(), entries_.end(), origin, ByOrigin{});
  return found != entries_.end() && found->first == origin;
}

bool Vector::covers(const Vector& other) const {
  return std::all_of(other.begin(), other.end(),
                     [this](const Entry& entry) { return at(entry.first) >= entry.second; });
}

void Vector::set(const OriginId& origin, std::uint64_t sequence) {
  const auto found = std::lower_bound(entries_.begin(), entries_.end(), origin, ByOrigin{});
  if (found != entries_.end() && found->first == origin) {
    found->second = sequence;
  } else {
    entries_.insert(found, {origin, sequence});
  }
}

bool Vector::raise(const OriginId& origin, std::uint64_t sequence) {
  const auto found = std::lower_bound(entries_.begin(), entries_.end(), origin, ByOrigin{});
  if (found != entries_.end() && found->first == origin) {
    if (found->second >= sequence) return false;
    found->second = sequence;
    return true;
  }
  entries_.insert(found, {origin, sequence});
  return sequence != 0;
}

bool Vector::raise(const Vector& other) {
  bool moved = false;
  for (const auto& [origin, sequence] : other) moved |= raise(origin, sequence);
  return moved;
}

void Vector::erase(const OriginId& origin) {
  const auto found = std::lower_bound(entries_.begin(), entries_.end(), origin, ByOrigin{});
  if (found != entries_.end() && found->first == origin) entries_.erase(found);
}

Vector Vector::least(const Vector& a, const Vector& b) {
  Vector result;
  for (const auto& [origin, sequence] : a) {
    if (const std::uint64_t low = std::min(sequence, b.at(origin)); low != 0) {
      result.entries_.emplace_back(origin, low);
    }
  }
  return result;
}

}  // namespace muster::cache
