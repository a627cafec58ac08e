// SPDX-License-Identifier: MIT
#include "chaos_clients.h"

#include <algorithm>

#include "clients.h"

namespace muster::testing {

namespace {

using namespace std::chrono_literals;

constexpr auto pace = 5ms;

bool is_number(const std::string& text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

bool lost(const std::string& reply) { return reply.starts_with('!'); }
bool was_refused(const std::string& reply) { return reply.starts_with('-'); }

}  // namespace

struct PinnedClient::Connection {
  explicit Connection(std::uint16_t port) : redis(port) {}
  RedisClient redis;
};

PinnedClient::PinnedClient(const Namespace& host, std::uint16_t port, std::size_t number,
                           std::size_t others)
    : host_(host), port_(port), number_(number), others_(others), thread_([this] { work(); }) {}

PinnedClient::~PinnedClient() {
  {
    const std::lock_guard held(lock_);
    state_ = State::ending;
  }
  changed_.notify_all();
  thread_.join();
}

void PinnedClient::rest() {
  std::unique_lock held(lock_);
  state_ = State::resting;
  changed_.notify_all();
  changed_.wait(held, [this] { return rests_; });
}

void PinnedClient::go_on() {
  const std::lock_guard held(lock_);
  state_ = State::running;
  changed_.notify_all();
}

std::chrono::milliseconds PinnedClient::take_longest_write() {
  return std::exchange(longest_write_, 0ms);
}

void PinnedClient::work() {
  const Inside inside(host_);
  std::unique_lock held(lock_);
  while (state_ != State::ending) {
    if (state_ == State::resting) {
      rests_ = true;
      changed_.notify_all();
      changed_.wait(held, [this] { return state_ != State::resting; });
      rests_ = false;
      continue;
    }
    held.unlock();
    one_round();
    held.lock();
    changed_.wait_for(held, pace, [this] { return state_ != State::running; });
  }
}

void PinnedClient::one_round() {
  const std::string key = "only-" + std::to_string(number_) + "-" + std::to_string(++count_);
  if (write(key, "x") == "+OK") acknowledged_.push_back(key);
  tried_ = written_ + 1;
  if (write(counter(), std::to_string(tried_)) == "+OK") written_ = tried_;
  read_own();
  read_others();
}

std::string PinnedClient::counter() const {
  return "counter-" + std::to_string(number_) + "-" + std::to_string(generation_);
}

std::string PinnedClient::write(const std::string& key, const std::string& value) {
  const auto from = std::chrono::steady_clock::now();
  std::string reply = ask({"SET", key, value});
  longest_write_ = std::max(longest_write_, std::chrono::duration_cast<std::chrono::milliseconds>(
                                                std::chrono::steady_clock::now() - from));
  if (lost(reply)) {
    // It may still be done, at any time: from now on under another key.
    ++generation_;
    written_ = tried_ = 0;
  }
  return reply;
}

void PinnedClient::read_own() {
  if (written_ == 0) return;
  const std::string reply = ask({"GET", counter()});
  if (lost(reply) || was_refused(reply)) return;
  if (!is_number(reply) || std::stoull(reply) < written_ || std::stoull(reply) > tried_)
    violation("wrote " + std::to_string(written_) + ", reads " + reply + " of " + counter());
}

void PinnedClient::read_others() {
  const std::size_t other = (number_ + 1 + count_ % (others_ - 1)) % others_;
  const std::string key = "counter-" + std::to_string(other) + "-0";
  const std::string reply = ask({"GET", key});
  if (lost(reply) || was_refused(reply)) return;
  const std::uint64_t value = is_number(reply) ? std::stoull(reply) : 0;
  std::uint64_t& before = seen_[key];
  if (value < before)
    violation("read " + std::to_string(before) + ", later " + reply + " of " + key);
  before = std::max(before, value);
}

void PinnedClient::violation(const std::string& text) {
  constexpr std::size_t kept = 5;
  if (violations_.size() < kept)
    violations_.push_back("client " + std::to_string(number_) + " " + text);
}

std::string PinnedClient::ask(const std::vector<std::string>& command) {
  if (!connection_) connection_ = std::make_unique<Connection>(port_);
  std::string reply = connection_->redis.ask(command);
  if (lost(reply)) connection_.reset();
  if (was_refused(reply)) ++refused_;
  return reply;
}

}  // namespace muster::testing
