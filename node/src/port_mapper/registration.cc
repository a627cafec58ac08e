// SPDX-License-Identifier: MIT
// See registration.h.
#include "port_mapper/registration.h"

#include <fmt/format.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <utility>

#include "muster/discovery/port_mapper_client.h"
#include "watchdog.h"

namespace muster::node {
namespace {

using namespace port_mapper;
constexpr Duration answer_deadline = std::chrono::seconds(2);
constexpr Duration holder_deadline = std::chrono::milliseconds(500);
constexpr Duration take_over_pause = std::chrono::milliseconds(20);
constexpr Duration taken_pause = std::chrono::milliseconds(150);
constexpr Duration unusable_pause = std::chrono::seconds(3);
/// A node that was killed a moment ago may still be listed.
constexpr int taken_attempts = 8;

const asio::ip::address local = asio::ip::address_v4::loopback();

}  // namespace

PortMapperRegistration::PortMapperRegistration(const Strand& strand, Options options,
                                               std::uint64_t seed, Log log)
    : strand_(strand),
      options_(std::move(options)),
      random_(static_cast<std::minstd_rand::result_type>(seed | 1)),
      log_(std::move(log)),
      tasks_(strand),
      socket_(strand),
      pause_(strand),
      settled_(strand) {}

asio::awaitable<Result<void>> PortMapperRegistration::start() {
  settled_.expires_at(never);
  tasks_.spawn(run());
  while (!settled_once_ && !stopping_) (void)co_await settled_.async_wait(await_tuple);
  if (failure_) co_return *failure_;
  co_return Result<void>();
}

asio::awaitable<void> PortMapperRegistration::stop() {
  stopping_ = true;
  error_code ignored;
  socket_.close(ignored);
  pause_.cancel();
  settled_.cancel();
  co_await tasks_.wait();
}

void PortMapperRegistration::settle(std::optional<Error> failure) {
  if (std::exchange(settled_once_, true)) return;
  failure_ = std::move(failure);
  settled_.cancel();
}

asio::awaitable<void> PortMapperRegistration::run() {
  int taken = 0;
  while (!stopping_) {
    switch (co_await register_with_running()) {
      case Outcome::ended:
        taken = 0;
        if (!stopping_) log_.info("the port mapper at port {} went away", options_.port);
        co_await pause(take_over_pause);
        break;
      case Outcome::none_runs:
        if (!co_await serve()) co_await pause(take_over_pause);
        break;
      case Outcome::name_taken:
        if (++taken < taken_attempts) {
          co_await pause(taken_pause);
        } else if (co_await refused_by_another()) {
          co_return;
        }
        break;
      case Outcome::unusable:
        settle(std::nullopt);
        co_await pause(unusable_pause);
        break;
    }
  }
}

/// The name is taken and stays so.  True when that is the end of it: at start, by another node.
asio::awaitable<bool> PortMapperRegistration::refused_by_another() {
  std::string host = local.to_string();
  std::string name = options_.node.name;
  const auto found =
      co_await port_of(std::move(host), options_.port, std::move(name), holder_deadline);
  const std::uint16_t holder = found && *found ? (*found)->port : std::uint16_t{0};
  if (holder == options_.node.port) {
    // Ours from before, whose end it has not seen yet; who asks is told the right port meanwhile.
    settle(std::nullopt);
    co_await pause(taken_pause);
    co_return false;
  }
  const std::string where = holder == 0 ? "" : fmt::format(", which listens on port {}", holder);
  auto text =
      fmt::format("the name {} is in use by another node of this host{} (port mapper at port {})",
                  options_.node.name, where, options_.port);
  if (!settled_once_) {
    settle(bad_input(std::move(text)));
    co_return true;
  }
  if (said_.news("name", text, std::chrono::steady_clock::now())) log_.error("{}", text);
  co_await pause(unusable_pause);
  co_return false;
}

/// Registers, and stays so until the port mapper goes away.
asio::awaitable<PortMapperRegistration::Outcome> PortMapperRegistration::register_with_running() {
  error_code ignored;
  Watchdog watchdog(strand_, tasks_, [&] { socket_.close(ignored); });
  watchdog.start(answer_deadline);
  socket_.close(ignored);
  const auto [refused] =
      co_await socket_.async_connect(tcp::endpoint(local, options_.port), await_tuple);
  if (refused == asio::error::connection_refused) co_return Outcome::none_runs;
  Error failure;
  failure.code = refused;
  Result<AliveAnswer> answer(failure);
  if (!refused && !stopping_) answer = co_await say_alive();
  watchdog.stop();
  if (stopping_) co_return Outcome::ended;
  if (!answer) {
    const std::string text = answer.error().text();
    if (said_.news("mapper", text, std::chrono::steady_clock::now())) {
      log_.warn("cannot register with the port mapper at port {}: {}", options_.port, text);
    }
    co_return Outcome::unusable;
  }
  if (!answer->ok) co_return Outcome::name_taken;
  said_.forget("mapper");
  log_.info("registered with the port mapper at port {}", options_.port);
  settle(std::nullopt);
  std::string space(64, '\0');
  for (;;) {
    const auto [end, count] = co_await socket_.async_read_some(asio::buffer(space), await_tuple);
    if (end) co_return Outcome::ended;
  }
}

asio::awaitable<Result<AliveAnswer>> PortMapperRegistration::say_alive() {
  AliveRequest alive;
  alive.node = options_.node;
  const std::string request = encode(Request(alive));
  Error failure;
  const auto [unsent, sent] =
      co_await asio::async_write(socket_, asio::buffer(request), await_tuple);
  failure.code = unsent;
  std::string bytes;
  std::string piece(64, '\0');
  while (!failure.code) {
    const auto [error, count] = co_await socket_.async_read_some(asio::buffer(piece), await_tuple);
    failure.code = error;
    bytes.append(piece, 0, count);
    const auto answer = decode_alive_answer(bytes);
    if (!answer) co_return answer.error();
    if (*answer) co_return **answer;
  }
  co_return failure;
}

/// Serves until stopped; false when that cannot be.
asio::awaitable<bool> PortMapperRegistration::serve() {
  auto server = std::make_unique<PortMapperServer>(strand_, log_);
  auto listening = server->listen(options_.addresses, options_.port);
  if (!listening) {
    // Somebody else was faster: register there.
    if (listening.error().code == boost::system::errc::address_in_use) co_return false;
    const std::string text = listening.error().text();
    if (said_.news("serve", text, std::chrono::steady_clock::now())) {
      log_.warn("cannot serve a port mapper at port {}: {}", options_.port, text);
    }
    settle(std::nullopt);
    co_await pause(unusable_pause);
    co_return false;
  }
  server->add_own(options_.node);
  server_ = std::move(server);
  log_.info("no port mapper runs at port {}: serving it", options_.port);
  settle(std::nullopt);
  while (!stopping_) {
    pause_.expires_at(never);
    (void)co_await pause_.async_wait(await_tuple);
  }
  co_await server_->stop();
  server_.reset();
  co_return true;
}

/// Between half and one and a half of it, so that those who lost the same port mapper do not run
/// into each other.
asio::awaitable<void> PortMapperRegistration::pause(Duration about) {
  if (stopping_) co_return;
  const auto base = about.count();
  pause_.expires_after(Duration(base / 2 + static_cast<Duration::rep>(random_()) % (base + 1)));
  (void)co_await pause_.async_wait(await_tuple);
}

}  // namespace muster::node
