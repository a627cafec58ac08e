// SPDX-License-Identifier: MIT
//
// A real HTTP/1.1 server, with TLS if wanted, on a port of its own of 127.0.0.1 or ::1.  What it
// answers is scripted by a function; a chunked answer may stay open and be continued by push().
//
//   HttpsServer server([](const HttpsServer::Request& request) {
//     return HttpsServer::Reply{.body = request.target == "/a" ? "1" : "2"};
//   }, {.tls = authority.issue()});
//   ... GET server.url() + "/a"; server.requests()[0].target ...
//
// Threads: it runs on one of its own, and calls the function there.  Errors: of a connection end
// that connection alone.  Stop: the destructor.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "discovery/test_certificates.h"

namespace muster::test {

class HttpsServer {
 public:
  struct Request {
    std::string method = {};
    std::string target = {};                          ///< Exactly as it came.
    std::map<std::string, std::string> headers = {};  ///< Names in lower case.
    std::string body = {};
    std::size_t connection = 0;  ///< From 1: which one it came on.
  };
  struct Reply {
    int status = 200;
    std::vector<std::pair<std::string, std::string>> headers = {};
    std::string body = {};                 ///< Sent with its length, unless there are ...
    std::vector<std::string> chunks = {};  ///< ... these.
    bool stays_open = false;               ///< After the chunks: more by push().
    std::string raw = {};                  ///< Instead of all: these bytes, then a close.
    bool breaks = false;                   ///< Instead of all: a close.
    bool closes = false;                   ///< After the answer, without having said so.
    std::chrono::milliseconds delay = {};  ///< Before it.
  };
  using Script = std::function<Reply(const Request&)>;
  struct Options {
    std::optional<Certificate> tls = {};
    std::string wants_client_of = {};  ///< PEM of the authority of clients; empty: asks for none.
    std::string address = "127.0.0.1";
    std::uint16_t port = 0;
  };

  explicit HttpsServer(Script script);
  HttpsServer(Script script, Options options);
  ~HttpsServer();

  [[nodiscard]] std::uint16_t port() const;
  [[nodiscard]] std::string url() const;  ///< "https://127.0.0.1:PORT".
  [[nodiscard]] std::vector<Request> requests() const;
  [[nodiscard]] std::vector<std::string> targets() const;  ///< "GET /a", in order.
  [[nodiscard]] std::size_t open_streams() const;

  // To all answers that stay open.
  void push(std::string chunk);
  void end_streams();      ///< As a chunked answer ends.
  void break_streams();    ///< In the middle.
  void close_idle_ones();  ///< All connections that wait for their next request.

 private:
  class Machinery;
  std::unique_ptr<Machinery> machinery_;
};

}  // namespace muster::test
