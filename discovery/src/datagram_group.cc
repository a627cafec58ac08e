// SPDX-License-Identifier: MIT
#include "datagram_group.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/multicast.hpp>

#include "task_group.h"

namespace muster::discovery {
namespace {

namespace asio = boost::asio;
using asio::ip::udp;
using boost::system::error_code;
namespace multicast = asio::ip::multicast;

/// Without it Linux also delivers what other sockets of this host joined.
void only_own_groups(udp::socket& socket) {
  const int off = 0;
  (void)::setsockopt(socket.native_handle(), IPPROTO_IP, IP_MULTICAST_ALL, &off, sizeof off);
}

error_code join(udp::socket& socket, const OpenGroup& group) {
  const auto address = asio::ip::make_address_v4(group.address);
  const auto interface = asio::ip::make_address_v4(group.interface);
  error_code error;
  only_own_groups(socket);
  socket.set_option(multicast::hops(group.hops), error);
  if (!error) socket.set_option(multicast::enable_loopback(true), error);
  if (!error) socket.set_option(multicast::join_group(address, interface), error);
  if (!error) socket.set_option(multicast::outbound_interface(interface), error);
  return error;
}

}  // namespace

Result<void> DatagramGroup::open(const OpenGroup& group) {
  error_code error;
  socket_.close(error);
  const auto failed = [&](const std::string& what) { return Error{error, what}; };
  const auto bind_to = asio::ip::make_address_v4(group.bind, error);
  if (error) return failed("address " + group.bind);
  asio::ip::make_address_v4(group.interface, error);
  if (error) return failed("interface " + group.interface);
  to_ = {asio::ip::make_address_v4(group.address, error), group.port};
  if (error) return failed("group " + group.address);
  socket_.open(udp::v4(), error);
  if (error) return failed("opening a socket");
  socket_.set_option(udp::socket::reuse_address(true), error);
  socket_.non_blocking(true, error);
  socket_.bind({bind_to, group.port}, error);
  if (error) return failed("binding to " + group.bind + ":" + std::to_string(group.port));
  if (group.broadcast)
    socket_.set_option(asio::socket_base::broadcast(true), error);
  else
    error = join(socket_, group);
  if (error) {
    const auto problem = failed("joining " + group.address + " on interface " + group.interface);
    socket_.close(error);
    return problem;
  }
  return {};
}

void DatagramGroup::send(std::string_view datagram) {
  error_code lost;
  if (socket_.is_open()) socket_.send_to(asio::buffer(datagram), to_, 0, lost);
}

asio::awaitable<void> DatagramGroup::receive(std::function<void(std::string_view)> take) {
  std::array<char, 2048> bytes;  // Longer ones are cut, and malformed anyway.
  udp::endpoint from;
  while (true) {
    const auto [error, size] =
        co_await socket_.async_receive_from(asio::buffer(bytes), from, await_tuple);
    if (error == asio::error::operation_aborted || error == asio::error::bad_descriptor) co_return;
    if (!error) take(std::string_view(bytes.data(), size));
  }
}

}  // namespace muster::discovery
