// SPDX-License-Identifier: MIT
//
// The codec of the port mapper's protocol, which is epmd's: both directions, bounds-checked,
// without I/O.  The client is port_mapper_client.h; the server and the registration live in node/.
//
//   request  length:16 | opcode:8 | body         all numbers big-endian
//   answer   no length: its size follows from its content, or it ends with the connection (names)
//
// Limits are epmd's: a name is 1 to 255 characters of UTF-8 (1,020 bytes) without a zero byte, an
// Extra field has at most 1,020 bytes, a request at most 3,057.  A registration beyond them is
// refused with an answer; all else that makes no sense ends the connection.  Ours alone:
// `max_names_answer`.
//
// Decoders of streams return nothing while bytes are missing, an Error where no further byte could
// help.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "muster/discovery/result.h"

namespace muster::port_mapper {

constexpr std::uint16_t default_port = 4369;  ///< ERL_EPMD_PORT is read by callers.
constexpr std::size_t max_name_characters = 255;
constexpr std::size_t max_name = 4 * max_name_characters;
constexpr std::size_t max_extra = 1020;
constexpr std::size_t max_request = 3057;  ///< Without its length; longer ones are an Error.
/// Of a list of names: beyond it our server registers nobody, and our client reads no further.
constexpr std::size_t max_names_answer = std::size_t{256} * 1024;

constexpr std::uint8_t normal_node = 77;
constexpr std::uint8_t hidden_node = 72;

/// Our registrations begin their Extra field with it: names without it are foreign (Erlang's) and
/// never dialled.
constexpr std::string_view muster_mark = "muster";

/// What a node tells the port mapper about itself.
struct Registration {
  std::string name = {};  ///< The part before '@'.
  std::uint16_t port = 0;
  std::uint8_t type = normal_node;
  std::uint8_t protocol = 0;  ///< TCP.
  std::uint16_t highest = 6;
  std::uint16_t lowest = 5;
  std::string extra = {};

  [[nodiscard]] bool is_ours() const { return extra.starts_with(muster_mark); }
  /// Within epmd's limits; it knows none for the other fields, not even for a port of 0.
  [[nodiscard]] bool is_registrable() const;
  friend bool operator==(const Registration&, const Registration&) = default;
};

// Requests.
struct NamesRequest {  ///< NAMES_REQ 110
  friend bool operator==(const NamesRequest&, const NamesRequest&) = default;
};
struct PortRequest {  ///< PORT_PLEASE2_REQ 122
  std::string name = {};
  friend bool operator==(const PortRequest&, const PortRequest&) = default;
};
struct AliveRequest {  ///< ALIVE2_REQ 120: registers for as long as the connection stays open.
  Registration node = {};
  friend bool operator==(const AliveRequest&, const AliveRequest&) = default;
};
struct DumpRequest {  ///< DUMP_REQ 100: as NAMES_REQ, for people who look for a fault.
  friend bool operator==(const DumpRequest&, const DumpRequest&) = default;
};
struct KillRequest {  ///< KILL_REQ 107: end, if no node is registered.
  friend bool operator==(const KillRequest&, const KillRequest&) = default;
};
struct StopRequest {  ///< STOP_REQ 115: forget a node that still runs.
  std::string name = {};
  friend bool operator==(const StopRequest&, const StopRequest&) = default;
};
using Request =
    std::variant<NamesRequest, PortRequest, AliveRequest, DumpRequest, KillRequest, StopRequest>;

/// With its length in front.  Asserts that it fits.
[[nodiscard]] std::string encode(const Request& request);

struct DecodedRequest {
  Request request;
  std::size_t size = 0;  ///< Bytes of the buffer that it took.
};
/// Errors: unknown opcode, a length of 0 or above max_request, fields that leave their frame, names
/// that are empty, hold a zero byte or (in questions) are beyond the limits.
Result<std::optional<DecodedRequest>> decode_request(std::string_view bytes);

// Answers.
/// ALIVE2_X_RESP 118 (32-bit creation; to those whose `highest` is 6 or more) or ALIVE2_RESP 121
/// (16-bit).
struct AliveAnswer {
  bool ok = false;
  std::uint32_t creation = 0;
  bool extended = true;
  friend bool operator==(const AliveAnswer&, const AliveAnswer&) = default;
};
[[nodiscard]] std::string encode(const AliveAnswer& answer);
Result<std::optional<AliveAnswer>> decode_alive_answer(std::string_view bytes);

/// PORT2_RESP 119.
struct PortAnswer {
  std::optional<Registration> node = {};  ///< Nothing: no such name.
  friend bool operator==(const PortAnswer&, const PortAnswer&) = default;
};
[[nodiscard]] std::string encode(const PortAnswer& answer);
Result<std::optional<PortAnswer>> decode_port_answer(std::string_view bytes);

struct NamedPort {
  std::string name = {};
  std::uint16_t port = 0;
  friend bool operator==(const NamedPort&, const NamedPort&) = default;
};
/// The answer to NAMES_REQ; it ends with the connection.
struct NamesAnswer {
  std::uint16_t mapper_port = 0;
  std::vector<NamedPort> names = {};
  std::size_t skipped = 0;  ///< Lines that made no sense; not encoded.
  friend bool operator==(const NamesAnswer&, const NamesAnswer&) = default;
};
[[nodiscard]] std::string encode(const NamesAnswer& answer);
/// The size of one line of it.
[[nodiscard]] std::size_t names_line_size(const Registration& node);
/// `bytes` is the whole answer.  Errors: fewer than four bytes, a port beyond 16 bits.
Result<NamesAnswer> decode_names_answer(std::string_view bytes);

}  // namespace muster::port_mapper
