// SPDX-License-Identifier: MIT
#include "peer_list.h"

#include <boost/asio/ip/address.hpp>

namespace muster::discovery {
namespace {

using Kind = Settings::Kind;

constexpr std::size_t max_peers = 10'000;
constexpr std::string_view blanks = " \t\r\n,";

void take_name(const Settings& place, std::string_view text, Peer peer, PeerList& list) {
  auto name = NodeName::parse(text);
  if (!name) {
    list.problems.add(place, name.error().text());
    return;
  }
  if (list.peers.size() >= max_peers) {
    list.problems.add(place, "a list holds at most " + std::to_string(max_peers) + " peers");
    return;
  }
  peer.name = std::move(*name);
  list.peers.insert(std::move(peer));
}

void take_map(const Settings& entry, PeerList& list) {
  const std::size_t before = list.problems.lines().size();
  Fields fields(entry, "peer", list.problems);
  fields.require("name");
  const std::string name = fields.string("name");
  Peer peer;
  peer.address = fields.string("address");
  peer.port = static_cast<std::uint16_t>(fields.integer("port", 0, 0, 65535));
  boost::system::error_code error;
  if (!peer.address.empty()) boost::asio::ip::make_address(peer.address, error);
  if (error)
    fields.reject("address", "must be an IP address, not '" + peer.address.substr(0, 60) + "'");
  fields.finish();
  // Half of it is of no use: where its port is unknown, its port mapper is asked at that address.
  if (list.problems.lines().size() == before) take_name(entry, name, std::move(peer), list);
}

void take_words(const Settings& entry, PeerList& list) {
  std::string_view rest = entry.text();
  while (true) {
    const auto begin = rest.find_first_not_of(blanks);
    if (begin == std::string_view::npos) return;
    rest.remove_prefix(begin);
    const auto end = std::min(rest.find_first_of(blanks), rest.size());
    take_name(entry, rest.substr(0, end), {}, list);
    rest.remove_prefix(end);
  }
}

}  // namespace

Result<PeerList> parse_peer_list(std::string_view text, const std::string& source) {
  const auto settings = Settings::parse(text, source);
  if (!settings) return settings.error();
  PeerList list;
  switch (settings->kind()) {
    case Kind::null:
      break;
    case Kind::scalar:
      take_words(*settings, list);
      break;
    case Kind::list:
      for (const Settings& entry : settings->items()) {
        if (entry.kind() == Kind::map)
          take_map(entry, list);
        else if (entry.kind() == Kind::scalar)
          take_name(entry, entry.text(), {}, list);
        else
          list.problems.add(entry, "an entry is a name or a map with a name");
      }
      break;
    case Kind::map:
      return bad_input(settings->where() + "must be a list of peers, not a map");
  }
  return list;
}

}  // namespace muster::discovery
