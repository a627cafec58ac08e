// SPDX-License-Identifier: MIT
#include "muster/discovery/port_mapper_wire.h"

#include <cassert>
#include <charconv>
#include <limits>

#include "bytes.h"
#include "utf8.h"

namespace muster::port_mapper {
namespace {

constexpr std::uint8_t dump_request = 100;
constexpr std::uint8_t kill_request = 107;
constexpr std::uint8_t names_request = 110;
constexpr std::uint8_t stop_request = 115;
constexpr std::uint8_t alive_extended_answer = 118;
constexpr std::uint8_t port_answer = 119;
constexpr std::uint8_t alive_request = 120;
constexpr std::uint8_t alive_answer = 121;
constexpr std::uint8_t port_request = 122;

Error malformed(std::string_view what) { return bad_input("port mapper: " + std::string(what)); }

void write_body(ByteWriter& out, const NamesRequest&) { out.number(names_request); }

void write_body(ByteWriter& out, const PortRequest& request) {
  out.number(port_request);
  out.text(request.name);
}

void write_body(ByteWriter& out, const DumpRequest&) { out.number(dump_request); }
void write_body(ByteWriter& out, const KillRequest&) { out.number(kill_request); }

void write_body(ByteWriter& out, const StopRequest& request) {
  out.number(stop_request);
  out.text(request.name);
}

void write_body(ByteWriter& out, const AliveRequest& request) {
  const Registration& node = request.node;
  out.number(alive_request);
  out.number(node.port);
  out.number(node.type);
  out.number(node.protocol);
  out.number(node.highest);
  out.number(node.lowest);
  out.counted<std::uint16_t>(node.name);
  out.counted<std::uint16_t>(node.extra);
}

/// port, type, protocol, versions, name, extra: the same in a registration and in the answer about
/// it.
Registration read_registration(ByteReader& in) {
  Registration node;
  node.port = in.number<std::uint16_t>();
  node.type = in.number<std::uint8_t>();
  node.protocol = in.number<std::uint8_t>();
  node.highest = in.number<std::uint16_t>();
  node.lowest = in.number<std::uint16_t>();
  node.name = in.counted<std::uint16_t>();
  node.extra = in.counted<std::uint16_t>();
  return node;
}

bool within_bounds(const Registration& node) {
  return node.name.size() <= max_name && node.extra.size() <= max_extra;
}

constexpr std::string_view line_begin = "name ";
constexpr std::string_view line_middle = " at port ";

bool holds_zero(std::string_view name) { return name.find('\0') != std::string_view::npos; }

/// A name in a question is the rest of it; old Erlang ends it with a zero byte.
Result<Request> decode_port_request(std::string_view name) {
  if (name.ends_with('\0')) name.remove_suffix(1);
  const auto characters = utf8_characters(name);
  if (holds_zero(name) || !characters || *characters == 0 || *characters > max_name_characters)
    return malformed("bad name in a request for a port");
  return Request(PortRequest{std::string(name)});
}

Result<Request> decode_alive_request(ByteReader in) {
  Registration node = read_registration(in);
  if (in.failed() || node.name.empty() || holds_zero(node.name))
    return malformed("bad registration");
  return Request(AliveRequest{std::move(node)});
}

Result<Request> decode_stop_request(std::string_view name) {
  name = name.substr(0, name.find('\0'));
  if (name.empty()) return malformed("bad name in a request to stop");
  return Request(StopRequest{std::string(name)});
}

Result<Request> decode_body(std::string_view frame) {
  ByteReader in(frame);
  switch (in.number<std::uint8_t>()) {
    case names_request:
      return Request(NamesRequest{});
    case port_request:
      return decode_port_request(in.text(in.left()));
    case alive_request:
      return decode_alive_request(in);
    case dump_request:
      return Request(DumpRequest{});
    case kill_request:
      return Request(KillRequest{});
    case stop_request:
      return decode_stop_request(in.text(in.left()));
    default:
      return malformed("unknown request");
  }
}

std::string line_of(std::string_view name, std::uint16_t port) {
  std::string line(line_begin);
  line += name;
  line += line_middle;
  return line += std::to_string(port) + "\n";
}

/// "name NAME at port PORT"
std::optional<NamedPort> read_line(std::string_view line) {
  const auto middle = line.rfind(line_middle);
  if (!line.starts_with(line_begin) || middle == std::string_view::npos ||
      middle <= line_begin.size())
    return std::nullopt;
  NamedPort named{std::string(line.substr(line_begin.size(), middle - line_begin.size())), 0};
  const std::string_view digits = line.substr(middle + line_middle.size());
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), named.port);
  if (error != std::errc() || end != digits.data() + digits.size() || named.name.size() > max_name)
    return std::nullopt;
  return named;
}

}  // namespace

