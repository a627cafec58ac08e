// SPDX-License-Identifier: MIT
// The log of the program: lines or JSON on standard error.  The one unit that knows spdlog.
#pragma once

#include "muster/app/config.h"

namespace muster::app::cli {

[[nodiscard]] Log program_log(Level least, LogFormat format);

}  // namespace muster::app::cli
