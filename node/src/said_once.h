// SPDX-License-Identifier: MIT
//
// One log line per subject and change of state, however often the same thing happens, and a
// reminder an hour.  Bounded: of more subjects than it can hold the first by name is forgotten, and
// may be spoken of once more.
#pragma once

#include <iterator>
#include <map>
#include <string>

#include "muster/discovery/time.h"

namespace muster::node {

class SaidOnce {
 public:
  /// True when `what` is news about `subject`.
  [[nodiscard]] bool news(const std::string& subject, const std::string& what, Instant now) {
    const auto [found, fresh] = said_.try_emplace(subject, Said{what, now});
    if (!fresh) {
      if (found->second.what == what && now - found->second.at < remind_after) return false;
      found->second = Said{what, now};
    } else if (said_.size() > subjects_max) {
      said_.erase(found == said_.begin() ? std::next(found) : said_.begin());
    }
    return true;
  }
  /// All is well again: the next trouble is news.
  void forget(const std::string& subject) { said_.erase(subject); }

 private:
  struct Said {
    std::string what;
    Instant at;
  };
  static constexpr std::size_t subjects_max = 1024;
  static constexpr Duration remind_after = std::chrono::hours(1);
  std::map<std::string, Said> said_;
};

}  // namespace muster::node
