// SPDX-License-Identifier: MIT
//
// Who is signed in: a random token per session, kept in the table `session` of the cache that every
// web server of the cluster shares.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <optional>
#include <string>

#include "muster/cache/cache.h"
#include "muster/discovery/result.h"

namespace session_web {

class Sessions {
 public:
  explicit Sessions(muster::cache::Cache& cache) : cache_(cache) {}

  /// The new session's token: 128 random bits.
  boost::asio::awaitable<muster::Result<std::string>> begin(std::string user);
  /// Nobody for an unknown token; an Error only where this node cannot know.
  boost::asio::awaitable<muster::Result<std::optional<std::string>>> user_of(std::string token);
  /// A new token for the same user; the old one ends in the same operation, so that no node ever
  /// sees both or neither.
  boost::asio::awaitable<muster::Result<std::string>> renew(std::string token, std::string user);
  boost::asio::awaitable<muster::Result<void>> end(std::string token);

 private:
  muster::cache::Cache& cache_;
};

}  // namespace session_web
