// SPDX-License-Identifier: MIT
// Opening a listening socket the way all of a node's ports are opened.
#pragma once

#include <boost/asio/ip/v6_only.hpp>

#include "asio_types.h"

namespace muster::node {

[[nodiscard]] inline error_code open_acceptor(Acceptor& acceptor, const tcp::endpoint& endpoint) {
  error_code error;
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(asio::socket_base::reuse_address(true), error);
  if (!error && endpoint.address().is_v6()) acceptor.set_option(asio::ip::v6_only(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  return error;
}

/// As on a host without IPv6.
[[nodiscard]] inline bool not_on_this_host(const error_code& error) {
  return error == boost::system::errc::address_not_available ||
         error == boost::system::errc::address_family_not_supported;
}

}  // namespace muster::node
