// SPDX-License-Identifier: MIT
//
// What the ports of a node stand on: the parts they show and steer, and what they share in options.
// A part that a program does not have is a nullptr and is shown as absent.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "muster/discovery/log.h"
#include "muster/discovery/strategy_registry.h"

namespace muster::discovery {
class Topologies;
}
namespace muster::node {
class Node;
}
namespace muster::cache {
class Cache;
}
namespace muster::unsplit {
class Unsplit;
}

namespace muster::app {

/// All of them must outlive the ports; a port is stopped before the parts are.
struct Parts {
  node::Node* node = nullptr;
  cache::Cache* cache = nullptr;
  unsplit::Unsplit* unsplit = nullptr;
  discovery::Topologies* topologies = nullptr;
};

struct PortOptions {
  /// One line: the password (Redis AUTH, HTTP bearer token).  A port refuses to listen off loopback
  /// without one.
  std::filesystem::path password_file = {};
  bool show_keys =
      false;  ///< Listings show keys as they are, not hashed: a session id is a credential.
  Log log = {};
  /// What `muster leave` does after the node has left; a program ends itself here.
  std::function<void()> on_left = {};
  /// `muster topology add NAME`: NAME in the program's own file, read again.  From nowhere else:
  /// strategies read files, send passwords and run programs, and whoever reaches a port must not
  /// choose which.
  std::function<Result<discovery::TopologyPlan>(const std::string& name)> find_topology = {};
};

}  // namespace muster::app
