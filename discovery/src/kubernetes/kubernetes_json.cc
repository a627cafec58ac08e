// SPDX-License-Identifier: MIT
#include "kubernetes/kubernetes_json.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

namespace muster::discovery::kubernetes {
namespace {

namespace json = boost::json;

constexpr std::size_t deepest = 64;
constexpr std::size_t longest_name = 253;         // Of a DNS subdomain.
constexpr std::size_t longest_token = 64 * 1024;  // `continue` and resourceVersion are opaque.
constexpr std::size_t longest_message = 300;
constexpr std::int64_t longest_grace_s = 600;

Result<json::value> parse(std::string_view text) {
  json::parse_options options;
  options.max_depth = deepest;
  json::error_code error;
  json::value value = json::parse({text.data(), text.size()}, error, {}, options);
  if (error) return bad_input("it is not JSON: " + error.message());
  if (!value.is_object()) return bad_input("it is not a JSON object");
  return value;
}

const json::value* find(const json::value& value, std::string_view key) {
  const json::object* object = value.if_object();
  return object ? object->if_contains({key.data(), key.size()}) : nullptr;
}

std::string text_of(const json::value& value, std::string_view key) {
  const json::value* found = find(value, key);
  const json::string* text = found ? found->if_string() : nullptr;
  return text ? std::string(text->data(), text->size()) : std::string();
}

bool is(const json::value& value, std::string_view key, bool wanted) {
  const json::value* found = find(value, key);
  return found && found->is_bool() && found->get_bool() == wanted;
}

const json::value& child(const json::value& value, std::string_view key) {
  static const json::value nothing;
  const json::value* found = find(value, key);
  return found ? *found : nothing;
}

/// The array under `key`.  Absent and null are empty, as Go writes empty lists; anything else is
/// malformed.
const json::array& array_of(const json::value& value, std::string_view key,
                            std::size_t& malformed) {
  static const json::array nothing;
  const json::value& found = child(value, key);
  if (const json::array* array = found.if_array()) return *array;
  if (!found.is_null()) ++malformed;
  return nothing;
}

/// A label or a name of DNS; what else comes would end up in node names.
bool is_host_name(std::string_view text) {
  return text.size() <= longest_name && std::ranges::all_of(text, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '_' || c == '.';
         });
}

std::string one_line(std::string text) {
  if (text.size() > longest_message) text.resize(longest_message);
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  return text;
}

/// One object under the parser's hands.
struct Reader {
  std::string_view space;
  Members members = {};
  std::size_t malformed = 0;

  bool add(Member member) {
    member.ip = canonical_address(member.ip);
    if (member.ip.empty() || !is_host_name(member.hostname) || !is_host_name(member.space) ||
        !is_host_name(member.pod) || members.size() >= most_members) {
      ++malformed;
      return false;
    }
    if (member.space.empty()) member.space = space;
    if (member.pod.empty()) member.pod = member.ip;
    members.push_back(std::move(member));
    return true;
  }

  void read_endpoints(const json::value& object) {
    for (const json::value& subset : array_of(object, "subsets", malformed)) {
      read_addresses(array_of(subset, "addresses", malformed), Member::Standing::ready);
      read_addresses(array_of(subset, "notReadyAddresses", malformed), Member::Standing::not_ready);
    }
  }

  void read_addresses(const json::array& addresses, Member::Standing standing) {
    for (const json::value& address : addresses) {
      const json::value& target = child(address, "targetRef");
      add({.ip = text_of(address, "ip"),
           .hostname = text_of(address, "hostname"),
           .space = text_of(target, "namespace"),
           .pod = text_of(target, "name"),
           .standing = standing});
    }
  }

  void read_slice(const json::value& object) {
    if (text_of(object, "addressType") == "FQDN") {
      ++malformed;  // Deprecated, and made by nobody: there is no pod behind it.
      return;
    }
    for (const json::value& endpoint : array_of(object, "endpoints", malformed)) {
      const json::array& addresses = array_of(endpoint, "addresses", malformed);
      const json::string* first = addresses.empty() ? nullptr : addresses.front().if_string();
      const json::value& target = child(endpoint, "targetRef");
      add({.ip = first ? std::string(first->data(), first->size()) : std::string(),
           .hostname = text_of(endpoint, "hostname"),
           .space = text_of(target, "namespace"),
           .pod = text_of(target, "name"),
           .standing = standing_of(child(endpoint, "conditions"))});
    }
  }

  /// `ready` is to be taken for true where it is null.  `serving` adds nothing to it: it differs
  /// only for those that terminate.
  static Member::Standing standing_of(const json::value& conditions) {
    if (is(conditions, "terminating", true)) return Member::Standing::leaving;
    return is(conditions, "ready", false) ? Member::Standing::not_ready : Member::Standing::ready;
  }

