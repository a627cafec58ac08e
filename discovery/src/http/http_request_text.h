// SPDX-License-Identifier: MIT
//
// An HttpRequest as bytes.  Pure.  Errors: a method or header that would break the message; they
// never repeat a value.
#pragma once

#include <string>

#include "http/http_url.h"
#include "muster/discovery/strategy_machine.h"

namespace muster::discovery {

Result<std::string> write_request(const HttpRequest& request, const HttpUrl& url);

}  // namespace muster::discovery
