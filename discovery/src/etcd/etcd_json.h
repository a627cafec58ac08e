// SPDX-License-Identifier: MIT
//
// What is said to etcd's v3 JSON gateway and what it answers: keys and values in base64, 64-bit
// numbers as strings.  Pure.
//
// Errors: an answer that is not what was asked for; a registration that names no node.  Neither
// repeats a password or a token.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "muster/discovery/peer.h"
#include "muster/discovery/result.h"

namespace muster::discovery::etcd {

/// What a node writes under its own key: its name, where its links are, and which start of it.
struct Registration {
  Peer peer = {};
  std::uint64_t boot_id = 0;

  friend bool operator==(const Registration&, const Registration&) = default;
};
std::string write_registration(const Registration& registration);
Result<Registration> read_registration(std::string_view text);

std::string encode_base64(std::string_view bytes);
std::optional<std::string> decode_base64(std::string_view text);

/// The bodies of requests.
std::string authenticate(const std::string& user, const std::string& password);
std::string grant(std::int64_t seconds);
std::string lease_of(std::int64_t lease);  ///< For keepalive and revoke.
std::string put(std::string_view key, std::string_view value, std::int64_t lease);
std::string range(std::string_view prefix, std::int64_t most_keys);
std::string watch(std::string_view prefix, std::int64_t from_revision);

/// Why etcd refuses.
struct Refusal {
  static constexpr int not_found = 5, unauthenticated = 16;  // As gRPC counts them.

  int code = 0;
  std::string message = {};
};
Refusal read_refusal(std::string_view body);

Result<std::string> read_token(std::string_view body);
struct Lease {
  std::int64_t id = 0;
  std::int64_t seconds = 0;  ///< Not above 0: it is over.
};
Result<Lease> read_lease(std::string_view body);
Result<std::int64_t> read_revision(std::string_view body);

struct KeyValue {
  std::string key = {};
  std::string value = {};
  std::int64_t revision = 0;  ///< At which it became so.
  bool is_deleted = false;
};
struct Range {
  std::int64_t revision = 0;
  std::vector<KeyValue> all = {};
};
Result<Range> read_range(std::string_view body);

/// One line of a watch.
struct WatchLine {
  bool is_cancelled = false;  ///< etcd ended it; `reason` may say why.
  std::string reason = {};
  std::vector<KeyValue> changes = {};
};
Result<WatchLine> read_watch_line(std::string_view line);

}  // namespace muster::discovery::etcd