bool Registration::is_registrable() const {
  const auto characters = utf8_characters(name);
  return characters && *characters > 0 && *characters <= max_name_characters && !holds_zero(name) &&
         extra.size() <= max_extra;
}

std::string encode(const Request& request) {
  ByteWriter body;
  std::visit([&](const auto& alternative) { write_body(body, alternative); }, request);
  const std::string frame = body.take();
  assert(frame.size() <= max_request);
  ByteWriter out;
  out.counted<std::uint16_t>(frame);
  return out.take();
}

Result<std::optional<DecodedRequest>> decode_request(std::string_view bytes) {
  ByteReader in(bytes);
  const auto length = in.number<std::uint16_t>();
  if (in.failed()) return std::nullopt;
  if (length == 0 || length > max_request) return malformed("bad length of a request");
  const auto frame = in.text(length);
  if (in.failed()) return std::nullopt;
  auto request = decode_body(frame);
  if (!request) return request.error();
  std::optional<DecodedRequest> decoded(std::in_place);
  decoded->request = std::move(*request);
  decoded->size = bytes.size() - in.left();
  return decoded;
}

std::string encode(const AliveAnswer& answer) {
  ByteWriter out;
  out.number(answer.extended ? alive_extended_answer : alive_answer);
  out.number(static_cast<std::uint8_t>(answer.ok ? 0 : 1));
  if (answer.extended)
    out.number(answer.creation);
  else
    out.number(static_cast<std::uint16_t>(answer.creation));
  return out.take();
}

Result<std::optional<AliveAnswer>> decode_alive_answer(std::string_view bytes) {
  ByteReader in(bytes);
  const auto opcode = in.number<std::uint8_t>();
  if (in.failed()) return std::nullopt;
  if (opcode != alive_answer && opcode != alive_extended_answer)
    return malformed("this is no answer to a registration");
  AliveAnswer answer;
  answer.extended = opcode == alive_extended_answer;
  answer.ok = in.number<std::uint8_t>() == 0;
  answer.creation = answer.extended ? in.number<std::uint32_t>() : in.number<std::uint16_t>();
  if (in.failed()) return std::nullopt;
  return std::optional(answer);
}

std::string encode(const PortAnswer& answer) {
  ByteWriter out;
  out.number(port_answer);
  out.number(static_cast<std::uint8_t>(answer.node ? 0 : 1));
  if (answer.node) {
    const Registration& node = *answer.node;
    assert(within_bounds(node));
    out.number(node.port);
    out.number(node.type);
    out.number(node.protocol);
    out.number(node.highest);
    out.number(node.lowest);
    out.counted<std::uint16_t>(node.name);
    out.counted<std::uint16_t>(node.extra);
  }
  return out.take();
}

Result<std::optional<PortAnswer>> decode_port_answer(std::string_view bytes) {
  ByteReader in(bytes);
  const auto opcode = in.number<std::uint8_t>();
  if (in.failed()) return std::nullopt;
  if (opcode != port_answer) return malformed("this is no answer to a request for a port");
  const auto result = in.number<std::uint8_t>();
  if (in.failed()) return std::nullopt;
  if (result != 0) return std::optional(PortAnswer{});
  Registration node = read_registration(in);
  if (!within_bounds(node)) return malformed("oversized name or extra field");
  // Complete or not: judged after the bounds, so that a hostile mapper cannot make us wait for 64
  // KiB.
  if (in.failed())
    return bytes.size() > max_request
               ? Result<std::optional<PortAnswer>>(malformed("oversized answer"))
               : std::nullopt;
  return std::optional(PortAnswer{std::move(node)});
}

std::string encode(const NamesAnswer& answer) {
  ByteWriter out;
  out.number(static_cast<std::uint32_t>(answer.mapper_port));
  for (const NamedPort& named : answer.names) out.text(line_of(named.name, named.port));
  return out.take();
}

std::size_t names_line_size(const Registration& node) {
  return line_of(node.name, node.port).size();
}

Result<NamesAnswer> decode_names_answer(std::string_view bytes) {
  ByteReader in(bytes);
  const auto port = in.number<std::uint32_t>();
  if (in.failed()) return malformed("the list of names is cut off");
  if (port > std::numeric_limits<std::uint16_t>::max())
    return malformed("this is no list of names");
  NamesAnswer answer;
  answer.mapper_port = static_cast<std::uint16_t>(port);
  std::string_view lines = in.text(in.left());
  while (!lines.empty()) {
    const auto end = std::min(lines.find('\n'), lines.size());
    const auto line = lines.substr(0, end);
    lines.remove_prefix(std::min(end + 1, lines.size()));
    auto named = read_line(line);
    if (named)
      answer.names.push_back(std::move(*named));
    else if (!line.empty())
      ++answer.skipped;
  }
  return answer;
}

}  // namespace muster::port_mapper
