// SPDX-License-Identifier: MIT
#include "http/host_lookup.h"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <memory>

#include "task_group.h"

namespace muster::discovery {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr std::size_t most_addresses = 16;

struct Lookup {
  explicit Lookup(const asio::any_io_executor& executor)
      : resolver(executor), done(executor, asio::steady_timer::time_point::max()) {}

  tcp::resolver resolver;
  asio::steady_timer done;
  error_code error = asio::error::operation_aborted;
  Endpoints endpoints;
};

}  // namespace

asio::awaitable<Result<Endpoints>> look_up_host(std::string host, std::uint16_t port) {
  error_code not_literal;
  const auto address = asio::ip::make_address(host, not_literal);
  if (!not_literal) {
    Endpoints literal;
    literal.emplace_back(address, port);
    co_return literal;
  }
  const auto executor = co_await asio::this_coro::executor;
  const auto lookup = std::make_shared<Lookup>(executor);
  auto keep = [lookup](error_code error, const tcp::resolver::results_type& found) {
    lookup->error = error;
    for (const auto& entry : found)
      if (lookup->endpoints.size() < most_addresses) lookup->endpoints.push_back(entry.endpoint());
    lookup->done.cancel();
  };
  lookup->resolver.async_resolve(host, std::to_string(port), std::move(keep));
  co_await lookup->done.async_wait(await_tuple);
  lookup->resolver.cancel();  // One that still waits for its turn is then left out.
  if (lookup->error) co_return Error{lookup->error, host};
  co_return lookup->endpoints;
}

}  // namespace muster::discovery
