// SPDX-License-Identifier: MIT
//
// The syntax of `.hosts.erlang`: Erlang atoms, quoted ('web-1.example.com') or not (web1), each
// ended by a dot, with comments from '%' to the end of the line.  Pure.  What is wrong is told with
// its line and skipped up to the next dot.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace muster::discovery {

struct HostsFile {
  std::vector<std::string> hosts;     ///< In order, each once; at most 1,000.
  std::vector<std::string> problems;  ///< "line 3: ...", at most 20.
};

HostsFile parse_hosts_file(std::string_view text);

}  // namespace muster::discovery
