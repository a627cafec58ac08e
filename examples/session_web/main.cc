// SPDX-License-Identifier: MIT
//
// session_web [FILE] --sname NAME | --name NAME@HOST  [--port N] [--dir DIRECTORY]
//             [--topology NAME] [--cookie-file FILE] [--allow-fault-injection]
//
// FILE is a configuration of muster (YAML); without one, nodes find each other by gossip.  The
// environment variable PORT stands for --port; the node's own page and command line use the port
// after it.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <map>

#include "muster/cache/huge_pages.h"
#include "server.h"

namespace {

namespace app = muster::app;
namespace asio = boost::asio;

constexpr std::string_view usage =
    "usage: session_web [FILE] --sname NAME | --name NAME@HOST [--port N] [--dir DIRECTORY]\n"
    "                   [--topology NAME] [--cookie-file FILE] [--allow-fault-injection]\n";

struct Arguments {
  std::string file;
  app::Overrides overrides;
};

std::optional<Arguments> parse(int count, char** words) {
  Arguments arguments;
  auto& overrides = arguments.overrides;
  const std::map<std::string_view, std::optional<std::string>*> options{
      {"--name", &overrides.name},         {"--sname", &overrides.sname},
      {"--port", &overrides.port},         {"--dir", &overrides.dir},
      {"--topology", &overrides.topology}, {"--cookie-file", &overrides.cookie_file},
  };
  if (const char* port = std::getenv("PORT")) overrides.port = port;
  for (int i = 1; i < count; ++i) {
    const std::string_view word = words[i];
    const auto option = options.find(word);
    if (word == "--allow-fault-injection") {
      overrides.allow_fault_injection = true;
    } else if (option != options.end() && i + 1 < count) {
      *option->second = words[++i];
    } else if (!word.starts_with('-') && arguments.file.empty()) {
      arguments.file = word;
    } else {
      return std::nullopt;
    }
  }
  return arguments;
}

muster::Result<app::Config> configure(const Arguments& arguments) {
  const muster::discovery::StrategyRegistry registry;
  muster::Problems problems;
  muster::Settings settings;
  if (!arguments.file.empty()) {
    auto loaded = muster::Settings::load(arguments.file);
    if (!loaded) return loaded.error();
    settings = std::move(*loaded);
  }
  auto config = app::read_config(settings, registry, problems);
  app::apply(arguments.overrides, app::Origin::flag, config, problems);
  app::finish(config, registry, problems);
  if (!problems.empty()) return problems.error();
  return config;
}

asio::awaitable<bool> serve(asio::io_context& loop, app::Config config, muster::Log log) {
  asio::signal_set signals(loop, SIGINT, SIGTERM);
  session_web::Server server(loop, std::move(config), log);
  const auto started = co_await server.start();
  if (started) {
    co_await signals.async_wait(asio::use_awaitable);
  } else {
    log.error("{}", started.error().text());
  }
  co_await server.stop();
  co_return started.has_value();
}

void write_line(muster::Level level, std::string_view line) {
  constexpr std::string_view names[] = {"debug", "info", "warn", "error"};
  std::cerr << names[static_cast<int>(level)] << ": " << line << '\n';
}

}  // namespace

int main(int count, char** words) {
  const auto arguments = parse(count, words);
  if (!arguments) {
    std::cerr << usage;
    return 2;
  }
  auto config = configure(*arguments);
  if (!config) {
    std::cerr << config.error().text() << '\n';
    return 2;
  }
  muster::cache::use_huge_pages(words);
  asio::io_context loop;
  bool served = false;
  asio::co_spawn(loop,
                 serve(loop, std::move(*config), muster::Log(write_line, muster::Level::info)),
                 [&](std::exception_ptr failure, bool result) {
                   if (failure) std::rethrow_exception(failure);
                   served = result;
                 });
  loop.run();
  return served ? 0 : 1;
}
