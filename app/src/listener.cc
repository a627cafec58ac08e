// SPDX-License-Identifier: MIT
#include "listener.h"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cassert>

namespace muster::app {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

Listener::Listener(asio::any_io_executor executor, Accepted accepted)
    : executor_(executor), acceptor_(executor), pause_(executor), accepted_(std::move(accepted)) {}

Listener::~Listener() { assert(!accepting_); }

Result<std::uint16_t> Listener::open(const Endpoint& endpoint, std::string_view flag) {
  error_code error;
  const tcp::endpoint where(asio::ip::make_address(endpoint.address, error), endpoint.port);
  if (!error) acceptor_.open(where.protocol(), error);
  if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor_.bind(where, error);
  if (!error) acceptor_.listen(511, error);
  if (error) {
    error_code ignored;
    acceptor_.close(ignored);
    std::string detail = "cannot listen on " + endpoint.text();
    if (error == asio::error::address_in_use)
      detail += ": the port is in use; choose another one with " + std::string(flag);
    if (error == asio::error::address_in_use) return bad_input(std::move(detail));
    return Error{error, std::move(detail)};
  }
  accepting_ = true;
  accept();
  return acceptor_.local_endpoint(error).port();
}

void Listener::accept() {
  acceptor_.async_accept(executor_, [this](error_code error, tcp::socket socket) {
    if (!acceptor_.is_open()) {
      accepting_ = false;
      pause_.cancel();
      return;
    }
    if (!error) {
      accepted_(std::move(socket));
      return accept();
    }
    pause_.expires_after(std::chrono::milliseconds(100));
    pause_.async_wait([this](error_code) {
      if (acceptor_.is_open()) return accept();
      accepting_ = false;
    });
  });
}

asio::awaitable<void> Listener::close() {
  error_code ignored;
  acceptor_.close(ignored);
  pause_.cancel();
  while (accepting_) {
    asio::steady_timer turn(executor_, std::chrono::milliseconds(1));
    co_await turn.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
}

}  // namespace muster::app
