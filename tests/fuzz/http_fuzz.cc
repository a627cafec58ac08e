// SPDX-License-Identifier: MIT
// Untrusted: request targets, forms and cookies as browsers, and others, send them.
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "forms.h"
#include "http_message.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  muster::app::HttpRequest request;
  if (muster::app::parse_target(text, request)) {
    assert(request.path.size() <= 64);
    std::string target = "/";
    for (const auto& segment : request.path) {
      if (target.size() > 1) target += "/";
      target += muster::app::percent_encoded(segment);
    }
    muster::app::HttpRequest again;
    assert(muster::app::parse_target(target, again));
  }
  assert(session_web::form_field(text, "user").size() <= size);
  assert(session_web::cookie_value(text, "session").size() <= size);
  assert(session_web::escaped(text).size() >= size);
  return 0;
}
