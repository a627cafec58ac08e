// SPDX-License-Identifier: MIT
#include "muster/node/fabric.h"

namespace muster::node {

std::string_view to_string(DownReason reason) {
  switch (reason) {
    case DownReason::closed:
      return "closed";
    case DownReason::silent:
      return "silent";
    case DownReason::left:
      return "left";
    case DownReason::disconnected:
      return "disconnected";
    case DownReason::replaced:
      return "replaced";
    case DownReason::shutdown:
      return "shutdown";
  }
  return "unknown";
}

}  // namespace muster::node
