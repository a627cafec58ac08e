// SPDX-License-Identifier: MIT
//
// The kit's clock, for tests of all folders.
#pragma once

#include "muster/discovery/test_kit.h"

namespace muster::test {
using discovery::test::VirtualClock;
}
