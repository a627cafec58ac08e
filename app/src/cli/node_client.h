// SPDX-License-Identifier: MIT
//
// The command line's way to a node: one HTTP request, one answer, blocking.  Errors: sentences.
#pragma once

#include <boost/json/value.hpp>
#include <string>
#include <string_view>

#include "options.h"

namespace muster::app::cli {

struct NodeReply {
  unsigned status = 0;
  std::string body;
};

class NodeClient {
 public:
  /// Finds the node: --port, MUSTER_URL, MUSTER_PORT, or 127.0.0.1:4000.
  static Result<NodeClient> find(const Options& options);

  /// What the node answered, whatever its status; an Error where it did not answer.
  Result<NodeReply> ask(std::string_view method, std::string_view target,
                        std::string_view body = {});
  /// The JSON of a 200; else the node's words as an Error.
  Result<boost::json::value> json(std::string_view method, std::string_view target,
                                  std::string_view body = {});

 private:
  std::string host_ = "127.0.0.1";
  std::string port_ = "4000";
  std::string password_;
};

/// Of a write: why it is not known to be done as asked, with who has it; empty: it is.
[[nodiscard]] std::string not_acknowledged(const NodeReply& reply);
/// The "error" of a body, or the body.
[[nodiscard]] std::string error_of(const NodeReply& reply);

}  // namespace muster::app::cli
