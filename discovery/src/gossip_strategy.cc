// SPDX-License-Identifier: MIT
//
// The options of `gossip`.
#include <boost/asio/ip/address_v4.hpp>

#include "builtin_strategies.h"
#include "gossip_machine.h"

namespace muster::discovery {
namespace {

using namespace std::chrono_literals;
using Make = StrategyRegistry::Make;

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

void add_gossip_strategy(StrategyRegistry& registry) { registry.add("gossip", read_gossip); }

}  // namespace muster::discovery
