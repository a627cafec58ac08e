// SPDX-License-Identifier: MIT
#include "muster/app/instance.h"

#include <algorithm>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstdlib>
#include <map>
#include <optional>

#include "muster/app/admin.h"
#include "muster/app/redis_port.h"
#include "muster/cache/cache.h"
#include "muster/discovery/port_mapper_wire.h"
#include "muster/discovery/topologies.h"
#include "muster/node/node.h"
#include "muster/unsplit/unsplit.h"

namespace muster::app {

namespace asio = boost::asio;

namespace {

node::NodeSettings node_settings(const Config& config) {
  node::NodeSettings settings;
  settings.name = config.name;
  settings.directory = config.dir;
  settings.cookie_file = config.cookie_file;
  settings.bind = config.bind;
  settings.link_port = config.link_port;
  settings.allow_faults = config.allow_fault_injection;
  return settings;
}

cache::CacheSettings cache_settings(const Config& config) {
  cache::CacheSettings settings;
  settings.tables = config.tables;
  settings.directory = config.dir;
  settings.machine.others_may_come =
      !config.connect.empty() ||
      std::any_of(config.topologies.begin(), config.topologies.end(),
                  [](const auto& plan) { return plan.enabled && plan.strategy != "none"; });
  return settings;
}

unsplit::UnsplitOptions unsplit_options(const Config& config) {
  unsplit::UnsplitOptions options;
  options.flush_tables = config.flush_tables;
  options.auto_initialize_cluster = config.auto_initialize_cluster;
  return options;
}

discovery::StrategyContext context_of(const Config& config, const node::Key& secret) {
  discovery::StrategyContext context;
  context.self = config.name;
  context.cookie.assign(secret.bytes.begin(), secret.bytes.end());
  context.bind_address = config.bind;
  context.mapper_port = port_mapper::default_port;
  if (const char* mapper = std::getenv("ERL_EPMD_PORT"))
    context.mapper_port = static_cast<std::uint16_t>(std::strtoul(mapper, nullptr, 10));
  if (const char* home = std::getenv("HOME")) context.home = home;
  return context;
}

}  // namespace

Result<discovery::StrategyContext> strategy_context(const Config& config) {
  const auto file = config.cookie_file.empty() ? node::default_cookie_file() : config.cookie_file;
  const auto cookie = node::Cookie::load_or_create(file);
  if (!cookie) return cookie.error();
  return context_of(config, cookie->derive("gossip"));
}

class Instance::Impl {
 public:
  Impl(asio::any_io_executor executor, Config config, Log log, std::function<void()> on_left)
      : config_(std::move(config)),
        log_(std::move(log)),
        on_left_(std::move(on_left)),
        node_(executor, node_settings(config_), log_),
        cache_(node_, cache_settings(config_), log_) {}

  asio::awaitable<Result<void>> start() {
    if (auto opened = co_await node_.open(); !opened) co_return opened;
    if (auto opened = co_await cache_.open(); !opened) co_return opened;
    if (config_.unsplit) unsplit_.emplace(cache_, unsplit_options(config_), log_);
    node_.on_event([this](Now, const node::NodeEvent& event) {
      if (!topologies_) return;
      if (event.kind == node::NodeEvent::Kind::left) topologies_->left(event.node.name);
      topologies_->links_changed();
    });
    // The ports listen first: a port in use is told before anybody hears of this node.
    if (auto ports = co_await on_strand(&Impl::open_ports); !ports) co_return ports;
    if (auto started = co_await node_.start(); !started) co_return started;
    if (auto started = co_await cache_.start(); !started) co_return started;
    co_return co_await on_strand(&Impl::discover);
  }

  asio::awaitable<Result<void>> wait_for_peers() {
    auto waiting = topologies_->wait_for(config_.wait_for, config_.wait_deadline);
    co_return co_await asio::co_spawn(node_.strand(), std::move(waiting), asio::use_awaitable);
  }

  asio::awaitable<Result<void>> reload(Config config) {
    config_.topologies = std::move(config.topologies);
    config_.connect = std::move(config.connect);
    co_return co_await on_strand(&Impl::discover);
  }

  asio::awaitable<void> stop(Leave leave) {
    co_await on_strand(&Impl::close_ports);
    if (topologies_) co_await on_strand(&Impl::stop_topologies);
    if (leave == Leave::yes) {
      const auto handed = co_await cache_.hand_off();
      if (!handed) log_.warn("leaving: {}", handed.error().text());
    }
    if (unsplit_) co_await unsplit_->stop();
    co_await cache_.stop();
    if (leave == Leave::yes) {
      const auto left = co_await node_.leave();
      if (!left) log_.warn("leaving: {}", left.error().text());
    }
    co_await node_.stop();
  }

  [[nodiscard]] Parts parts() {
    return {.node = &node_,
            .cache = &cache_,
            .unsplit = unsplit_ ? &*unsplit_ : nullptr,
            .topologies = topologies_ ? &*topologies_ : nullptr};
  }

  [[nodiscard]] std::vector<std::string> banner() const;

 private:
  /// Runs one of our steps on the node's strand.
  template <class T>
  asio::awaitable<T> on_strand(asio::awaitable<T> (Impl::*step)()) {
    auto work = (this->*step)();
    return asio::co_spawn(node_.strand(), std::move(work), asio::use_awaitable);
  }

