// SPDX-License-Identifier: MIT
#include "builtin_strategies.h"

#include <boost/asio/ip/address_v4.hpp>

#include "erlang_hosts_machine.h"
#include "gossip_machine.h"
#include "static_list_machine.h"

namespace muster::discovery {
namespace {

using namespace std::chrono_literals;
using Make = StrategyRegistry::Make;

constexpr Duration least_period = 10ms;

Make read_epmd(Fields& options) {
  PeerSet peers;
  (void)options.strings("hosts");  // Reports what is no text.
  const Settings* hosts = options.find("hosts");
  const auto take = [&](const Settings& host) {
    if (host.kind() != Settings::Kind::scalar) return;
    auto name = NodeName::parse(host.text());
    if (name)
      peers.insert(Peer{*name});
    else
      options.problems().add(host, options.path_of("hosts") + ": " + name.error().text());
  };
  if (hosts) take(*hosts);
  if (hosts)
    for (const Settings& host : hosts->items()) take(host);
  const Duration timeout = options.duration("timeout", forever, least_period);
  return [=](StrategySink& sink, const StrategyContext&) {
    return std::make_unique<StaticListMachine>(peers, timeout, sink);
  };
}

Make read_none(Fields&) {
  return [](StrategySink& sink, const StrategyContext&) {
    return std::make_unique<StaticListMachine>(PeerSet(), forever, sink);
  };
}

Make read_erlang_hosts(Fields& options) {
  const ErlangHostsMachine::Options read{
      .file = options.string("file"),
      .timeout = options.duration("timeout", forever, least_period)};
  return [=](StrategySink& sink, const StrategyContext& context) {
    return std::make_unique<ErlangHostsMachine>(read, context, sink);
  };
}

std::string read_address(Fields& options, std::string_view key, std::string_view otherwise) {
  std::string text = options.string(key, otherwise);
  boost::system::error_code error;
  if (!text.empty()) boost::asio::ip::make_address_v4(text, error);
  if (error) options.reject(key, "must be an IPv4 address, not '" + text.substr(0, 60) + "'");
  return error ? std::string(otherwise) : text;
}

bool is_multicast(const std::string& address) {
  return boost::asio::ip::make_address_v4(address).is_multicast();
}

void check_gossip(Fields& options, const GossipMachine::Options& read) {
  enum class Format { muster, libcluster };
  if (options.choice("format", Format::muster,
                     {{"muster", Format::muster}, {"libcluster", Format::libcluster}}) ==
      Format::libcluster)
    options.reject("format", "libcluster is not built yet; there is muster");
  if (read.broadcast) return;
  if (!is_multicast(read.group))
    options.reject("multicast_addr",
                   "must be a multicast address (224.0.0.0 to 239.255.255.255) unless "
                   "broadcast_only is set, not '" +
                       read.group + "'");
  if (read.bind != "0.0.0.0" && read.bind != read.group)
    options.reject("if_addr",
                   "must be 0.0.0.0 or the group itself: Linux delivers no multicast to a socket "
                   "that is bound to " +
                       read.bind + "; multicast_if chooses the interface");
}

Make read_gossip(Fields& options) {
  GossipMachine::Options read;
  read.port = static_cast<std::uint16_t>(options.integer("port", read.port, 1, 65535));
  read.bind = read_address(options, "if_addr", read.bind);
  read.group = read_address(options, "multicast_addr", read.group);
  read.interface = read_address(options, "multicast_if", "");
  read.hops = static_cast<int>(options.integer("multicast_ttl", read.hops, 0, 255));
  read.broadcast = options.boolean("broadcast_only", false);
  read.secret = options.string("secret");
  read.interval = options.duration("interval", read.interval, 20ms, 1h);
  check_gossip(options, read);
  return [=](StrategySink& sink, const StrategyContext& context) {
    return std::make_unique<GossipMachine>(read, context, sink);
  };
}

}  // namespace

void add_builtin_strategies(StrategyRegistry& registry) {
  registry.add("epmd", read_epmd);
  registry.add("erlang_hosts", read_erlang_hosts);
  registry.add("gossip", read_gossip);
  registry.add("none", read_none);
}

}  // namespace muster::discovery
