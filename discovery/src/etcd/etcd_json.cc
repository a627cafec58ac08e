// SPDX-License-Identifier: MIT
#include "etcd/etcd_json.h"

#include <openssl/evp.h>

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <charconv>

namespace muster::discovery::etcd {
namespace {

namespace json = boost::json;
using boost::system::error_code;

constexpr std::size_t most_levels = 16;
constexpr std::size_t most_message_bytes = 200;

std::string_view view(const json::string& text) { return {text.data(), text.size()}; }

Result<json::object> parse(std::string_view text) {
  error_code error;
  json::value value =
      json::parse({text.data(), text.size()}, error, {}, {.max_depth = most_levels});
  if (error) return bad_input("etcd's answer is not JSON (" + error.message() + ")");
  if (!value.is_object()) return bad_input("etcd's answer is no object");
  return std::move(value.get_object());
}

const json::object* object_in(const json::object& fields, const char* name) {
  const json::value* value = fields.if_contains(name);
  return value ? value->if_object() : nullptr;
}

std::string text_in(const json::object& fields, const char* name) {
  const json::value* value = fields.if_contains(name);
  const json::string* text = value ? value->if_string() : nullptr;
  return text ? std::string(view(*text)) : "";
}

/// Absent is 0: the gateway leaves zeros out.
std::optional<std::int64_t> number_in(const json::object& fields, const char* name) {
  const json::value* value = fields.if_contains(name);
  if (!value || value->is_null()) return 0;
  if (const auto* number = value->if_int64()) return *number;
  const json::string* text = value->if_string();
  if (!text) return std::nullopt;
  std::int64_t number = 0;
  const char* end = text->data() + text->size();
  const auto read = std::from_chars(text->data(), end, number);
  if (read.ec != std::errc() || read.ptr != end) return std::nullopt;
  return number;
}

bool flag_in(const json::object& fields, const char* name) {
  const json::value* value = fields.if_contains(name);
  const bool* flag = value ? value->if_bool() : nullptr;
  return flag && *flag;
}

std::string first_line(std::string_view text) {
  const auto is_printable = [](char byte) { return byte >= ' ' && byte <= '~'; };
  const auto end = std::ranges::find_if_not(text, is_printable);
  const auto size = static_cast<std::size_t>(end - text.begin());
  return std::string(text.substr(0, std::min(size, most_message_bytes)));
}

/// What a stream says comes wrapped.
const json::object& unwrapped(const json::object& answer) {
  const json::object* result = object_in(answer, "result");
  return result ? *result : answer;
}

Result<std::int64_t> revision_of(const json::object& answer) {
  const json::object* header = object_in(answer, "header");
  const auto revision = header ? number_in(*header, "revision") : std::nullopt;
  if (!revision) return bad_input("etcd's answer has no revision");
  return *revision;
}

Result<KeyValue> read_key_value(const json::object& fields) {
  const auto key = decode_base64(text_in(fields, "key"));
  const auto value = decode_base64(text_in(fields, "value"));
  const auto revision = number_in(fields, "mod_revision");
  if (!key || key->empty() || !value || !revision)
    return bad_input("etcd's answer has a key that cannot be read");
  return KeyValue{.key = *key, .value = *value, .revision = *revision};
}

/// Of each object of the list under `name`, which may be absent.
template <class Take>
Result<void> for_each_in(const json::object& fields, const char* name, Take take) {
  const json::value* list = fields.if_contains(name);
  if (!list || list->is_null()) return {};
  if (!list->is_array()) return bad_input(std::string("etcd's answer has no list of ") + name);
  for (const json::value& item : list->get_array()) {
    const json::object* object = item.if_object();
    if (!object) return bad_input(std::string("etcd's answer has a strange list of ") + name);
    if (auto taken = take(*object); !taken) return taken;
  }
  return {};
}

json::object prefix_fields(std::string_view prefix) {
  std::string end(prefix);  // The first key that does not begin with it.
  while (!end.empty() && end.back() == '\xff') end.pop_back();
  if (!end.empty()) end.back() = static_cast<char>(end.back() + 1);
  if (end.empty()) end.push_back('\0');  // To the last of all keys.
  return {{"key", encode_base64(prefix)}, {"range_end", encode_base64(end)}};
}

}  // namespace

std::string encode_base64(std::string_view bytes) {
  std::string room((bytes.size() + 2) / 3 * 4 + 1, '\0');  // It adds a final zero.
  const auto size = ::EVP_EncodeBlock(reinterpret_cast<unsigned char*>(room.data()),
                                      reinterpret_cast<const unsigned char*>(bytes.data()),
                                      static_cast<int>(bytes.size()));
  return room.substr(0, static_cast<std::size_t>(size));
}

std::optional<std::string> decode_base64(std::string_view text) {
  if (text.empty()) return "";
  if (text.size() % 4 != 0 || text.find_first_of(" \t\r\n") != std::string_view::npos)
    return std::nullopt;
  const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  std::string bytes(text.size() / 4 * 3, '\0');
  const auto size = ::EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                                      reinterpret_cast<const unsigned char*>(text.data()),
                                      static_cast<int>(text.size()));
  if (size < 0) return std::nullopt;
  bytes.resize(static_cast<std::size_t>(size) - padding);
  return bytes;
}

