// SPDX-License-Identifier: MIT
#pragma once

#include "muster/discovery/test_kit.h"
