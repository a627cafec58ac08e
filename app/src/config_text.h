// SPDX-License-Identifier: MIT
//
// Readers of the small texts that both the file and the flags hold.  Each says what it wants when
// it does not get it; whoever asks says where it stood.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "muster/app/config.h"

namespace muster::app {

Result<std::uint16_t> parse_port(std::string_view text);
Result<Level> parse_level(std::string_view text);
/// `a@host`, or `a` for a short name on this host.
Result<NodeName> parse_own_name(std::string_view text);
/// Leading `~/` becomes the home directory.
[[nodiscard]] std::filesystem::path expand_home(std::string_view text);

}  // namespace muster::app
