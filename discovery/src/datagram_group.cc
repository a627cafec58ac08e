// SPDX-License-Identifier: MIT
#include "datagram_group.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <cstring>

#include "task_group.h"

namespace muster::discovery {
namespace {

namespace asio = boost::asio;
using namespace asio::experimental::awaitable_operators;
using asio::ip::udp;
using boost::system::error_code;

// Between two looks at the interface, whatever the host's links and routes do.
constexpr Duration look_gap = std::chrono::milliseconds(50);

/// Sets options until one fails.
class Options {
 public:
  Options(udp::socket& socket, error_code& error) : socket_(socket), error_(error) {}

  template <class Value>
  Options& set(int level, int name, const Value& value) {
    if (!error_ && ::setsockopt(socket_.native_handle(), level, name, &value, sizeof value) != 0)
      error_ = error_code(errno, boost::system::generic_category());
    return *this;
  }

 private:
  udp::socket& socket_;
  error_code& error_;
};

void join_ipv4(Options options, const OpenGroup& group, const Way& way) {
  ip_mreqn join{};
  join.imr_multiaddr.s_addr = htonl(asio::ip::make_address_v4(group.address).to_uint());
  join.imr_ifindex = static_cast<int>(way.index);
  if (way.index != 0) join.imr_address.s_addr = htonl(way.source.to_v4().to_uint());
  options
      .set(IPPROTO_IP, IP_MULTICAST_ALL, 0)  // Nothing that other sockets of this host joined.
      .set(IPPROTO_IP, IP_MULTICAST_TTL, group.hops)
      .set(IPPROTO_IP, IP_MULTICAST_LOOP, 1)
      .set(IPPROTO_IP, IP_ADD_MEMBERSHIP, join)
      .set(IPPROTO_IP, IP_MULTICAST_IF, join);
}

void join_ipv6(Options options, const OpenGroup& group, const Way& way) {
  ipv6_mreq join{};
  const auto bytes = asio::ip::make_address_v6(group.address).to_bytes();
  std::memcpy(&join.ipv6mr_multiaddr, bytes.data(), bytes.size());
  join.ipv6mr_interface = way.index;
  options.set(IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0)
      .set(IPPROTO_IPV6, IPV6_MULTICAST_HOPS, group.hops)
      .set(IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 1)
      .set(IPPROTO_IPV6, IPV6_JOIN_GROUP, join)
      .set(IPPROTO_IPV6, IPV6_MULTICAST_IF, way.index);
}

void allow_broadcast(Options options, const Way& way) {
  // 255.255.255.255 has no route of its own; the index of the interface stands in network order.
  options.set(SOL_SOCKET, SO_BROADCAST, 1)
      .set(IPPROTO_IP, IP_MULTICAST_ALL, 0)
      .set(IPPROTO_IP, IP_UNICAST_IF, htonl(way.index));
}

bool is_same_way(const Result<Way>& one, const Result<Way>& other) {
  if (one && other) return *one == *other;
  return !one && !other && one.error().text() == other.error().text();
}

}  // namespace

Result<void> DatagramGroup::open(const OpenGroup& group) {
  ++opened_;
  error_code error;
  socket_.close(error);
  const auto failed = [&](const std::string& what) {
    const Error problem{error, what};
    socket_.close(error);
    return problem;
  };
  const auto way = find_way(group);
  if (!way) return way.error();
  const auto bind_to = asio::ip::make_address(group.bind, error);
  if (error) return failed("address " + group.bind);
  auto to = asio::ip::make_address(group.address, error);
  if (to.is_v6()) to = asio::ip::address_v6(to.to_v6().to_bytes(), way->index);
  to_ = {to, group.port};
  socket_.open(to_.protocol(), error);
  if (error) return failed("opening a socket");
  socket_.set_option(udp::socket::reuse_address(true), error);
  if (to.is_v6()) socket_.set_option(asio::ip::v6_only(true), error);
  socket_.non_blocking(true, error);
  socket_.bind({bind_to, group.port}, error);
  if (error) return failed("binding to " + group.bind + ":" + std::to_string(group.port));
  if (group.broadcast)
    allow_broadcast(Options(socket_, error), *way);
  else if (to.is_v6())
    join_ipv6(Options(socket_, error), group, *way);
  else
    join_ipv4(Options(socket_, error), group, *way);
  if (error) return failed("joining " + group.address + " on interface " + group.interface);
  return {};
}

void DatagramGroup::send(std::string_view datagram) {
  error_code lost;
  if (socket_.is_open()) socket_.send_to(asio::buffer(datagram), to_, 0, lost);
}

asio::awaitable<void> DatagramGroup::serve(OpenGroup group,
                                           std::function<void(Result<void>)> opened,
                                           std::function<void(std::string_view)> take,
                                           std::function<void()> changed) {
  InterfaceWatch interfaces(executor_);  // First, so that no change falls in between.
  const Result<Way> way = find_way(group);
  opened(open(group));
  co_await (receive(std::move(take)) && watch(group, way, interfaces, changed));
}

asio::awaitable<void> DatagramGroup::receive(std::function<void(std::string_view)> take) {
  std::array<char, 2048> bytes;  // Longer ones are cut, and malformed anyway.
  udp::endpoint from;
  for (const auto mine = opened_; mine == opened_ && socket_.is_open();) {
    const auto [error, size] =
        co_await socket_.async_receive_from(asio::buffer(bytes), from, await_tuple);
    if (error == asio::error::operation_aborted || error == asio::error::bad_descriptor) co_return;
    if (!error && mine == opened_) take(std::string_view(bytes.data(), size));
  }
}

asio::awaitable<void> DatagramGroup::watch(const OpenGroup& group, const Result<Way>& way_at_first,
                                           InterfaceWatch& interfaces,
                                           const std::function<void()>& changed) {
  asio::steady_timer pause(executor_);
  Result<Way> way = way_at_first;
  while (co_await interfaces.changed()) {
    Result<Way> way_now = find_way(group);
    const bool is_same = is_same_way(way, way_now);
    way = std::move(way_now);
    if (!is_same) changed();
    pause.expires_after(look_gap);
    const auto [error] = co_await pause.async_wait(await_tuple);
    if (error) co_return;
  }
}

}  // namespace muster::discovery
