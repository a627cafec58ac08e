// SPDX-License-Identifier: MIT
//
// What happened, in two forms: a hash over everything that is mixed in, always, so that two runs
// can be told to be the same to the byte; and lines for people, only where asked for, the newest
// kept when there are too many.
#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <utility>

#include "muster/discovery/time.h"

namespace muster::lab {

class Trace {
 public:
  [[nodiscard]] std::uint64_t hash() const { return hash_; }

  void mix(std::uint64_t value) {
    hash_ = (hash_ ^ value) * 0x9fb21c651e98df25;
    hash_ ^= hash_ >> 32;
  }
  void mix(std::string_view bytes);

  /// From now on say() keeps lines, the newest `most` of them.
  void keep_lines(std::size_t most = 200'000) { most_ = most; }
  /// And a line for every frame that arrives.
  void keep_frames() { frames_ = true; }
  [[nodiscard]] bool frames() const { return frames_; }
  [[nodiscard]] bool on() const { return most_ != 0; }
  template <class... Args>
  void say(Instant now, fmt::format_string<Args...> text, Args&&... args) {
    if (on()) keep(now, fmt::format(text, std::forward<Args>(args)...));
  }
  [[nodiscard]] std::string text() const;
  void write(const std::string& file) const;

 private:
  void keep(Instant now, std::string line);

  std::uint64_t hash_ = 0xcbf29ce484222325;
  std::size_t most_ = 0;
  bool frames_ = false;
  std::size_t dropped_ = 0;
  std::deque<std::string> lines_;
};

}  // namespace muster::lab
