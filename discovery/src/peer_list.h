// SPDX-License-Identifier: MIT
//
// A list of peers as people and programs write it: YAML or JSON, each entry a name or a map
// {name: a@host, address: 10.0.0.1, port: 4370}; or bare names between blanks and line ends.  Pure.
//
//   - a@web1                                   [{"name": "a@web1", "address": "10.0.0.1"}]
//   - {name: b@web2, port: 4370}               a@web1 b@web2
#pragma once

#include <string>
#include <string_view>

#include "muster/discovery/peer.h"
#include "muster/discovery/settings_reader.h"

namespace muster::discovery {

struct PeerList {
  PeerSet peers = {};
  Problems problems = {};  ///< Entries that make no sense; the others count all the same.
};

/// An Error where the text as a whole makes no sense.  `source` is named in problems.
Result<PeerList> parse_peer_list(std::string_view text, const std::string& source);

}  // namespace muster::discovery
