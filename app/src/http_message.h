// SPDX-License-Identifier: MIT
// A request and its answer, apart from how they travel.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace muster::app {

struct HttpRequest {
  std::string method;
  std::vector<std::string> path;             ///< Decoded segments: "/v1/nodes" is ["v1", "nodes"].
  std::map<std::string, std::string> query;  ///< Decoded.
  std::string body;
  bool trusted = false;  ///< Knows the password, or none is needed.

  [[nodiscard]] std::string_view segment(std::size_t index) const {
    return index < path.size() ? std::string_view(path[index]) : std::string_view();
  }
  [[nodiscard]] std::string parameter(const std::string& name) const {
    const auto found = query.find(name);
    return found == query.end() ? std::string() : found->second;
  }
};

struct HttpResponse {
  unsigned status = 200;
  std::string type = "application/json";
  std::string body = {};
  bool events = false;  ///< A stream of server-sent events follows instead of a body.
};

/// False: a target that is no path (does not begin with '/', bad escapes, above 64 segments).
[[nodiscard]] bool parse_target(std::string_view target, HttpRequest& request);
[[nodiscard]] std::string percent_encoded(std::string_view bytes);

}  // namespace muster::app
