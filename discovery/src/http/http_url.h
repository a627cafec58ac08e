// SPDX-License-Identifier: MIT
//
// Where an HTTP request goes: "https://10.0.0.1:6443/api?x=1" taken apart.  Pure.
//
// Errors: what is no http or https URL, or carries a user or a password (they belong in headers,
// where no log sees them).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "muster/discovery/result.h"

namespace muster::discovery {

struct HttpUrl {
  static Result<HttpUrl> parse(std::string_view text);

  bool is_https = false;
  std::string host = {};  ///< Without the brackets of an IPv6 address.
  bool is_address = false;
  std::uint16_t port = 0;
  std::string authority = {};  ///< As the Host header has it.
  std::string origin = {};     ///< "https://10.0.0.1:6443": what errors name.
  std::string target = {};     ///< Path and query, exactly as given.
};

}  // namespace muster::discovery
