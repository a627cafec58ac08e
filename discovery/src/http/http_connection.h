// SPDX-License-Identifier: MIT
//
// One connection to an HTTP server, with TLS where the URL says https; the server's name or
// address is verified always.
//
// Threads: one strand.  Errors: name origin and reason.  Stop: cancel the coroutine; the destructor
// closes at once, without a farewell of TLS (HTTP says itself where an answer ends).
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "http/http_url.h"
#include "http/tls_trust.h"
#include "muster/discovery/time.h"

namespace muster::discovery {

class HttpConnection {
 public:
  /// `trust` for https only.  Each address of the host gets its share of `within`; the caller
  /// cancels what takes longer.
  static boost::asio::awaitable<Result<std::unique_ptr<HttpConnection>>> open(
      HttpUrl url, std::shared_ptr<TlsTrust> trust, Duration within);

  boost::asio::awaitable<Result<void>> write(std::string_view bytes);
  /// Nothing at the end.  What it returns is overwritten by the next read.
  boost::asio::awaitable<Result<std::string_view>> read_some();

  /// Whether the server has neither closed it nor said anything unasked.
  [[nodiscard]] bool is_quiet();
  [[nodiscard]] const std::string& origin() const { return url_.origin; }
  [[nodiscard]] const std::shared_ptr<TlsTrust>& trust() const { return trust_; }

  HttpConnection(HttpUrl url, std::shared_ptr<TlsTrust> trust,
                 const boost::asio::any_io_executor& executor);

 private:
  boost::asio::awaitable<Result<void>> connect(Duration within);
  boost::asio::awaitable<Result<void>> shake_hands();
  [[nodiscard]] Error failed(const boost::system::error_code& error) const;

  const HttpUrl url_;
  const std::shared_ptr<TlsTrust> trust_;
  boost::asio::ip::tcp::socket socket_;
  std::optional<boost::asio::ssl::stream<boost::asio::ip::tcp::socket&>> tls_;
  std::string connected_to_;  // The address, where the host is a name.
  std::string buffer_;
};

}  // namespace muster::discovery