  asio::awaitable<Result<void>> open_ports() {
    prepare_topologies();
    PortOptions options{.password_file = config_.password_file,
                        .show_keys = config_.show_keys,
                        .log = log_,
                        .on_left = on_left_,
                        .find_topology = [this](const auto& name) { return find_topology(name); }};
    if (config_.serve_http) {
      admin_.emplace(node_.strand(), parts(), options);
      const auto port = admin_->listen(config_.http.text());
      if (!port) co_return port.error();
      config_.http.port = *port;
    }
    if (config_.serve_redis) {
      redis_.emplace(node_.strand(), parts(), options);
      const auto port = redis_->listen(config_.redis->text());
      if (!port) co_return port.error();
      config_.redis->port = *port;
    }
    co_return Result<void>();
  }

  void prepare_topologies() {
    discovery::Topologies::Options options;
    const auto view = node_.view();
    options.context = context_of(config_, node_.derive("gossip"));
    options.context.boot_id = view->self.boot.value;
    options.context.link_address = view->advertised.address;
    options.context.link_port = view->advertised.port;
    options.log = log_;
    topologies_.emplace(node_.strand(), node_.plumbing(), std::move(options));
  }

  /// Brings the topologies that run in line with the configuration; those that were added by hand
  /// are left alone.
  asio::awaitable<Result<void>> discover() {
    auto plans = enabled_plans();
    if (!plans) co_return plans.error();
    std::vector<std::string> gone;
    for (const auto& [name, text] : configured_)
      if (!plans->contains(name) || plans->at(name).text != text) gone.push_back(name);
    for (const std::string& name : gone) {
      configured_.erase(name);
      (void)co_await topologies_->remove(name);  // Somebody may have removed it by hand.
    }
    Result<void> outcome;
    for (const auto& [name, plan] : *plans) {
      if (configured_.contains(name)) continue;
      auto added = topologies_->add(plan);
      if (added)
        configured_[name] = plan.text;
      else if (outcome)
        outcome = std::move(added);
    }
    co_return outcome;
  }

  /// In the file, read again, enabled there or not.
  [[nodiscard]] Result<discovery::TopologyPlan> find_topology(const std::string& name) const {
    if (config_.source.empty()) return bad_input("this node was started without a file");
    const auto file = Settings::load(config_.source);
    if (!file) return file.error();
    Problems problems;
    const Config config = read_config(*file, registry_, problems);
    if (!problems.empty()) return problems.error();
    std::vector<std::string> names;
    for (const auto& plan : config.topologies) {
      if (plan.name == name) return plan;
      names.push_back(plan.name);
    }
    return bad_input(config_.source + " has no topology '" + name + "'" +
                     did_you_mean(name, names));
  }

  [[nodiscard]] Result<std::map<std::string, discovery::TopologyPlan>> enabled_plans() const {
    std::map<std::string, discovery::TopologyPlan> plans;
    for (const auto& plan : config_.topologies)
      if (plan.enabled) plans[plan.name] = plan;
    if (config_.connect.empty()) return plans;
    // `connect:` is a static list that nobody else lists.
    std::vector<Settings> hosts;
    for (const NodeName& name : config_.connect) hosts.emplace_back(name.text());
    auto plan = discovery::plan_topology(
        "connect", "epmd", Settings::map({{"hosts", Settings::list(std::move(hosts))}}), registry_);
    if (!plan) return plan.error();
    plans[plan->name] = std::move(*plan);
    return plans;
  }

  asio::awaitable<void> close_ports() {
    if (redis_) co_await redis_->stop();
    if (admin_) co_await admin_->stop();
  }
  asio::awaitable<void> stop_topologies() { co_await topologies_->stop(); }

  Config config_;
  Log log_;
  std::function<void()> on_left_;
  discovery::StrategyRegistry registry_;
  node::Node node_;
  cache::Cache cache_;
  std::optional<unsplit::Unsplit> unsplit_;
  std::optional<discovery::Topologies> topologies_;
  std::map<std::string, std::string> configured_;  // Those of the configuration, with their texts.
  std::optional<Admin> admin_;
  std::optional<RedisPort> redis_;
};

std::vector<std::string> Instance::Impl::banner() const {
  const auto view = node_.view();
  std::string topologies;
  for (const auto& plan : config_.topologies)
    if (plan.enabled)
      topologies += (topologies.empty() ? "" : ", ") + plan.name + " (" + plan.strategy + ")";
  if (!config_.connect.empty())
    topologies += (topologies.empty() ? "" : ", ") + std::string("connect");
  std::vector<std::string> lines{
      "node        " + config_.name.text(),
      "links       " + view->advertised.address + ":" + std::to_string(view->advertised.port),
      "directory   " + std::filesystem::absolute(config_.dir).string(),
  };
  if (admin_) lines.push_back("http        http://" + config_.http.text() + "/");
  if (redis_) lines.push_back("redis       redis://" + config_.redis->text());
  lines.push_back("topologies  " + (topologies.empty() ? "none" : topologies));
  return lines;
}

Instance::Instance(asio::any_io_executor executor, Config config, Log log,
                   std::function<void()> on_left)
    : impl_(std::make_unique<Impl>(std::move(executor), std::move(config), std::move(log),
                                   std::move(on_left))) {}
Instance::~Instance() = default;
asio::awaitable<Result<void>> Instance::start() { return impl_->start(); }
asio::awaitable<Result<void>> Instance::wait_for_peers() { return impl_->wait_for_peers(); }
asio::awaitable<Result<void>> Instance::reload(Config config) {
  return impl_->reload(std::move(config));
}
asio::awaitable<void> Instance::stop(Leave leave) { return impl_->stop(leave); }
Parts Instance::parts() { return impl_->parts(); }
std::vector<std::string> Instance::banner() const { return impl_->banner(); }

}  // namespace muster::app
