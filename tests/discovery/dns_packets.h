// SPDX-License-Identifier: MIT
//
// Writes DNS answers, right and wrong ones, for tests; names are never compressed unless a test
// does it by hand.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace muster::discovery::test {

inline std::string dns_number16(unsigned value) {
  return {static_cast<char>(value >> 8), static_cast<char>(value)};
}

inline std::string dns_number32(std::uint32_t value) {
  return dns_number16(value >> 16) + dns_number16(value & 0xffffu);
}

inline std::string dns_name(std::string_view text) {
  std::string bytes;
  while (!text.empty()) {
    const auto label = text.substr(0, text.find('.'));
    bytes += static_cast<char>(label.size());
    bytes += label;
    text.remove_prefix(std::min(text.size(), label.size() + 1));
  }
  return bytes + '\0';
}

struct DnsRecord {
  std::string owner;
  unsigned type = 1;
  std::string data;
  std::uint32_t ttl = 60;
  unsigned class_of = 1;

  [[nodiscard]] std::string bytes() const {
    return dns_name(owner) + dns_number16(type) + dns_number16(class_of) + dns_number32(ttl) +
           dns_number16(static_cast<unsigned>(data.size())) + data;
  }
};

inline std::string dns_service(unsigned port, std::string_view target, unsigned priority = 0) {
  return dns_number16(priority) + dns_number16(0) + dns_number16(port) + dns_name(target);
}

struct DnsPacket {
  unsigned id = 0;
  unsigned flags = 0x8580;  ///< An answer, by the zone's owner, who also asks others; no error.
  std::string name = "web.test";
  unsigned type = 1;
  std::vector<DnsRecord> records = {};

  [[nodiscard]] std::string bytes() const {
    std::string all = dns_number16(id) + dns_number16(flags) + dns_number16(1) +
                      dns_number16(static_cast<unsigned>(records.size())) + dns_number32(0) +
                      dns_name(name) + dns_number16(type) + dns_number16(1);
    for (const DnsRecord& record : records) all += record.bytes();
    return all;
  }
};

}  // namespace muster::discovery::test
