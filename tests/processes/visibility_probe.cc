// SPDX-License-Identifier: MIT
#include "visibility_probe.h"

#include "chaos_clients.h"
#include "clients.h"

namespace muster::testing {

using Clock = std::chrono::steady_clock;

struct VisibilityProbe::Connection {
  explicit Connection(std::uint16_t port) : redis(port) {}
  RedisClient redis;
};

VisibilityProbe::VisibilityProbe(const Switch& hosts, std::uint16_t port, std::size_t home)
    : hosts_(hosts),
      port_(port),
      home_(home),
      connections_(hosts.size()),
      thread_(std::make_unique<ClientThread>(hosts.host(home), [this] { one_round(); })) {}

VisibilityProbe::~VisibilityProbe() = default;

void VisibilityProbe::one_round() {
  if (!awaited_) write_the_next();
  if (awaited_) look();
}

void VisibilityProbe::write_the_next() {
  const std::string key = "seen-" + std::to_string(home_) + "-" + std::to_string(++count_);
  if (ask(home_, {"SET", key, value_of(key)}) != "+OK") return;
  kept_.push_back(key);
  const std::size_t distance = 1 + count_ % (hosts_.size() - 1);
  awaited_ = {key, (home_ + distance) % hosts_.size(), Clock::now()};
}

void VisibilityProbe::look() {
  const std::string reply = ask(awaited_->node, {"GET", awaited_->key});
  if (reply == "(nil)") ++stale_;
  if (reply != value_of(awaited_->key)) return;
  times_.push_back(
      std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - awaited_->acknowledged));
  ++seen_;
  awaited_.reset();
}

std::string VisibilityProbe::ask(std::size_t node, const std::vector<std::string>& command) {
  auto& connection = connections_[node];
  if (!connection) {
    const Inside inside(hosts_.host(node));
    connection = std::make_unique<Connection>(port_);
  }
  std::string reply = connection->redis.ask(command);
  if (reply.starts_with('!')) connection.reset();
  return reply;
}

}  // namespace muster::testing
