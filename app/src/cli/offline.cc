// SPDX-License-Identifier: MIT
// Verbs that need no running node.
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

void print_pass(const std::string& topology, const discovery::Pass& pass, bool as_json) {
  const bool unknown = pass.kind == discovery::Pass::Kind::unknown;
  if (as_json) {
    json::array peers;
    for (const Peer& peer : pass.peers)
      peers.push_back(
          json::object{{"name", peer.name.text()}, {"address", peer.address}, {"port", peer.port}});
    const json::object line{{"topology", topology},
                            {"known", !unknown},
                            {"reason", pass.reason},
                            {"peers", std::move(peers)}};
    std::puts(json::serialize(line).c_str());
  } else if (unknown) {
    std::printf("%s: unknown: %s\n", topology.c_str(), pass.reason.c_str());
  } else {
    std::string names;
    for (const Peer& peer : pass.peers)
      names += " " + peer.name.text() +
               (peer.port == 0 ? "" : " (" + peer.address + ":" + std::to_string(peer.port) + ")");
    std::printf("%s:%s\n", topology.c_str(), names.empty() ? " nobody" : names.c_str());
  }
  std::fflush(stdout);
}

asio::awaitable<void> look(const Options& options, const Config& config,
                           discovery::Topologies& topologies, asio::signal_set& signals,
                           int& status) {
  for (const auto& plan : config.topologies) {
    if (!plan.enabled) continue;
    const auto added = topologies.add(plan);
    if (!added) status = fail(added.error().text());
  }
  boost::system::error_code ignored;
  if (options.once) {
    // Three intervals of the slowest default, which is 1 s for gossip.
    asio::steady_timer timer(signals.get_executor(), 3500ms);
    co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
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
  discovery::Topologies::Options look_options;
  look_options.context = std::move(*context);
  look_options.log = program_log(Level::error, config->log_format);
  std::map<std::string, std::pair<PeerSet, std::string>> told;  // One line per change.
  look_options.on_pass = [&](const std::string& topology, const discovery::Pass& pass) {
    auto seen = std::pair(pass.peers, pass.reason);
    const auto before = told.find(topology);
    if (before != told.end() && before->second == seen) return;
    told[topology] = std::move(seen);
    print_pass(topology, pass, options.json);
  };
  discovery::Topologies topologies(loop.get_executor(), plumbing, std::move(look_options));
  int status = success;
  asio::co_spawn(loop, look(options, *config, topologies, signals, status),
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
