// SPDX-License-Identifier: MIT
// Verbs that need no running node.
#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/json.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>

#include "muster/app/instance.h"
#include "muster/discovery/port_mapper_client.h"
#include "muster/discovery/topologies.h"
#include "options.h"
#include "program_log.h"
#include "text_table.h"

namespace muster::app::cli {

namespace asio = boost::asio;
namespace json = boost::json;
using namespace std::chrono_literals;

int check(const Options& options) {
  const discovery::StrategyRegistry registry;
  Problems problems;
  const auto file = Settings::load(options.file);
  if (!file) return fail(file.error().text());
  Config config = read_config(*file, registry, problems);
  config.source = options.file;
  finish(config, registry, problems);
  for (const std::string& line : problems.lines()) std::fprintf(stderr, "%s\n", line.c_str());
  if (!problems.empty()) return failure;
  std::size_t enabled = 0;
  for (const auto& plan : config.topologies) enabled += plan.enabled ? 1 : 0;
  std::printf("%s is right: %zu topologies (%zu enabled), %zu tables\n", options.file.c_str(),
              config.topologies.size(), enabled, config.tables.size());
  return success;
}

namespace {

/// Dials nobody: to look is all that is asked for.
class LookOnly final : public discovery::Plumbing {
 public:
  void connect(const Peer&, Duration, Done done) override {
    done({discovery::DialProblem::not_part_of_network, "only looking"});
  }
  void disconnect(const NodeName&, Done done) override { done({}); }
  [[nodiscard]] std::set<NodeName> list_nodes() override { return {}; }
};

/// The last pass of each topology, and whether it was told.
class Seen {
 public:
  Seen(const Config& config, const Options& options) : options_(options) {
    for (const auto& plan : config.topologies)
      if (plan.enabled) topologies_[plan.name].strategy = plan.strategy;
  }

  void take(const std::string& topology, const discovery::Pass& pass) {
    Topology& seen = topologies_[topology];
    const bool same =
        seen.pass && seen.pass->peers == pass.peers && seen.pass->reason == pass.reason;
    seen.pass = pass;
    if (!same && !options_.once) print(topology, seen);
  }
  [[nodiscard]] bool all_reported() const {
    return std::ranges::all_of(topologies_,
                               [](const auto& each) { return each.second.pass.has_value(); });
  }
  /// Failure where one does not know its peers.
  [[nodiscard]] int print_all() const {
    int status = success;
    for (const auto& [name, seen] : topologies_) {
      print(name, seen);
      if (!seen.pass || seen.pass->kind == discovery::Pass::Kind::unknown) status = failure;
    }
    return status;
  }

 private:
  struct Topology {
    std::string strategy = {};
    std::optional<discovery::Pass> pass = {};
  };

  void print(const std::string& name, const Topology& seen) const {
    static const discovery::Pass none = discovery::Pass::unknown("it has not answered yet");
    const discovery::Pass& pass = seen.pass ? *seen.pass : none;
    if (options_.json)
      print_json(name, seen.strategy, pass);
    else
      print_text(name, pass);
    std::fflush(stdout);
  }
  static void print_json(const std::string& name, const std::string& strategy,
                         const discovery::Pass& pass) {
    json::array peers;
    for (const Peer& peer : pass.peers)
      peers.push_back(
          json::object{{"name", peer.name.text()}, {"address", peer.address}, {"port", peer.port}});
    const json::object line{
        {"topology", name},
        {"strategy", strategy},
        {"known", pass.kind != discovery::Pass::Kind::unknown},
        {"reason", pass.reason},
        {"took_us", std::chrono::floor<std::chrono::microseconds>(pass.took).count()},
        {"peers", std::move(peers)}};
    std::puts(json::serialize(line).c_str());
  }
  static void print_text(const std::string& name, const discovery::Pass& pass) {
    const std::string took =
        pass.took == Duration::zero() ? "" : fmt::format("  [{:.1f} ms]", milliseconds(pass.took));
    if (pass.kind == discovery::Pass::Kind::unknown) {
      std::printf("%s: unknown: %s%s\n", name.c_str(), pass.reason.c_str(), took.c_str());
      return;
    }
    std::string names;
    for (const Peer& peer : pass.peers)
      names += " " + peer.name.text() +
               (peer.port == 0 ? "" : " (" + peer.address + ":" + std::to_string(peer.port) + ")");
    const std::string but = pass.reason.empty() ? "" : "  (" + pass.reason + ")";
    std::printf("%s:%s%s%s\n", name.c_str(), names.empty() ? " nobody" : names.c_str(),
                took.c_str(), but.c_str());
  }
  static double milliseconds(Duration value) {
    return std::chrono::duration<double, std::milli>(value).count();
  }

