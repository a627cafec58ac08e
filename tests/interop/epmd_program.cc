// SPDX-License-Identifier: MIT
//
// The port mapper that our nodes serve, behind the command line of epmd, so that Erlang's own test
// suite of epmd (epmd_suite beside this file) can run it:
//
//   epmd [-port N] [-packet_timeout SECONDS] [-relaxed_command_check] [-delay_write N]
//   epmd [-port N] -names
//
// It listens on the loopback addresses alone.  -delay_write is taken and changes nothing: our
// answer to a registration needs no help to meet a connection that was reset before.  Like epmd it
// ends with 0 when one runs already, and when it is killed by a request.
#include <boost/asio/co_spawn.hpp>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "muster/discovery/port_mapper_client.h"
#include "port_mapper/server.h"

namespace muster::node {
namespace {

struct Words {
  std::uint16_t port = port_mapper::default_port;
  bool names = false;
  PortMapperServer::Options server;
};

std::optional<Words> read(const std::vector<std::string_view>& words) {
  Words read;
  for (std::size_t at = 0; at < words.size(); ++at) {
    const std::string_view word = words[at];
    const auto number = [&] { return std::atol(std::string(words[++at]).c_str()); };
    const bool has_more = at + 1 < words.size();
    if (word == "-names") {
      read.names = true;
    } else if (word == "-relaxed_command_check") {
      read.server.relaxed_command_check = true;
    } else if (word == "-port" && has_more) {
      read.port = static_cast<std::uint16_t>(number());
    } else if (word == "-packet_timeout" && has_more) {
      read.server.deadline = std::chrono::seconds(number());
    } else if (word == "-delay_write" && has_more) {
      ++at;
    } else {
      std::fprintf(stderr, "epmd: what is %s?\n", std::string(word).c_str());
      return std::nullopt;
    }
  }
  return read;
}

int print_names(asio::io_context& io, std::uint16_t port) {
  int status = 1;
  auto asked = port_mapper::names("127.0.0.1", port, std::chrono::seconds(5));
  const auto print = [&](const std::exception_ptr&, const Result<port_mapper::NamesAnswer>& all) {
    if (!all) {
      std::fprintf(stderr, "epmd: Cannot connect to local epmd\n");
      return;
    }
    std::string text =
        "epmd: up and running on port " + std::to_string(all->mapper_port) + " with data:\n";
    for (const auto& entry : all->names)
      text += "name " + entry.name + " at port " + std::to_string(entry.port) + "\n";
    std::fwrite(text.data(), 1, text.size(), stdout);
    status = 0;
  };
  asio::co_spawn(io, std::move(asked), print);
  io.run();
  return status;
}

int serve(asio::io_context& io, Words words) {
  const Strand strand(io.get_executor());
  std::optional<PortMapperServer> server;
  words.server.on_kill = [&] {
    asio::co_spawn(strand, server->stop(), [&](const std::exception_ptr&) { io.stop(); });
  };
  server.emplace(strand, Log(), std::move(words.server));
  const auto listening = server->listen(
      {asio::ip::address_v4::loopback(), asio::ip::address_v6::loopback()}, words.port);
  if (!listening) {
    std::fprintf(stderr, "epmd: %s\n", listening.error().text().c_str());
    return listening.error().code == boost::system::errc::address_in_use ? 0 : 1;
  }
  io.run();
  return 0;
}

}  // namespace
}  // namespace muster::node

int main(int count, char** arguments) {
  const auto words = muster::node::read({arguments + 1, arguments + count});
  if (!words) return 1;
  boost::asio::io_context io(1);
  if (words->names) return muster::node::print_names(io, words->port);
  return muster::node::serve(io, *words);
}