  void read_pod(const json::value& object, const std::string& name) {
    const json::value& metadata = child(object, "metadata");
    const json::value& status = child(object, "status");
    // Pending has no address or no process yet, Succeeded and Failed will not run again.
    if (text_of(status, "phase") != "Running") return;
    Member pod{.ip = text_of(status, "podIP"),
               .hostname = text_of(child(object, "spec"), "hostname"),
               .space = text_of(metadata, "namespace"),
               .pod = name};
    if (pod.ip.empty()) return;
    if (child(metadata, "deletionTimestamp").is_string()) pod.standing = Member::Standing::leaving;
    const json::value& grace = child(metadata, "deletionGracePeriodSeconds");
    if (grace.is_int64())
      pod.grace =
          std::chrono::seconds(std::clamp(grace.get_int64(), std::int64_t{0}, longest_grace_s));
    add(std::move(pod));
  }
};

/// The object's name, or empty where it is no object of ours.
std::string read_object(Resource resource, const json::value& object, Reader& reader) {
  std::string name = text_of(child(object, "metadata"), "name");
  if (name.empty() || !is_host_name(name)) {
    ++reader.malformed;
    return {};
  }
  switch (resource) {
    case Resource::endpoints:
      reader.read_endpoints(object);
      break;
    case Resource::pods:
      reader.read_pod(object, name);
      break;
    case Resource::endpointslices:
      reader.read_slice(object);
      break;
  }
  return name;
}

bool is_token(std::string_view text) {
  return text.size() <= longest_token &&
         std::ranges::all_of(text, [](char c) { return c > 0x20 && c < 0x7f; });
}

std::string_view list_kind(Resource resource) {
  switch (resource) {
    case Resource::endpoints:
      return "EndpointsList";
    case Resource::pods:
      return "PodList";
    case Resource::endpointslices:
      return "EndpointSliceList";
  }
  return "";
}

}  // namespace

std::string_view to_string(Resource resource) {
  switch (resource) {
    case Resource::endpoints:
      return "endpoints";
    case Resource::pods:
      return "pods";
    case Resource::endpointslices:
      return "endpointslices";
  }
  return "";
}

std::string canonical_address(std::string_view text) {
  const std::string copy(text.substr(0, INET6_ADDRSTRLEN));
  std::array<unsigned char, sizeof(in6_addr)> bytes{};
  std::array<char, INET6_ADDRSTRLEN> written{};
  for (const int family : {AF_INET, AF_INET6})
    if (copy.size() == text.size() && inet_pton(family, copy.c_str(), bytes.data()) == 1 &&
        copy.find('\0') == std::string::npos)
      return inet_ntop(family, bytes.data(), written.data(), written.size());
  return {};
}

Result<Page> parse_list(Resource resource, std::string_view space, std::string_view body) {
  const Result<json::value> parsed = parse(body);
  if (!parsed) return parsed.error();
  // Some proxies answer 200 with pages of their own; taken for an empty list they would be a
  // cluster without peers.
  const std::string kind = text_of(*parsed, "kind");
  const json::value& items = child(*parsed, "items");
  if (kind == list_kind(resource) && !items.is_array() && !items.is_null())
    return bad_input("its items are no list");
  if (kind != list_kind(resource))
    return bad_input("it is no " + std::string(list_kind(resource)) +
                     (kind.empty() ? "" : " but a " + one_line(kind)));
  const json::value& metadata = child(*parsed, "metadata");
  Page page{.resource_version = text_of(metadata, "resourceVersion"),
            .next = text_of(metadata, "continue")};
  if (!is_token(page.resource_version) || !is_token(page.next))
    return bad_input("its metadata is malformed");
  for (const json::value& item : array_of(*parsed, "items", page.malformed)) {
    Reader reader{.space = space};
    std::string name = read_object(resource, item, reader);
    page.malformed += reader.malformed;
    page.members += reader.members.size();
    if (page.members > most_members || page.objects.size() >= most_members)
      return bad_input("it lists more than " + std::to_string(most_members) + " addresses");
    if (!name.empty()) page.objects.insert_or_assign(std::move(name), std::move(reader.members));
  }
  return page;
}

Result<Event> parse_event(Resource resource, std::string_view space, std::string_view line) {
  const Result<json::value> parsed = parse(line);
  if (!parsed) return parsed.error();
  const std::string type = text_of(*parsed, "type");
  const json::value& object = child(*parsed, "object");
  Event event{.resource_version = text_of(child(object, "metadata"), "resourceVersion")};
  if (!is_token(event.resource_version)) return bad_input("its metadata is malformed");
  if (type == "ERROR") {
    const json::value& code = child(object, "code");
    if (code.is_int64())
      event.code = static_cast<int>(std::clamp<std::int64_t>(code.get_int64(), 0, 999));
    event.message = one_line(text_of(object, "message"));
    return event;
  }
  if (type == "BOOKMARK") {
    event.kind = Event::Kind::bookmark;
    return event;
  }
  if (type != "ADDED" && type != "MODIFIED" && type != "DELETED")
    return bad_input("an event of the unknown type '" + one_line(type) + "'");
  event.kind = type == "DELETED" ? Event::Kind::deleted : Event::Kind::changed;
  Reader reader{.space = space};
  event.object = read_object(resource, object, reader);
  event.malformed = reader.malformed;
  if (event.kind == Event::Kind::changed) event.members = std::move(reader.members);
  return event;
}

std::string status_message(std::string_view body) {
  const Result<json::value> parsed = parse(body);
  return parsed ? one_line(text_of(*parsed, "message")) : std::string();
}

std::string service_account_in(std::string_view message) {
  constexpr std::string_view mark = "system:serviceaccount:";
  const auto found = message.find(mark);
  if (found == std::string_view::npos) return {};
  std::string_view rest = message.substr(found + mark.size());
  rest = rest.substr(0, rest.find('"'));
  const auto colon = rest.find(':');
  if (colon == std::string_view::npos || colon == 0 || colon + 1 == rest.size()) return {};
  return is_host_name(rest.substr(0, colon)) && is_host_name(rest.substr(colon + 1))
             ? std::string(rest)
             : std::string();
}

}  // namespace muster::discovery::kubernetes