  const Options& options_;
  std::map<std::string, Topology> topologies_;
};

/// Three intervals of gossip, and until all have answered at least once.
asio::awaitable<void> listen_once(const Seen& seen, asio::any_io_executor executor) {
  constexpr Duration listen_for = 3500ms;
  constexpr Duration at_most = 15s;
  constexpr Duration step = 100ms;
  asio::steady_timer timer(executor);
  for (Duration waited{}; waited < at_most; waited += step) {
    if (waited >= listen_for && seen.all_reported()) break;
    timer.expires_after(step);
    co_await timer.async_wait(asio::use_awaitable);
  }
}

asio::awaitable<void> look(const Options& options, const Config& config, const Seen& seen,
                           discovery::Topologies& topologies, asio::signal_set& signals,
                           int& status) {
  for (const auto& plan : config.topologies) {
    if (!plan.enabled) continue;
    const auto added = topologies.add(plan);
    if (!added) status = fail(added.error().text());
  }
  boost::system::error_code ignored;
  if (options.once) {
    co_await listen_once(seen, signals.get_executor());
    status = std::max(status, seen.print_all());
  } else {
    co_await signals.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  co_await topologies.stop();
  signals.cancel(ignored);
}

}  // namespace

int discover(const Options& options) {
  const auto config = configure(options);
  if (!config) return failure;
  auto context = strategy_context(*config);
  if (!context) return fail(context.error().text());
  asio::io_context loop(1);
  asio::signal_set signals(loop, SIGTERM, SIGINT);
  LookOnly plumbing;
  Seen seen(*config, options);
  discovery::Topologies::Options look_options;
  look_options.context = std::move(*context);
  look_options.context.listens_only = true;
  look_options.log = program_log(Level::error, config->log_format);
  look_options.on_pass = [&](const std::string& topology, const discovery::Pass& pass) {
    seen.take(topology, pass);
  };
  discovery::Topologies topologies(loop.get_executor(), plumbing, std::move(look_options));
  int status = success;
  asio::co_spawn(loop, look(options, *config, seen, topologies, signals, status),
                 [](std::exception_ptr error) {
                   if (error) std::rethrow_exception(error);
                 });
  loop.run();
  return status;
}

namespace {

asio::awaitable<void> ask_names(std::string host, std::uint16_t mapper_port,
                                Result<port_mapper::NamesAnswer>& answer) {
  answer = co_await port_mapper::names(std::move(host), mapper_port, 3s);
}

}  // namespace

int names(const Options& options) {
  std::uint16_t mapper_port = port_mapper::default_port;
  if (const char* variable = std::getenv("ERL_EPMD_PORT"))
    mapper_port = static_cast<std::uint16_t>(std::strtoul(variable, nullptr, 10));
  asio::io_context loop(1);
  Result<port_mapper::NamesAnswer> answer = bad_input("no answer");
  asio::co_spawn(loop,
                 ask_names(options.host.empty() ? "127.0.0.1" : options.host, mapper_port, answer),
                 [](std::exception_ptr error) {
                   if (error) std::rethrow_exception(error);
                 });
  loop.run();
  if (!answer) return fail(answer.error().text());
  json::array all;
  TextTable rows({"NAME", "PORT"});
  for (const port_mapper::NamedPort& each : answer->names) {
    all.push_back(json::object{{"name", each.name}, {"port", each.port}});
    rows.add({each.name, std::to_string(each.port)});
  }
  if (options.json)
    std::puts(json::serialize(json::object{{"names", std::move(all)}}).c_str());
  else
    rows.print();
  return success;
}

}  // namespace muster::app::cli
