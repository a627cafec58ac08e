// SPDX-License-Identifier: MIT
//
// What the API server of Kubernetes says, down to what discovery keeps of it: bytes -> objects.
// Pure and bounded: a body may nest 64 levels deep and hold `most_members` addresses; text that
// goes on into names or the log is checked or cut here.  A malformed item is counted and skipped,
// so that one strange pod hides no other; an answer that is no list at all is an Error.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "muster/discovery/result.h"
#include "muster/discovery/time.h"

namespace muster::discovery::kubernetes {

enum class Resource { endpoints, pods, endpointslices };
[[nodiscard]] std::string_view to_string(Resource resource);

constexpr std::size_t most_members = 10'000;

/// One address of a pod.
struct Member {
  /// `leaving`: it is being deleted.  Neither of the last two makes a peer, and neither unmakes one
  /// (kubernetes_machine.h).
  enum class Standing { ready, not_ready, leaving };

  std::string ip = {};        ///< IPv4, or IPv6 in its short form.
  std::string hostname = {};  ///< May be empty.
  std::string space = {};     ///< The pod's namespace.
  std::string pod = {};       ///< Its name, or the address where the API tells none: the same pod,
                              ///< the same text.
  Standing standing = Standing::ready;
  Duration grace = std::chrono::seconds(30);  ///< How long the leaving takes at most.

  friend bool operator==(const Member&, const Member&) = default;
};

/// An Endpoints, an EndpointSlice or a Pod: what it contributes.  No members: nothing (yet).
using Members = std::vector<Member>;

struct Page {
  std::string resource_version = {};
  std::string next = {};  ///< `continue`; empty: the last page.
  std::map<std::string, Members> objects = {};
  std::size_t members = 0;
  std::size_t malformed = 0;  ///< Items and addresses that were skipped.
};
/// A list of `resource`.  Members without a namespace of their own get `space`.
[[nodiscard]] Result<Page> parse_list(Resource resource, std::string_view space,
                                      std::string_view body);

struct Event {
  enum class Kind { changed, deleted, bookmark, error };
  Kind kind = Kind::error;
  std::string object = {};  ///< Its name; empty where it was malformed.
  std::string resource_version = {};
  Members members = {};
  std::size_t malformed = 0;
  int code = 0;              ///< Of an error: 410 for one that a new list heals.
  std::string message = {};  ///< Of an error.
};
/// One line of a watch.
[[nodiscard]] Result<Event> parse_event(Resource resource, std::string_view space,
                                        std::string_view line);

/// `message` of a Status, in one line of at most 300 bytes; empty where the body is none.
[[nodiscard]] std::string status_message(std::string_view body);
/// "NAMESPACE:NAME" of the service account that a message of RBAC speaks of, or nothing.
[[nodiscard]] std::string service_account_in(std::string_view message);

/// The short form of an IPv4 or IPv6 address, or nothing.
[[nodiscard]] std::string canonical_address(std::string_view text);

}  // namespace muster::discovery::kubernetes
