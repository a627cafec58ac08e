// SPDX-License-Identifier: MIT
#include "muster/node/identity.h"

#include <fmt/format.h>

namespace muster::node {

std::string to_string(BootId boot) { return fmt::format("{:016x}", boot.value); }

}  // namespace muster::node
