// SPDX-License-Identifier: MIT
#include "network_interface.h"

#include <ifaddrs.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <boost/asio/ip/udp.hpp>
#include <cerrno>
#include <memory>
#include <optional>

#include "task_group.h"

namespace muster::discovery {
namespace {

namespace asio = boost::asio;
using asio::ip::udp;
using boost::system::error_code;

struct Interface {
  std::string name = {};
  unsigned index = 0;
  unsigned flags = 0;
  std::optional<asio::ip::address_v4> ipv4 = {};
};

std::optional<asio::ip::address> address_of(const ifaddrs& entry) {
  if (!entry.ifa_addr) return std::nullopt;
  if (entry.ifa_addr->sa_family == AF_INET) {
    const auto* ipv4 = reinterpret_cast<const sockaddr_in*>(entry.ifa_addr);
    return asio::ip::address_v4(ntohl(ipv4->sin_addr.s_addr));
  }
  if (entry.ifa_addr->sa_family != AF_INET6) return std::nullopt;
  const auto* ipv6 = reinterpret_cast<const sockaddr_in6*>(entry.ifa_addr);
  asio::ip::address_v6::bytes_type bytes;
  std::copy(std::begin(ipv6->sin6_addr.s6_addr), std::end(ipv6->sin6_addr.s6_addr), bytes.begin());
  return asio::ip::address_v6(bytes);
}

/// All of 127.0.0.0/8 is on the loopback interface, though it has one address.
bool is_loopback_range(const asio::ip::address& address) {
  return address.is_v4() && address.is_loopback();
}

struct FreeInterfaces {
  void operator()(ifaddrs* list) const { ::freeifaddrs(list); }
};

std::optional<Interface> find_interface(const std::string& named) {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return std::nullopt;
  const std::unique_ptr<ifaddrs, FreeInterfaces> owner(list);
  error_code no_address;
  auto wanted = asio::ip::make_address(named, no_address);
  std::uint64_t scope = 0;  // Link-local addresses may be those of several interfaces.
  if (wanted.is_v6()) {
    scope = wanted.to_v6().scope_id();
    wanted = asio::ip::address_v6(wanted.to_v6().to_bytes());
  }

  Interface found;
  for (const ifaddrs* entry = list; entry && found.name.empty(); entry = entry->ifa_next) {
    const bool is_it = no_address ? named == entry->ifa_name
                       : is_loopback_range(wanted)
                           ? (entry->ifa_flags & IFF_LOOPBACK) != 0
                           : address_of(*entry) == std::optional<asio::ip::address>(wanted);
    if (is_it && (scope == 0 || ::if_nametoindex(entry->ifa_name) == scope))
      found = {.name = entry->ifa_name, .flags = entry->ifa_flags};
  }
  if (found.name.empty()) return std::nullopt;
  found.index = ::if_nametoindex(found.name.c_str());
  if (!no_address && wanted.is_v4()) found.ipv4 = wanted.to_v4();
  for (const ifaddrs* entry = list; entry && !found.ipv4; entry = entry->ifa_next) {
    const auto address = address_of(*entry);
    if (found.name == entry->ifa_name && address && address->is_v4()) found.ipv4 = address->to_v4();
  }
  return found;
}

/// The source address that the system takes for it: a socket that is connected sends nothing yet.
Result<asio::ip::address> source_for(asio::ip::address to, std::uint16_t port, unsigned index) {
  if (to.is_v6()) to = asio::ip::address_v6(to.to_v6().to_bytes(), index);
  const udp::endpoint endpoint(to, port);
  const int probe = ::socket(endpoint.protocol().family(), SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (probe < 0)
    return Error{error_code(errno, boost::system::generic_category()), "opening a socket"};
  const int on = 1;
  (void)::setsockopt(probe, SOL_SOCKET, SO_BROADCAST, &on, sizeof on);
  sockaddr_storage local{};
  socklen_t size = sizeof local;
  const bool is_found =
      ::connect(probe, endpoint.data(), static_cast<socklen_t>(endpoint.size())) == 0 &&
      ::getsockname(probe, reinterpret_cast<sockaddr*>(&local), &size) == 0;
  const error_code error(errno, boost::system::generic_category());
  ::close(probe);
  if (!is_found) return Error{error, "there is no way to " + to.to_string()};
  udp::endpoint source;
  source.resize(size);
  std::copy_n(reinterpret_cast<const char*>(&local), size, reinterpret_cast<char*>(source.data()));
  return source.address();
}

}  // namespace

Result<Way> find_way(const OpenGroup& group) {
  error_code error;
  const auto to = asio::ip::make_address(group.address, error);
  if (error) return Error{error, "group " + group.address};
  const auto named = asio::ip::make_address(group.interface, error);
  if (group.interface.empty() || (!error && named.is_unspecified())) {
    auto source = source_for(to, group.port, 0);
    if (!source) return source.error();
    return Way{.source = *source};
  }
  const auto interface = find_interface(group.interface);
  if (!interface) return bad_input("interface " + group.interface + " is not there");
  if ((interface->flags & IFF_UP) == 0)
    return bad_input("interface " + interface->name + " is down");
  Way way{.index = interface->index, .is_running = (interface->flags & IFF_RUNNING) != 0};
  if (to.is_v4()) {
    if (!interface->ipv4) return bad_input("interface " + interface->name + " has no IPv4 address");
    way.source = *interface->ipv4;
    return way;
  }
  auto source = source_for(to, group.port, interface->index);
  if (!source)
    return Error{source.error().code, source.error().detail + " on interface " + interface->name};
  way.source = *source;
  return way;
}

InterfaceWatch::InterfaceWatch(const asio::any_io_executor& executor) : netlink_(executor) {
  const int netlink = ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
  if (netlink < 0) return;
  sockaddr_nl to{};
  to.nl_family = AF_NETLINK;
  to.nl_groups =
      RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE;
  if (::bind(netlink, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) {
    ::close(netlink);
    return;
  }
  netlink_.assign(netlink);
}

asio::awaitable<bool> InterfaceWatch::changed() {
  if (!netlink_.is_open()) co_return false;
  const auto [error] =
      co_await netlink_.async_wait(asio::posix::stream_descriptor::wait_read, await_tuple);
  if (error) co_return false;
  // What exactly has changed is read from the system; too many changes to be told are one, too.
  std::array<char, 8192> told;
  for (int most = 1000; most > 0; --most) {
    const ssize_t size = ::recv(netlink_.native_handle(), told.data(), told.size(), 0);
    if (size <= 0 && errno != ENOBUFS && errno != EINTR) break;
  }
  co_return true;
}

}  // namespace muster::discovery
