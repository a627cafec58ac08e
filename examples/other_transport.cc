// SPDX-License-Identifier: MIT
//
// muster's discovery with a transport that is not muster's: here lines of text over plain TCP.  The
// three calls of Plumbing (connect, disconnect, list_nodes) are all that such a program implements;
// finding peers, dialling them again and again, counting topologies and logging stay muster's.
//
//   other_transport a@127.0.0.1 &
//   other_transport b@127.0.0.1 &        # They find each other by gossip on loopback.
//
// Plain TCP has no secrets: this is an example of plumbing, not of a transport.
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <iostream>
#include <list>

#include "muster/discovery/strategy_registry.h"
#include "muster/discovery/topologies.h"

using namespace muster;
using namespace muster::discovery;
namespace asio = boost::asio;
using asio::ip::tcp;
using namespace asio::experimental::awaitable_operators;
constexpr auto await_tuple = asio::as_tuple(asio::use_awaitable);

void rethrow(const std::exception_ptr& error) {
  if (error) std::rethrow_exception(error);
}

/// Each connection begins with a line from either side: its name.  A peer is linked while there is
/// a connection with it, whoever dialled.
class LineTransport : public Plumbing {
 public:
  LineTransport(asio::io_context& loop, NodeName self)
      : loop_(loop),
        self_(std::move(self)),
        acceptor_(loop, {asio::ip::address_v4::loopback(), 0}) {
    asio::co_spawn(loop_, accept(), rethrow);
  }

  [[nodiscard]] std::uint16_t port() const { return acceptor_.local_endpoint().port(); }
  std::function<void()> on_change;

  void connect(const Peer& peer, Duration within, Done done) override {
    asio::co_spawn(loop_, dial(peer, within, std::move(done)), rethrow);
  }
  void disconnect(const NodeName& name, Done done) override {
    for (Link& link : links_)
      if (link.peer == name) link.socket.close();
    done({});
  }
  std::set<NodeName> list_nodes() override {
    std::set<NodeName> names;
    for (const Link& link : links_)
      if (!link.peer.empty()) names.insert(link.peer);
    return names;
  }

  void stop() {
    acceptor_.close();
    for (Link& link : links_) link.socket.close();
  }

 private:
  struct Link {
    explicit Link(tcp::socket connected) : socket(std::move(connected)) {}
    tcp::socket socket;
    std::string input;
    NodeName peer;  // Empty until it has said its name.
  };

  asio::awaitable<void> accept() {
    while (true) {
      tcp::socket socket(loop_);
      const auto [error] = co_await acceptor_.async_accept(socket, await_tuple);
      if (error) co_return;
      const auto link = links_.emplace(links_.end(), std::move(socket));
      asio::co_spawn(loop_, serve(link, {}), rethrow);
    }
  }

  asio::awaitable<void> dial(Peer peer, Duration within, Done done) {
    tcp::socket socket(loop_);
    asio::steady_timer deadline(loop_, within);
    const tcp::endpoint there(asio::ip::make_address(peer.address), peer.port);
    const auto first =
        co_await (socket.async_connect(there, await_tuple) || deadline.async_wait(await_tuple));
    boost::system::error_code error = asio::error::timed_out;
    if (first.index() == 0) error = std::get<0>(std::get<0>(first));
    if (error) {
      done(DialOutcome::failed(Error{error, peer.address + ":" + std::to_string(peer.port)}));
      co_return;
    }
    const auto link = links_.emplace(links_.end(), std::move(socket));
    co_await serve(link, std::move(done));
  }

  /// Says our name, hears the peer's, and stays until the connection ends.
  asio::awaitable<void> serve(std::list<Link>::iterator link, Done done) {
    const std::string greeting = self_.text() + "\n";
    co_await asio::async_write(link->socket, asio::buffer(greeting), await_tuple);
    const auto input = asio::dynamic_buffer(link->input, 512);
    const auto [failed, size] =
        co_await asio::async_read_until(link->socket, input, '\n', await_tuple);
    const auto name = NodeName::parse(link->input.substr(0, size == 0 ? 0 : size - 1));
    if (!failed && name) {
      link->peer = *name;
      std::cout << "linked with " << name->text() << std::endl;
      if (done) done({});
      if (on_change) on_change();
      std::string ignored(256, '\0');
      while (true) {  // What it says is not the point here; its end is.
        const auto [ended, count] =
            co_await link->socket.async_read_some(asio::buffer(ignored), await_tuple);
        if (ended) break;
      }
      std::cout << "no longer linked with " << name->text() << std::endl;
    } else if (done) {
      done({DialProblem::other, "it did not say its name"});
    }
    links_.erase(link);
    if (on_change) on_change();
  }

  asio::io_context& loop_;
  const NodeName self_;
  tcp::acceptor acceptor_;
  std::list<Link> links_;
};

int main(int count, char** words) {
  const auto self = NodeName::parse(count == 2 ? words[1] : "");
  if (!self) {
    std::cerr << "usage: other_transport NAME@HOST\n" << self.error().text() << '\n';
    return 2;
  }
  asio::io_context loop;
  LineTransport transport(loop, *self);
  Topologies::Options options;
  options.context.self = *self;
  options.context.cookie = "of this example: who finds whom is no secret";
  options.context.boot_id = transport.port();
  options.context.link_port = transport.port();
  options.log = Log([](Level, std::string_view line) { std::cerr << line << '\n'; }, Level::info);
  Topologies topologies(loop.get_executor(), transport, std::move(options));
  transport.on_change = [&] { topologies.links_changed(); };

  const StrategyRegistry registry;
  const auto plan = plan_topology(
      "local", "gossip", Settings::map({{"multicast_if", "127.0.0.1"}, {"port", 45893}}), registry);
  if (const auto added = topologies.add(*plan); !added) {
    std::cerr << added.error().text() << '\n';
    return 1;
  }
  asio::signal_set signals(loop, SIGINT, SIGTERM);
  signals.async_wait([&](const auto&, int) {
    asio::co_spawn(loop, topologies.stop(), [&](const std::exception_ptr&) { transport.stop(); });
  });
  loop.run();
}
