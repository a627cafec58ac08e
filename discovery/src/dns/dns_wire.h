// SPDX-License-Identifier: MIT
//
// What the bytes of a DNS answer say, and the texts of the options that name servers and names.
// Pure.
//
// An answer is read whole or it is `failed`: too short, a name that loops, a record that reaches
// past the end, a refusal, more than 1,000 records.  Inside a whole one, a record that cannot be
// used (an address of a wrong size, a target that is no host name) is counted and skipped; where
// none can be used, that is `failed` too, never "no records".  CNAMEs are followed inside the
// answer.  A server that neither owns the zone nor asks others, and knows nothing, has said
// nothing: `failed`.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "muster/discovery/result.h"
#include "muster/discovery/time.h"

namespace muster::discovery {

enum class DnsType : std::uint16_t { ipv4 = 1, ipv6 = 28, service = 33 };

struct DnsQuestion {
  std::string name = {};
  DnsType type = DnsType::ipv4;
};

struct DnsService {
  std::uint16_t priority = 0;  ///< The lowest is tried first.
  std::string target = {};     ///< Without a final dot.
  std::uint16_t port = 0;

  friend auto operator<=>(const DnsService&, const DnsService&) = default;
};

struct DnsAnswer {
  enum class Kind { found, no_such_name, no_records, failed };
  Kind kind = Kind::failed;
  std::string why = {};  ///< Where failed; reads on after "DNS server X ".
  std::vector<std::string> addresses = {};
  std::vector<DnsService> services = {};
  Duration ttl = {};        ///< The least of the records that were used and of the aliases to them.
  std::size_t skipped = 0;  ///< Records that could not be used.
};

constexpr std::size_t most_dns_records = 1000;

/// `bytes` is one whole message, as it came to `question`.
[[nodiscard]] DnsAnswer read_dns_answer(std::string_view bytes, const DnsQuestion& question);

/// Of 4 or 16 bytes; IPv6 in its short form.
[[nodiscard]] std::string dns_address_text(std::string_view bytes);

/// Where to ask.
struct DnsServer {
  std::array<std::uint8_t, 16> address = {};  ///< The first 4 bytes, unless `is_ipv6`.
  bool is_ipv6 = false;
  std::uint16_t port = 53;

  [[nodiscard]] std::string text() const;  ///< "10.0.0.2", "10.0.0.2:5353", "[::1]:5353".
};
/// "10.0.0.2", "10.0.0.2:5353", "::1", "[::1]:53".
[[nodiscard]] Result<DnsServer> parse_dns_server(std::string_view text);

/// What is wrong with a name that is to be looked up; nothing where it is fine.  A final dot is.
[[nodiscard]] std::string dns_name_problem(std::string_view name);

/// The names to try for `name`, in order, as resolv.conf's `search` and `ndots` have it.
[[nodiscard]] std::vector<std::string> dns_search_names(const std::string& name,
                                                        const std::vector<std::string>& domains,
                                                        int dots);

}  // namespace muster::discovery
