// SPDX-License-Identifier: MIT
//
// Performs HttpRequests of strategies: http and https, with deadline and bounds.  A connection that
// the server keeps open is used again for the same origin and trust, so that a poll does not redo
// TLS each time; at most 4 wait, each for at most 30 s.
//
// When a connection was used before and the server closed it meanwhile, a request that may be
// repeated is sent once more, on a fresh one.
//
// Threads: one strand.  Errors: in the answers; they name the origin and the reason, never a header
// or a body.  Stop: cancel what performs, then stop().
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "http/http_connection.h"
#include "http/http_response_reader.h"
#include "muster/discovery/strategy_machine.h"
#include "task_group.h"

namespace muster::discovery {

class HttpClient {
 public:
  using Take = std::function<void(const Answer&)>;

  explicit HttpClient(const boost::asio::any_io_executor& executor);

  /// Until the answer, or the stream, has ended.
  boost::asio::awaitable<void> perform(HttpRequest request, Take take);
  boost::asio::awaitable<void> stop();

 private:
  struct Exchange;
  struct Idle {
    std::unique_ptr<HttpConnection> connection;
    Instant since;
  };

  Result<std::shared_ptr<TlsTrust>> trust_for(const HttpRequest& request);
  void forget_if_old(const std::shared_ptr<TlsTrust>& trust);
  std::unique_ptr<HttpConnection> take_idle(const Exchange& exchange);
  void put_back(Exchange& exchange);
  boost::asio::awaitable<void> close_idle_ones();

  boost::asio::awaitable<Result<void>> fetch(Exchange& exchange);
  boost::asio::awaitable<Result<void>> fetch_once(Exchange& exchange);
  boost::asio::awaitable<Result<void>> fetch_within(Exchange& exchange);
  boost::asio::awaitable<Result<void>> read_stream(Exchange& exchange);

  std::deque<Idle> idle_;  // Oldest first.
  std::deque<std::shared_ptr<TlsTrust>> trusts_;
  boost::asio::steady_timer timer_;
  TaskGroup tasks_;
};

}  // namespace muster::discovery
