// SPDX-License-Identifier: MIT
//
// Asio types bound to the node's strand, so that every completion runs on it without being asked
// to.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/ip/basic_resolver.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>

namespace muster::node {

namespace asio = boost::asio;
using boost::system::error_code;
using tcp = asio::ip::tcp;

using Strand = asio::strand<asio::any_io_executor>;
using Socket = asio::basic_stream_socket<tcp, Strand>;
using Acceptor = asio::basic_socket_acceptor<tcp, Strand>;
using Resolver = asio::ip::basic_resolver<tcp, Strand>;
using Timer = asio::basic_waitable_timer<std::chrono::steady_clock,
                                         asio::wait_traits<std::chrono::steady_clock>, Strand>;

constexpr auto await_tuple = asio::as_tuple(asio::use_awaitable);

}  // namespace muster::node
