// SPDX-License-Identifier: MIT
#include "dns/dns_wire.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <limits>
#include <optional>
#include <set>

namespace muster::discovery {
namespace {

constexpr std::size_t header_size = 12;
constexpr std::size_t most_name = 255;
constexpr std::uint16_t class_internet = 1;
constexpr std::uint16_t type_alias = 5;
constexpr std::uint8_t pointer_mark = 0xc0;

bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}
bool is_host_character(char c) { return is_letter_or_digit(c) || c == '-' || c == '_' || c == '.'; }

std::string lower(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

/// Goes through a message; once something does not fit, it stays `broken` and gives zeros.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  [[nodiscard]] bool broken() const { return broken_; }
  [[nodiscard]] std::size_t at() const { return at_; }
  void seek(std::size_t at) { at_ = at; }

  std::string_view take(std::size_t size) {
    if (size > bytes_.size() - at_) broken_ = true;
    if (broken_) return {};
    at_ += size;
    return bytes_.substr(at_ - size, size);
  }
  std::uint16_t number16() {
    const std::string_view two = take(2);
    return two.empty() ? std::uint16_t{0}
                       : static_cast<std::uint16_t>(byte(two, 0) << 8 | byte(two, 1));
  }
  std::uint32_t number32() {
    const std::uint32_t high = number16();
    return high << 16 | number16();
  }

  /// Without a final dot.  Bytes that no host name has come as \DDD, so that names that differ
  /// stay different.
  std::string name() {
    std::string text;
    std::size_t after = 0;     // Where reading goes on behind the first pointer.
    std::size_t lowest = at_;  // Pointers lead strictly backwards: no loop.
    std::size_t size = 1;
    while (!broken_) {
      const std::string_view first = take(1);
      if (broken_ || byte(first, 0) == 0) break;
      const unsigned length = byte(first, 0);
      if ((length & pointer_mark) == pointer_mark) {
        const std::size_t target = (length & 0x3fu) << 8 | byte(take(1), 0);
        if (after == 0) after = at_;
        if (target >= lowest) broken_ = true;
        lowest = at_ = std::min(target, at_);
        continue;
      }
      size += length + 1;
      if ((length & pointer_mark) != 0 || size > most_name) broken_ = true;
      if (!text.empty()) text += '.';
      append_label(text, take(length));
    }
    if (after != 0) at_ = after;
    return broken_ ? std::string() : text;
  }

 private:
  static unsigned byte(std::string_view bytes, std::size_t at) {
    return at < bytes.size() ? static_cast<unsigned char>(bytes[at]) : 0u;
  }
  static void append_label(std::string& text, std::string_view label) {
    for (const char c : label) {
      if (is_host_character(c) && c != '.') {
        text += c;
        continue;
      }
      const unsigned value = static_cast<unsigned char>(c);
      text += {'\\', static_cast<char>('0' + value / 100), static_cast<char>('0' + value / 10 % 10),
               static_cast<char>('0' + value % 10)};
    }
  }

  std::string_view bytes_;
  std::size_t at_ = 0;
  bool broken_ = false;
};

struct Record {
  std::string owner;
  std::uint16_t type = 0;
  std::uint16_t class_of = 0;
  std::uint32_t ttl = 0;
  std::size_t data_at = 0;
  std::string_view data;
};

struct Message {
  bool is_answer = false;
  bool owns_zone = false;
  bool asks_others = false;
  bool is_cut = false;
  unsigned code = 0;
  std::vector<Record> records;  // The answer section.
};

std::optional<Message> read_message(std::string_view bytes) {
  if (bytes.size() < header_size) return std::nullopt;
  Reader reader(bytes);
  reader.take(2);  // The id; c-ares has compared it.
  const unsigned flags = reader.number16();
  Message message{.is_answer = (flags & 0x8000u) != 0,
                  .owns_zone = (flags & 0x0400u) != 0,
                  .asks_others = (flags & 0x0080u) != 0,
                  .is_cut = (flags & 0x0200u) != 0,
                  .code = flags & 0xfu};
  const unsigned questions = reader.number16();
  const unsigned answers = reader.number16();
  reader.take(4);
  for (unsigned i = 0; i < questions && !reader.broken(); ++i) {
    (void)reader.name();
    reader.take(4);
  }
  for (unsigned i = 0; i < answers && !reader.broken(); ++i) {
    Record record;
    record.owner = lower(reader.name());
    record.type = reader.number16();
    record.class_of = reader.number16();
    record.ttl = reader.number32();
    const std::uint16_t size = reader.number16();
    record.data_at = reader.at();
    record.data = reader.take(size);
    message.records.push_back(std::move(record));
  }
  if (reader.broken()) return std::nullopt;
  return message;
}

DnsAnswer failed(std::string why) { return {.why = std::move(why)}; }

/// What the code says, where it is neither success nor "no such name".
std::string refusal(unsigned code, const std::string& name) {
  switch (code) {
    case 1:
      return "does not understand the question for " + name + " (FORMERR)";
    case 2:
      return "could not find an answer for " + name + " (SERVFAIL)";
    case 4:
      return "does not answer such questions as for " + name + " (NOTIMP)";
    case 5:
      return "refuses to answer for " + name + " (REFUSED)";
    default:
      return "failed for " + name + " (code " + std::to_string(code) + ")";
  }
}

/// Collects the records that belong to one question.
class Collector {
 public:
  Collector(std::string_view bytes, const Message& message, const DnsQuestion& question)
      : bytes_(bytes), message_(message), question_(question) {}

