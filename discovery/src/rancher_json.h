// SPDX-License-Identifier: MIT
//
// What Rancher's metadata service says of a service: the first address of each of its containers.
// Pure.  Errors: what is no JSON object with a list of containers.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "muster/discovery/result.h"

namespace muster::discovery {

struct RancherContainers {
  std::vector<std::string> addresses = {};
  std::size_t skipped = 0;  ///< Containers without an address, yet or for ever.
};

Result<RancherContainers> read_rancher_service(std::string_view body);

}  // namespace muster::discovery
