// SPDX-License-Identifier: MIT
//
// Where the API server of Kubernetes is, what is asked of it, and how the pods that it lists are
// called.  Pure text to text.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "kubernetes/kubernetes_json.h"
#include "muster/discovery/peer.h"

namespace muster::discovery::kubernetes {

/// "https://host[:port][/prefix]" of `kubernetes_master`.  An address, "host:port", "[::1]:port"
/// and a URL are taken as they are.  A bare host name is, too, where it ends in the cluster's
/// domain or in a dot; otherwise the domain is appended, as libcluster does.  http only to loopback
/// (a `kubectl proxy`): the token must not cross a network in the clear.
[[nodiscard]] Result<std::string> api_base(std::string_view master, std::string_view domain);

/// Whether what is sent there is encrypted, and so may carry a token.
[[nodiscard]] inline bool is_secure(std::string_view base) { return base.starts_with("https:"); }

/// What one namespace is asked for.
struct Collection {
  std::string base = {};
  Resource resource = Resource::endpoints;
  std::string space = {};
  std::string selector = {};
};
/// With `cached`, a list from the API server's cache, whole, as that has no pages; `next` is what
/// the page before said of the following one.
[[nodiscard]] std::string list_url(const Collection& collection, bool cached,
                                   std::string_view next);
[[nodiscard]] std::string watch_url(const Collection& collection, std::string_view resource_version,
                                    std::chrono::seconds within);

/// All but letters, digits and "-._~" as %XX.
[[nodiscard]] std::string percent_encoded(std::string_view text);

struct Naming {
  enum class Mode { ip, dns, hostname };
  Mode mode = Mode::ip;
  std::string base = {};     ///< Left of the @.
  std::string service = {};  ///< For hostnames.
  std::string domain = "cluster.local";
};
/// Nothing where the member has no host name and the mode needs one, or the name is not a node's.
/// The peer's address is the pod's in every mode, so that a dial needs no DNS.
[[nodiscard]] std::optional<Peer> peer_of(const Naming& naming, const Member& member);

}  // namespace muster::discovery::kubernetes
