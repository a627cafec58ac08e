// SPDX-License-Identifier: MIT
#include "muster/cache/definition.h"

#include <array>
#include <string_view>

#include "muster/cache/healer.h"
#include "muster/cache/store.h"

namespace muster::cache {
namespace {

template <class Enum, std::size_t N>
std::string_view name_of(Enum value, const std::array<std::string_view, N>& names) {
  return names.at(static_cast<std::size_t>(value));
}

}  // namespace

std::string_view to_string(Storage storage) {
  return name_of(storage,
                 std::array<std::string_view, 3>{"ram_copies", "disc_copies", "disc_only_copies"});
}
std::string_view to_string(Acknowledge acknowledge) {
  return name_of(acknowledge,
                 std::array<std::string_view, 4>{"sync", "async", "majority", "local"});
}
std::string_view to_string(Durability durability) {
  return name_of(durability, std::array<std::string_view, 2>{"async", "sync"});
}
std::string_view to_string(OnSplit on_split) {
  return name_of(on_split,
                 std::array<std::string_view, 7>{"automatic", "oldest", "merge", "largest",
                                                 "majority", "none", "custom"});
}
std::string_view to_string(Reuse reuse) {
  return name_of(reuse, std::array<std::string_view, 2>{"always", "never"});
}

std::string_view to_string(SplitContext context) {
  return name_of(context,
                 std::array<std::string_view, 3>{"running_partitioned_network",
                                                 "starting_partitioned_network", "never_met"});
}

std::string_view to_string(DiskState state) {
  return name_of(state, std::array<std::string_view, 3>{"good", "full", "failed"});
}

}  // namespace muster::cache