  DnsAnswer collect() {
    std::string name = lower(question_.name);
    if (name.ends_with('.')) name.pop_back();
    follow_aliases(std::move(name));
    for (const Record& record : message_.records)
      if (record.class_of == class_internet && names_.contains(record.owner) &&
          record.type == static_cast<std::uint16_t>(question_.type))
        take(record);
    return verdict();
  }

 private:
  void follow_aliases(std::string name) {
    // Each turn finds a name that is new, so there are no more turns than records.
    while (names_.insert(name).second) {
      const auto alias = std::ranges::find_if(message_.records, [&](const Record& record) {
        return record.type == type_alias && record.class_of == class_internet &&
               record.owner == name;
      });
      if (alias == message_.records.end()) return;
      note_ttl(*alias);
      name = lower(name_in(*alias, 0));
    }
  }

  void take(const Record& record) {
    ++of_type_;
    const bool taken =
        question_.type == DnsType::service ? take_service(record) : take_address(record);
    if (taken) note_ttl(record);
  }

  bool take_address(const Record& record) {
    const std::size_t size = question_.type == DnsType::ipv4 ? 4 : 16;
    if (record.data.size() != size) return skip();
    answer_.addresses.push_back(dns_address_text(record.data));
    return true;
  }

  bool take_service(const Record& record) {
    if (record.data.size() < 7) return skip();
    Reader reader(record.data);
    DnsService service;
    service.priority = reader.number16();
    (void)reader.number16();  // The weight, by which clients share a load.
    service.port = reader.number16();
    const bool is_root = record.data[6] == '\0';
    service.target = name_in(record, 6);
    if (is_root) return false;  // RFC 2782: decidedly no such service.
    if (service.target.empty() || !std::ranges::all_of(service.target, is_host_character))
      return skip();
    answer_.services.push_back(std::move(service));
    return true;
  }

  bool skip() {
    ++answer_.skipped;
    return false;
  }

  /// The name that fills a record's data from `offset` to the end; empty where it does not.
  std::string name_in(const Record& record, std::size_t offset) const {
    const std::size_t end = record.data_at + record.data.size();
    Reader reader(bytes_.substr(0, end));
    reader.seek(record.data_at + std::min(offset, record.data.size()));
    std::string name = reader.name();
    return reader.broken() || reader.at() != end ? std::string() : name;
  }

  void note_ttl(const Record& record) {
    const std::uint32_t seconds =
        record.ttl > std::numeric_limits<std::int32_t>::max() ? 0 : record.ttl;
    ttl_ = std::min(ttl_.value_or(seconds), seconds);
  }

  DnsAnswer verdict() {
    const std::size_t found = answer_.addresses.size() + answer_.services.size();
    if (found > most_dns_records)
      return failed("gives more than " + std::to_string(most_dns_records) + " records of " +
                    question_.name);
    if (found == 0 && answer_.skipped > 0)
      return failed("gives only records that cannot be used of " + question_.name);
    std::ranges::sort(answer_.services);
    answer_.kind = found > 0 ? DnsAnswer::Kind::found : DnsAnswer::Kind::no_records;
    answer_.ttl = std::chrono::seconds(ttl_.value_or(0));
    if (found > 0 || of_type_ > 0 || message_.asks_others) return std::move(answer_);
    if (names_.size() > 1)
      return failed("gives an alias of " + question_.name + " and does not follow it");
    if (!message_.owns_zone)
      return failed("does not know " + question_.name + " and does not ask others");
    return std::move(answer_);
  }

