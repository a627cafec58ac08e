// SPDX-License-Identifier: MIT
#include "test_node.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_future.hpp>
#include <cstdlib>

#include "muster/cache/cache.h"

namespace muster::app {

namespace asio = boost::asio;

namespace {

Config test_config(const std::filesystem::path& directory) {
  Problems problems;
  const discovery::StrategyRegistry registry;
  Config config = read_config(
      *Settings::parse("node: {name: t@127.0.0.1}\ntables: {session: {storage: ram_copies}, jobs: "
                       "{storage: ram_copies}}\nlisten: {http: '127.0.0.1:0', redis: "
                       "'127.0.0.1:0'}\n",
                       "test"),
      registry, problems);
  config.dir = directory / "data";
  config.cookie_file = directory / "cookie";
  finish(config, registry, problems);
  EXPECT_TRUE(problems.empty()) << problems.error().text();
  return config;
}

/// A port mapper of this process: nobody else's names, and tests run side by side.
void use_own_port_mapper() {
  asio::io_context loop;
  asio::ip::tcp::acceptor probe(loop, {asio::ip::address_v4::loopback(), 0});
  setenv("ERL_EPMD_PORT", std::to_string(probe.local_endpoint().port()).c_str(), 0);
}

std::uint16_t port_in(const std::vector<std::string>& banner, std::string_view title) {
  for (const std::string& line : banner)
    if (line.starts_with(title)) {
      const auto colon = line.rfind(':');
      return static_cast<std::uint16_t>(std::stoul(line.substr(colon + 1)));
    }
  return 0;
}

asio::awaitable<Result<void>> start_and_wait(Instance& instance) {
  auto started = co_await instance.start();
  if (!started) co_return started;
  co_return co_await instance.parts().cache->wait_for_tables();
}

}  // namespace

TestNode::TestNode(const std::function<void(Config&)>& change) {
  std::string pattern = (std::filesystem::temp_directory_path() / "muster-app-XXXXXX").string();
  directory_ = mkdtemp(pattern.data());
  use_own_port_mapper();
  Config config = test_config(directory_);
  if (change) change(config);
  instance_ = std::make_unique<Instance>(loop_.get_executor(), config, Log());
  auto started = asio::co_spawn(loop_, start_and_wait(*instance_), asio::use_future);
  thread_ = std::thread([this] { loop_.run(); });
  const auto result = started.get();
  EXPECT_TRUE(result) << result.error().text();
  const auto banner = instance_->banner();
  http_port_ = port_in(banner, "http");
  redis_port_ = port_in(banner, "redis");
}

TestNode::~TestNode() {
  asio::co_spawn(loop_, instance_->stop(Instance::Leave::no), asio::use_future).get();
  thread_.join();
  instance_.reset();
  std::filesystem::remove_all(directory_);
}

}  // namespace muster::app
