// SPDX-License-Identifier: MIT
//
// Whether bytes are an encoded key, for those who need no Key made of them.
#pragma once

#include <string_view>

#include "muster/discovery/result.h"

namespace muster::cache {

/// Ok where Key::decode() would succeed.
Result<void> check_key(std::string_view encoded);

}  // namespace muster::cache
