// SPDX-License-Identifier: MIT
//
// Hash and lines of a run; see trace.h.
#include "muster/lab/trace.h"

#include <cstring>
#include <fstream>

namespace muster::lab {

void Trace::mix(std::string_view bytes) {
  mix(bytes.size());
  while (bytes.size() >= sizeof(std::uint64_t)) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data(), sizeof word);
    mix(word);
    bytes.remove_prefix(sizeof word);
  }
  for (const char rest : bytes) mix(static_cast<unsigned char>(rest));
}

void Trace::keep(Instant now, std::string line) {
  const double seconds = std::chrono::duration<double>(now.time_since_epoch()).count();
  lines_.push_back(fmt::format("{:11.6f} {}", seconds, line));
  if (lines_.size() > most_) {
    lines_.pop_front();
    ++dropped_;
  }
}

std::string Trace::text() const {
  std::string all;
  if (dropped_ != 0) all = fmt::format("({} earlier lines dropped)\n", dropped_);
  for (const std::string& line : lines_) all.append(line).push_back('\n');
  return all;
}

void Trace::write(const std::string& file) const { std::ofstream(file) << text(); }

}  // namespace muster::lab
