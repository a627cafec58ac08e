// SPDX-License-Identifier: MIT
// What nearly every shell includes; precompiled once per library that asks for it (muster_library(... ASIO)).
#include <algorithm>
#include <boost/asio.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <variant>
#include <vector>
