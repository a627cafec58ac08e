// SPDX-License-Identifier: MIT
//
// The smallest program that is a node and remembers: joins the node named on the command line, if
// any, writes one entry and reads it back.  Run it twice, in two terminals:
//
//   embed_cache a@127.0.0.1
//   embed_cache b@127.0.0.1 a@127.0.0.1
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <csignal>
#include <iostream>

#include "muster/cache/cache.h"
#include "muster/node/node.h"
#include "muster/unsplit/unsplit.h"

using namespace muster;
namespace asio = boost::asio;

asio::awaitable<Result<void>> greet(node::Node& node, cache::Cache& cache, std::string peer) {
  if (!peer.empty()) {
    auto name = NodeName::parse(peer);
    if (!name) co_return name.error();
    const Peer other{.name = *name};
    const auto outcome = co_await node.connect(other);
    if (!outcome.connected) co_return bad_input("not connected: " + outcome.reason);
  }
  if (auto ready = co_await cache.wait_for_tables(); !ready) co_return ready;
  const std::string self = node.view()->self.name.text();
  const cache::Key mine{"greeting", self};
  const auto written = co_await cache.put("session", mine, "from " + self);
  if (!written) co_return written.error();

  const cache::Pattern everybody{.parts = {"greeting", std::nullopt}};
  const auto greetings = co_await cache.all("session", everybody);
  if (!greetings) co_return greetings.error();
  for (const auto& [key, value] : *greetings) std::cout << value << std::endl;
  co_return Result<void>();
}

asio::awaitable<void> run(asio::io_context& loop, NodeName name, std::string peer, int& status) {
  const Log log([](Level, std::string_view line) { std::cerr << line << '\n'; }, Level::info);
  const auto directory = "muster-data/" + name.text();
  node::NodeSettings node_settings{.name = name, .directory = directory};
  node::Node node(loop.get_executor(), std::move(node_settings), log);
  cache::CacheSettings cache_settings;
  cache_settings.directory = directory;
  cache::Cache cache(node, std::move(cache_settings), log);

  // The order of a start: open from the bottom up, attach the healer, start from the bottom up.
  Result<void> done = co_await node.open();
  if (done) done = co_await cache.open();
  if (done) {
    unsplit::Unsplit unsplit(cache, {}, log);
    done = co_await node.start();
    if (done) done = co_await cache.start();
    if (done) done = co_await greet(node, cache, std::move(peer));
    if (done) {
      asio::signal_set signals(loop, SIGINT, SIGTERM);
      co_await signals.async_wait(asio::use_awaitable);
    }
    co_await unsplit.stop();
  }
  co_await cache.stop();
  co_await node.stop();
  if (!done) std::cerr << done.error().text() << '\n';
  status = done ? 0 : 1;
}

int main(int count, char** words) {
  auto name = count > 1 ? NodeName::parse(words[1]) : bad_input("usage: embed_cache NAME [PEER]");
  if (!name) {
    std::cerr << name.error().text() << '\n';
    return 2;
  }
  asio::io_context loop;
  int status = 1;
  asio::co_spawn(loop, run(loop, *name, count > 2 ? words[2] : "", status),
                 [](std::exception_ptr failure) {
                   if (failure) std::rethrow_exception(failure);
                 });
  loop.run();
  return status;
}
