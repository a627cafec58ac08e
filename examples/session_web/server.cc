// SPDX-License-Identifier: MIT
#include "server.h"

#include <cstdlib>

#include "muster/discovery/port_mapper_wire.h"

namespace session_web {

using muster::Result;
namespace app = muster::app;
namespace cache = muster::cache;
namespace discovery = muster::discovery;
namespace node = muster::node;

namespace {

node::NodeSettings node_settings(const app::Config& config) {
  node::NodeSettings settings;
  settings.name = config.name;
  settings.directory = config.dir;
  settings.cookie_file = config.cookie_file;
  settings.bind = config.bind;
  settings.link_port = config.link_port;
  settings.allow_faults = config.allow_fault_injection;
  return settings;
}

cache::CacheSettings cache_settings(const app::Config& config) {
  cache::CacheSettings settings;
  settings.tables = config.tables;
  settings.directory = config.dir;
  return settings;
}

muster::unsplit::UnsplitOptions unsplit_options(const app::Config& config) {
  muster::unsplit::UnsplitOptions options;
  options.flush_tables = config.flush_tables;
  options.auto_initialize_cluster = config.auto_initialize_cluster;
  return options;
}

muster::Settings known_nodes(const std::vector<muster::NodeName>& names) {
  muster::Settings hosts;
  for (const auto& name : names) hosts.push_back(name.text());
  return muster::Settings::map({{"hosts", std::move(hosts)}});
}

}  // namespace

Server::Server(asio::io_context& loop, app::Config config, muster::Log log)
    : config_(std::move(config)),
      log_(std::move(log)),
      node_(loop.get_executor(), node_settings(config_), log_),
      cache_(node_, cache_settings(config_), log_),
      sessions_(cache_),
      login_(sessions_, config_.name.text(), [this] { return cache_.ready(); }),
      web_(loop.get_executor(), [this](const Request& request) { return login_.handle(request); }) {
}

asio::awaitable<Result<void>> Server::start() {
  if (auto started = co_await start_node(); !started) co_return started;
  if (auto discovering = discover(); !discovering) co_return discovering;
  co_return listen();
}

// From the bottom up; between open() and start() is the time to attach what listens from the first
// moment on.
asio::awaitable<Result<void>> Server::start_node() {
  if (auto opened = co_await node_.open(); !opened) co_return opened;
  if (auto opened = co_await cache_.open(); !opened) co_return opened;
  if (config_.unsplit) unsplit_.emplace(cache_, unsplit_options(config_), log_);
  node_.on_event([this](muster::Now, const node::NodeEvent&) {
    if (topologies_) topologies_->links_changed();
  });
  if (auto started = co_await node_.start(); !started) co_return started;
  co_return co_await cache_.start();
}

Result<void> Server::discover() {
  discovery::Topologies::Options options;
  options.context = context();
  options.log = log_;
  topologies_.emplace(node_.strand(), node_.plumbing(), std::move(options));
  auto plans = config_.topologies;
  if (!config_.connect.empty()) {  // Known by name: a list, so that lost ones are dialled again.
    auto plan = discovery::plan_topology("connect", "epmd", known_nodes(config_.connect),
                                         discovery::StrategyRegistry());
    if (!plan) return plan.error();
    plans.push_back(std::move(*plan));
  }
  for (const auto& plan : plans) {
    if (!plan.enabled) continue;
    if (auto added = topologies_->add(plan); !added) return added;
  }
  return {};
}

Result<void> Server::listen() {
  const auto port = config_.http.port;
  if (auto listening = web_.listen(config_.http.address, port); !listening) return listening;
  // The command line and the live page of muster work on this program, too: the port after ours.
  admin_.emplace(node_.strand(),
                 app::Parts{.node = &node_,
                            .cache = &cache_,
                            .unsplit = unsplit_ ? &*unsplit_ : nullptr,
                            .topologies = &*topologies_},
                 app::PortOptions{.log = log_});
  const app::Endpoint endpoint{config_.http.address, static_cast<std::uint16_t>(port + 1)};
  if (auto listening = admin_->listen(endpoint.text()); !listening) return listening.error();
  log_.info("web server on http://{}/, its node on http://{}/", config_.http.text(),
            endpoint.text());
  return {};
}

// What strategies may want to know of us.
discovery::StrategyContext Server::context() const {
  const auto view = node_.view();
  const auto secret = node_.derive("gossip");
  discovery::StrategyContext context;
  context.self = config_.name;
  context.cookie.assign(secret.bytes.begin(), secret.bytes.end());
  context.boot_id = view->self.boot.value;
  context.bind_address = config_.bind;
  context.link_address = view->advertised.address;
  context.link_port = view->advertised.port;
  const char* mapper = std::getenv("ERL_EPMD_PORT");
  if (mapper) context.mapper_port = static_cast<std::uint16_t>(std::strtoul(mapper, nullptr, 10));
  const char* home = std::getenv("HOME");
  if (home) context.home = home;
  return context;
}

// From the top down; each may be stopped whether it was started or not.
asio::awaitable<void> Server::stop() {
  co_await web_.stop();
  if (admin_) co_await admin_->stop();
  if (topologies_) co_await topologies_->stop();
  (void)co_await cache_.hand_off();
  if (unsplit_) co_await unsplit_->stop();
  co_await cache_.stop();
  (void)co_await node_.leave();
  co_await node_.stop();
}

}  // namespace session_web
