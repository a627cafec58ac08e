// SPDX-License-Identifier: MIT
//
// A discovery strategy of your own: this one finds its peers in an environment variable.  It needs
// nothing of muster but the library `discovery`; the transport below is a toy that prints, which is
// also how a program brings a real one.
//
//   PEERS="b@127.0.0.1 c@127.0.0.1" custom_strategy
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdlib>
#include <iostream>
#include <sstream>

#include "muster/discovery/poller.h"
#include "muster/discovery/strategy_registry.h"
#include "muster/discovery/topologies.h"

using namespace muster;
using namespace muster::discovery;
namespace asio = boost::asio;

// The strategy: who exists now?  A list, or an Error, which means "unknown" and disconnects nobody.
asio::awaitable<Result<PeerSet>> peers_in(std::string variable) {
  const char* value = std::getenv(variable.c_str());
  if (!value) co_return bad_input(variable + " is not set");
  PeerSet peers;
  std::istringstream words(value);
  for (std::string word; words >> word;) {
    auto name = NodeName::parse(word);
    if (!name) co_return name.error();
    peers.insert(Peer{.name = *name});
  }
  co_return peers;
}

// Its registration: from here on a file may say `strategy: environment`.
void add_environment_strategy(StrategyRegistry& registry) {
  add_poller(registry, "environment", [](Fields& options) -> DiscoverFunction {
    const auto variable = options.string("variable", "PEERS");
    return [variable] { return peers_in(variable); };
  });
}

// What a program with a transport of its own implements.
class PrintingTransport : public Plumbing {
 public:
  void connect(const Peer& peer, Duration /*within*/, Done done) override {
    std::cout << "connect to " << peer.name.text() << '\n';
    linked_.insert(peer.name);
    done(DialOutcome{});
  }
  void disconnect(const NodeName& name, Done done) override {
    std::cout << "disconnect from " << name.text() << '\n';
    linked_.erase(name);
    done(DialOutcome{});
  }
  std::set<NodeName> list_nodes() override { return linked_; }

 private:
  std::set<NodeName> linked_;
};

int main() {
  StrategyRegistry registry;
  add_environment_strategy(registry);
  const auto plan =
      plan_topology("mine", "environment", Settings::map({{"variable", "PEERS"}}), registry);
  const auto self = NodeName::parse("a@127.0.0.1");

  asio::io_context loop;
  PrintingTransport transport;
  bool found = false;
  Topologies::Options options;
  options.context.self = *self;
  options.on_pass = [&](const std::string& topology, const Pass& pass) {
    found = pass.kind != Pass::Kind::unknown;
    std::cout << topology << ": "
              << (found ? std::to_string(pass.peers.size()) + " found" : pass.reason) << '\n';
  };
  Topologies topologies(loop.get_executor(), transport, std::move(options));
  if (auto added = topologies.add(*plan); !added) {
    std::cerr << added.error().text() << '\n';
    return 2;
  }
  loop.run_for(std::chrono::milliseconds(500));  // A real program runs on.
  asio::co_spawn(loop, topologies.stop(), [](std::exception_ptr) {});
  loop.restart();
  loop.run();
  return found ? 0 : 1;
}
