// SPDX-License-Identifier: MIT
// Untrusted: what a DNS server answers.  The first byte chooses what was asked, about web.test.
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "discovery/dns_packets.h"
#include "dns/dns_wire.h"

using namespace muster::discovery;

namespace {

std::string address_bytes(const std::string& text) {
  const auto server = parse_dns_server(text);
  assert(server && server->port == 53);
  return {reinterpret_cast<const char*>(server->address.data()), server->is_ipv6 ? 16u : 4u};
}

/// The same records, written plainly.
std::string write_again(const DnsAnswer& answer, const DnsQuestion& question) {
  test::DnsPacket packet{.name = question.name, .type = static_cast<unsigned>(question.type)};
  const auto ttl = std::chrono::duration_cast<std::chrono::seconds>(answer.ttl).count();
  const auto add = [&](std::string data) {
    packet.records.push_back(
        {question.name, packet.type, std::move(data), static_cast<std::uint32_t>(ttl)});
  };
  for (const std::string& address : answer.addresses) add(address_bytes(address));
  for (const DnsService& service : answer.services)
    add(test::dns_service(service.port, service.target, service.priority));
  return packet.bytes();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  constexpr DnsType types[] = {DnsType::ipv4, DnsType::ipv6, DnsType::service};
  const DnsQuestion question{"web.test", types[data[0] % 3]};
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const DnsAnswer answer = read_dns_answer(bytes, question);
  assert((answer.kind == DnsAnswer::Kind::failed) == !answer.why.empty());
  const std::size_t records = answer.addresses.size() + answer.services.size();
  assert((answer.kind == DnsAnswer::Kind::found) == (records > 0));
  assert(records <= most_dns_records);
  for (const DnsService& service : answer.services)
    assert(!service.target.empty() && service.target.size() < 254);
  if (records == 0) return 0;
  const DnsAnswer again = read_dns_answer(write_again(answer, question), question);
  assert(again.kind == DnsAnswer::Kind::found && again.skipped == 0);
  assert(again.addresses == answer.addresses && again.services == answer.services);
  assert(again.ttl == answer.ttl);
  return 0;
}
