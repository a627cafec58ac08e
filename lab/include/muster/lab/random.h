// SPDX-License-Identifier: MIT
//
// Chance from a seed, the same on every machine and standard library (std::*_distribution is not).
// split() gives an independent stream, so that one part drawing more does not shift what another
// draws.
#pragma once

#include <boost/assert.hpp>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "muster/discovery/time.h"

namespace muster::lab {

/// xoshiro256** by Blackman and Vigna (public domain), seeded by splitmix64.
class Random {
 public:
  explicit Random(std::uint64_t seed) {
    for (std::uint64_t& word : state_) word = scramble(seed);
  }

  [[nodiscard]] std::uint64_t next() {
    const std::uint64_t result = rotate(state_[1] * 5, 7) * 9;
    const std::uint64_t shifted = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = rotate(state_[3], 45);
    return result;
  }

  /// 0 to limit - 1; the bias of the reduction is below 2^-32 for the limits used here.
  [[nodiscard]] std::uint64_t below(std::uint64_t limit) {
    BOOST_ASSERT(limit > 0);
    return next() % limit;
  }
  [[nodiscard]] std::size_t index(std::size_t size) {
    return static_cast<std::size_t>(below(size));
  }
  [[nodiscard]] bool chance(double probability) { return unit() < probability; }
  [[nodiscard]] double unit() { return static_cast<double>(next() >> 11) * 0x1p-53; }
  /// Uniform over [low, high].
  [[nodiscard]] Duration between(Duration low, Duration high) {
    BOOST_ASSERT(low <= high);
    return low + Duration(below(static_cast<std::uint64_t>((high - low).count()) + 1));
  }
  template <class T>
  [[nodiscard]] const T& pick(const std::vector<T>& all) {
    return all[index(all.size())];
  }
  template <class T>
  void shuffle(std::vector<T>& all) {
    for (std::size_t left = all.size(); left > 1; --left)
      std::swap(all[left - 1], all[index(left)]);
  }

  [[nodiscard]] Random split() { return Random(next()); }
  /// The stream of this name; does not advance this one.
  [[nodiscard]] Random split(std::string_view name) const {
    std::uint64_t seed = state_[0] ^ rotate(state_[2], 29);
    for (const char letter : name) {
      seed ^= static_cast<unsigned char>(letter);
      seed = scramble(seed);
    }
    return Random(seed);
  }

 private:
  static constexpr std::uint64_t rotate(std::uint64_t value, int by) {
    return value << by | value >> (64 - by);
  }
  static constexpr std::uint64_t scramble(std::uint64_t& seed) {
    std::uint64_t mixed = seed += 0x9e3779b97f4a7c15;
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
    return mixed ^ mixed >> 31;
  }

  std::uint64_t state_[4];
};

}  // namespace muster::lab
