// SPDX-License-Identifier: MIT
// A strategy of somebody else's, and its test with the installed kit.
#include <cstdlib>
#include <iostream>

#include "muster/discovery/poller.h"
#include "muster/discovery/test_kit.h"

using namespace muster;
using namespace muster::discovery;
using namespace std::chrono_literals;

boost::asio::awaitable<Result<PeerSet>> ask(std::string query) {
  PeerSet peers;
  peers.insert(Peer{NodeName::parse(query + "@10.0.0.1").value()});
  co_return peers;
}

void expect(bool what, const char* text) {
  std::cout << (what ? "ok      " : "FAILED  ") << text << '\n';
  if (!what) std::exit(1);
}

int main() {
  StrategyRegistry registry;
  add_poller(registry, "my_cloud", [](Fields& options) -> DiscoverFunction {
    options.require("query");
    const auto query = options.string("query");
    return [query] { return ask(query); };
  });
  test::StrategyWorld mine("my_cloud", Settings::map({{"query", "web"}}), registry);
  mine.run(12s);
  expect(mine.passes().size() == 3, "three passes in 12 s of virtual time");
  expect(mine.names() == std::vector<std::string>{"web@10.0.0.1"}, "it finds its peer");

  test::StrategyWorld dns("dns_poll", Settings::map({{"query", "web"}, {"node_basename", "a"}}));
  LookedUp found;
  found.kind = LookedUp::Kind::found;
  found.addresses = {"10.0.0.1", "10.0.0.2"};
  dns.dns("web", found);
  dns.run(1s);
  expect(dns.names() == std::vector<std::string>({"a@10.0.0.1", "a@10.0.0.2"}),
         "scripted DNS is asked");
}