std::string write_registration(const Registration& registration) {
  const json::object fields{{"name", registration.peer.name.text()},
                            {"address", registration.peer.address},
                            {"link_port", registration.peer.port},
                            {"boot_id", std::to_string(registration.boot_id)}};
  return json::serialize(fields);
}

Result<Registration> read_registration(std::string_view text) {
  const auto fields = parse(text);
  if (!fields) return bad_input("it is no JSON object");
  auto name = NodeName::parse(text_in(*fields, "name"));
  if (!name) return name.error();
  Registration result{.peer = {.name = *name}};
  result.peer.address = text_in(*fields, "address");
  error_code error;
  if (!result.peer.address.empty()) boost::asio::ip::make_address(result.peer.address, error);
  if (error) return bad_input("its address is none");
  const auto port = number_in(*fields, "link_port");
  if (!port || *port < 0 || *port > 65535) return bad_input("its link_port is none");
  result.peer.port = static_cast<std::uint16_t>(*port);
  const std::string boot_id = text_in(*fields, "boot_id");
  std::from_chars(boot_id.data(), boot_id.data() + boot_id.size(), result.boot_id);
  return result;
}

std::string authenticate(const std::string& user, const std::string& password) {
  return json::serialize(json::object{{"name", user}, {"password", password}});
}

std::string grant(std::int64_t seconds) {
  return json::serialize(json::object{{"TTL", std::to_string(seconds)}});
}

std::string lease_of(std::int64_t lease) {
  return json::serialize(json::object{{"ID", std::to_string(lease)}});
}

std::string put(std::string_view key, std::string_view value, std::int64_t lease) {
  return json::serialize(json::object{{"key", encode_base64(key)},
                                      {"value", encode_base64(value)},
                                      {"lease", std::to_string(lease)}});
}

std::string range(std::string_view prefix, std::int64_t most_keys) {
  json::object fields = prefix_fields(prefix);
  fields["limit"] = std::to_string(most_keys);
  return json::serialize(fields);
}

std::string watch(std::string_view prefix, std::int64_t from_revision) {
  json::object fields = prefix_fields(prefix);
  fields["start_revision"] = std::to_string(from_revision);
  return json::serialize(json::object{{"create_request", fields}});
}

Refusal read_refusal(std::string_view body) {
  Refusal refusal;
  const auto fields = parse(body);
  if (!fields) {  // A few come as plain text.
    refusal.message = first_line(body);
    return refusal;
  }
  const json::object* nested = object_in(*fields, "error");  // In a stream.
  const json::object& said = nested ? *nested : *fields;
  const auto code = number_in(said, nested ? "grpc_code" : "code");
  if (code && *code > 0 && *code < 100) refusal.code = static_cast<int>(*code);
  refusal.message = text_in(said, "message");
  if (refusal.message.empty()) refusal.message = text_in(said, "error");
  refusal.message.resize(std::min(refusal.message.size(), most_message_bytes));
  return refusal;
}

Result<std::string> read_token(std::string_view body) {
  const auto fields = parse(body);
  if (!fields) return fields.error();
  std::string token = text_in(*fields, "token");
  if (token.empty()) return bad_input("etcd's answer has no token");
  return token;
}

Result<Lease> read_lease(std::string_view body) {
  const auto answer = parse(body);
  if (!answer) return answer.error();
  const json::object& fields = unwrapped(*answer);
  const auto id = number_in(fields, "ID");
  const auto seconds = number_in(fields, "TTL");
  if (!id || *id == 0 || !seconds) return bad_input("etcd's answer has no lease");
  return Lease{.id = *id, .seconds = *seconds};
}

Result<std::int64_t> read_revision(std::string_view body) {
  const auto answer = parse(body);
  if (!answer) return answer.error();
  return revision_of(*answer);
}

Result<Range> read_range(std::string_view body) {
  const auto answer = parse(body);
  if (!answer) return answer.error();
  const auto revision = revision_of(*answer);
  if (!revision) return revision.error();
  Range result{.revision = *revision};
  const auto read = for_each_in(*answer, "kvs", [&](const json::object& fields) -> Result<void> {
    auto entry = read_key_value(fields);
    if (!entry) return entry.error();
    result.all.push_back(std::move(*entry));
    return {};
  });
  if (!read) return read.error();
  return result;
}

Result<WatchLine> read_watch_line(std::string_view line) {
  const auto answer = parse(line);
  if (!answer) return answer.error();
  WatchLine result;
  if (answer->if_contains("error")) {
    result.is_cancelled = true;
    result.reason = read_refusal(line).message;
    return result;
  }
  const json::object& fields = unwrapped(*answer);
  result.is_cancelled = flag_in(fields, "canceled");
  result.reason = text_in(fields, "cancel_reason").substr(0, most_message_bytes);
  const auto read = for_each_in(fields, "events", [&](const json::object& event) -> Result<void> {
    const json::object* changed = object_in(event, "kv");
    if (!changed) return bad_input("etcd's answer has a change of nothing");
    auto entry = read_key_value(*changed);
    if (!entry) return entry.error();
    entry->is_deleted = text_in(event, "type") == "DELETE";
    result.changes.push_back(std::move(*entry));
    return {};
  });
  if (!read) return read.error();
  return result;
}

}  // namespace muster::discovery::etcd
