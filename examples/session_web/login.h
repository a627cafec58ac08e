// SPDX-License-Identifier: MIT
//
// The application: sign in, see who you are and which node says so, renew, sign out.
//
//   GET /         a page for people          POST /sign-in   form: user, password ("demo")
//   GET /whoami   "ada a@host" for scripts   POST /renew     a new token for the same session
//   GET /healthz  200 when this node may     POST /sign-out
//                 answer (for HAProxy)
#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <string>

#include "sessions.h"
#include "web_server.h"

namespace session_web {

class Login {
 public:
  /// `ready` tells whether this node's copy of the sessions may be read.
  Login(Sessions& sessions, std::string node, std::function<bool()> ready)
      : sessions_(sessions), node_(std::move(node)), ready_(std::move(ready)) {}

  asio::awaitable<Response> handle(const Request& request);

 private:
  asio::awaitable<Response> route(const Request& request);
  asio::awaitable<Response> sign_in(const Request& request);
  asio::awaitable<Response> renew(const Request& request);
  asio::awaitable<Response> sign_out(const Request& request);
  asio::awaitable<Response> home(const Request& request);
  asio::awaitable<Response> who_am_i(const Request& request);

  Sessions& sessions_;
  std::string node_;
  std::function<bool()> ready_;
};

}  // namespace session_web
