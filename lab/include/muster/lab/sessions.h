// SPDX-License-Identifier: MIT
//
// What clients that stay on one node saw there, in time: they must read their own writes and never
// go back.  It judges only keys whose values can do nothing but follow each other (no delete, no
// expiry); a heal that sets values aside, a copy made from nothing, and a start, begin it anew.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <tuple>

#include "muster/discovery/time.h"

namespace muster::lab {

class Sessions {
 public:
  /// A read, or a write by the node itself, that began and ended so; none: a miss.  Returns what is
  /// wrong with it.
  std::optional<std::string> saw(std::size_t node, const std::string& table, const std::string& key,
                                 const std::optional<std::string>& value, Instant invoked,
                                 Instant completed);
  void forget(std::size_t node);
  void forget(const std::string& table);
  void forget(const std::string& table, const std::string& key);

 private:
  struct Seen {
    Instant first_completed;
    Instant last_invoked;
    Instant last_completed;
  };
  using Place = std::tuple<std::size_t, std::string, std::string>;
  std::map<Place, std::map<std::string, Seen>> seen_;
};

}  // namespace muster::lab