  const std::string_view bytes_;
  const Message& message_;
  const DnsQuestion& question_;
  std::set<std::string> names_;  // The one asked for, and what it is an alias of.
  DnsAnswer answer_;
  std::optional<std::uint32_t> ttl_;
  std::size_t of_type_ = 0;
};

}  // namespace

DnsAnswer read_dns_answer(std::string_view bytes, const DnsQuestion& question) {
  constexpr unsigned ok = 0, no_such_name = 3;
  const auto message = read_message(bytes);
  if (!message || !message->is_answer)
    return failed("sent a malformed answer for " + question.name);
  if (message->is_cut) return failed("sent an answer for " + question.name + " that is cut off");
  if (message->code == no_such_name) return {.kind = DnsAnswer::Kind::no_such_name};
  if (message->code != ok) return failed(refusal(message->code, question.name));
  return Collector(bytes, *message, question).collect();
}

std::string dns_address_text(std::string_view bytes) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const int family = bytes.size() == 4 ? AF_INET : AF_INET6;
  if (!::inet_ntop(family, bytes.data(), text.data(), text.size())) return {};
  return text.data();
}

std::string DnsServer::text() const {
  const std::string_view bytes(reinterpret_cast<const char*>(address.data()), is_ipv6 ? 16 : 4);
  std::string host = dns_address_text(bytes);
  if (port == 53) return host;
  return (is_ipv6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Result<DnsServer> parse_dns_server(std::string_view text) {
  const auto wrong = [&] {
    return bad_input("'" + std::string(text.substr(0, 60)) +
                     "' is not the address of a DNS server; one looks like 10.0.0.2, 10.0.0.2:5353 "
                     "or [::1]:53");
  };
  std::string_view host = text;
  std::string_view port;
  const bool is_bracketed = text.starts_with('[');
  if (is_bracketed) {
    const auto end = text.find(']');
    if (end == std::string_view::npos) return wrong();
    host = text.substr(1, end - 1);
    port = text.substr(end + 1);
    if (!port.empty() && !port.starts_with(':')) return wrong();
  } else if (std::ranges::count(text, ':') == 1) {
    host = text.substr(0, text.find(':'));
    port = text.substr(text.find(':'));
  }
  DnsServer server;
  const std::string host_text(host);
  server.is_ipv6 = host.find(':') != std::string_view::npos;
  if (server.is_ipv6 != is_bracketed && is_bracketed) return wrong();
  if (::inet_pton(server.is_ipv6 ? AF_INET6 : AF_INET, host_text.c_str(), server.address.data()) !=
      1)
    return wrong();
  if (port.empty()) return server;
  port.remove_prefix(1);
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), server.port);
  if (error != std::errc() || end != port.data() + port.size() || server.port == 0) return wrong();
  return server;
}

std::string dns_name_problem(std::string_view name) {
  if (name.ends_with('.')) name.remove_suffix(1);
  if (name.empty()) return "must be a name";
  if (name.size() > 253) return "is longer than 253 characters";
  if (!std::ranges::all_of(name, is_host_character))
    return "may hold letters, digits, '-', '_' and dots";
  std::size_t label = 0;
  for (std::size_t at = 0; at <= name.size(); ++at) {
    if (at < name.size() && name[at] != '.') continue;
    if (at == label) return "has nothing between two dots";
    if (at - label > 63) return "has a part of more than 63 characters";
    label = at + 1;
  }
  const auto is_number = [](char c) { return (c >= '0' && c <= '9') || c == '.'; };
  if (std::ranges::all_of(name, is_number)) return "must be a name, not an address";
  return {};
}

std::vector<std::string> dns_search_names(const std::string& name,
                                          const std::vector<std::string>& domains, int dots) {
  if (name.ends_with('.') || domains.empty()) return {name};
  std::vector<std::string> names;
  for (const std::string& domain : domains) {
    std::string full = name;
    full.append(".").append(domain);
    if (dns_name_problem(full).empty()) names.push_back(std::move(full));
  }
  const bool is_first = std::ranges::count(name, '.') >= dots;
  names.insert(is_first ? names.begin() : names.end(), name);
  return names;
}

}  // namespace muster::discovery
