// SPDX-License-Identifier: MIT
//
// The options of `gossip`.
#include <algorithm>
#include <boost/asio/ip/address.hpp>

#include "builtin_strategies.h"
#include "gossip_machine.h"

namespace muster::discovery {
namespace {

using namespace std::chrono_literals;
using Make = StrategyRegistry::Make;
using boost::asio::ip::make_address;

constexpr std::size_t longest_interface_name = 15;  // Of Linux.

bool is_address(const std::string& text) {
  boost::system::error_code error;
  const auto address = make_address(text, error);
  // The scope of an address is multicast_if's to say.
  return !error && (address.is_v4() || address.to_v6().scope_id() == 0);
}

std::string read_address(Fields& options, std::string_view key, std::string_view otherwise) {
  std::string text = options.string(key, otherwise);
  if (text.empty() || is_address(text)) return text;
  options.reject(key, "must be an IPv4 or IPv6 address, not '" + text.substr(0, 60) + "'");
  return std::string(otherwise);
}

std::string read_interface(Fields& options) {
  std::string text = options.string("multicast_if");
  boost::system::error_code error;
  make_address(text, error);
  const bool is_name = !text.empty() && text.size() <= longest_interface_name &&
                       std::ranges::none_of(text, [](char c) { return c <= ' ' || c == '/'; });
  if (text.empty() || !error || is_name) return text;
  options.reject("multicast_if",
                 "must be the name of an interface (eth0) or one of its addresses, not '" +
                     text.substr(0, 60) + "'");
  return {};
}

std::vector<std::string> read_secrets(Fields& options) {
  std::vector<std::string> secrets = options.strings("secret");
  if (secrets.size() == 1 && secrets.front().empty()) return {};
  if (std::ranges::find(secrets, "") != secrets.end())
    options.reject("secret", "holds an empty one");
  return secrets;
}

/// Where the socket is bound: by default to all of the group's family.
std::string read_bind(Fields& options, const std::string& group) {
  const std::string any = make_address(group).is_v6() ? "::" : "0.0.0.0";
  std::string bind = read_address(options, "if_addr", any);
  return bind.empty() || make_address(bind).is_unspecified() ? any : bind;
}

void check_gossip(Fields& options, const GossipMachine::Options& read) {
  const auto group = make_address(read.group);
  if (read.broadcast && group.is_v6())
    options.reject("multicast_addr", "must be IPv4 for broadcast_only: IPv6 has no broadcasts");
  else if (!read.broadcast && !group.is_multicast())
    options.reject("multicast_addr",
                   "must be a multicast address (224.0.0.0 to 239.255.255.255, ff00::/8) unless "
                   "broadcast_only is set, not '" +
                       read.group + "'");
  if (!make_address(read.bind).is_unspecified() && read.bind != read.group)
    options.reject("if_addr",
                   "must be 0.0.0.0 (::) or the group itself: Linux delivers no multicast and no "
                   "broadcast to a socket that is bound to " +
                       read.bind + "; multicast_if chooses the interface");
}

Make read_gossip(Fields& options) {
  using Format = GossipMachine::Format;
  GossipMachine::Options read;
  read.format = options.choice("format", Format::muster,
                               {{"muster", Format::muster}, {"libcluster", Format::libcluster}});
  read.port = static_cast<std::uint16_t>(options.integer("port", read.port, 1, 65535));
  if (std::string group = read_address(options, "multicast_addr", read.group); !group.empty())
    read.group = std::move(group);
  read.bind = read_bind(options, read.group);
  read.interface = read_interface(options);
  read.hops = static_cast<int>(options.integer("multicast_ttl", read.hops, 0, 255));
  read.broadcast = options.boolean("broadcast_only", false);
  read.secrets = read_secrets(options);
  read.interval = options.duration("interval", read.interval, 20ms, 1h);
  check_gossip(options, read);
  return [=](StrategySink& sink, const StrategyContext& context) {
    return std::make_unique<GossipMachine>(read, context, sink);
  };
}

}  // namespace

void add_gossip_strategy(StrategyRegistry& registry) { registry.add("gossip", read_gossip); }

}  // namespace muster::discovery
