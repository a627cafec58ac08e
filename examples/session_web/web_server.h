// SPDX-License-Identifier: MIT
//
// A small web server on Boost.Beast: hands each request to one function and sends what it returns.
//
// Threads: one; everything runs on the executor given.  Bounds: 256 connections, 8 KiB of headers,
// 4 KiB of body, 10 s for a request to arrive.  Stop: stop() ends when no handler runs any more.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "muster/discovery/result.h"

namespace session_web {

namespace asio = boost::asio;

struct Request {
  std::string method;
  std::string path;
  std::string cookies;
  std::string body;
};

struct Response {
  explicit Response(unsigned code, std::string text = {}) : status(code), body(std::move(text)) {}

  unsigned status;
  std::string body;
  std::string content_type = "text/html; charset=utf-8";
  std::vector<std::pair<std::string, std::string>> headers;
};

class WebServer {
 public:
  using Handler = std::function<asio::awaitable<Response>(const Request&)>;

  WebServer(asio::any_io_executor executor, Handler handler);
  ~WebServer();

  /// An Error where the port is taken.
  muster::Result<void> listen(const std::string& address, std::uint16_t port);
  asio::awaitable<void> stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace session_web
