// SPDX-License-Identifier: MIT
//
// The simplest clients of a node's ports: blocking, 5 s at most.
//
// Errors: a reply that starts with '!' says what went wrong below the protocol.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <cstdint>
#include <string>
#include <vector>

namespace muster::testing {

class RedisClient {
 public:
  explicit RedisClient(std::uint16_t port);
  /// "+OK", "-ERR ...", ":1" as they came; of a bulk string its bytes; "(nil)"; of an array its
  /// elements, one a line.
  std::string ask(const std::vector<std::string>& command);
  /// The halves of ask().
  bool send(const std::vector<std::string>& command);
  std::string read_reply();

 private:
  boost::asio::ip::tcp::iostream stream_;
};

struct HttpReply {
  int status = 0;  ///< 0: no answer.
  std::string headers;
  std::string body;
};
HttpReply http_get(std::uint16_t port, const std::string& path, const std::string& cookie = {});
HttpReply http_post(std::uint16_t port, const std::string& path, const std::string& type,
                    const std::string& body);

}  // namespace muster::testing
