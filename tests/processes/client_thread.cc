// SPDX-License-Identifier: MIT
#include "client_thread.h"

#include <chrono>

namespace muster::testing {

using namespace std::chrono_literals;

namespace {
constexpr auto pace = 5ms;
}

ClientThread::ClientThread(const Namespace& host, std::function<void()> round)
    : host_(host), round_(std::move(round)), thread_([this] { work(); }) {}

ClientThread::~ClientThread() {
  {
    const std::lock_guard held(lock_);
    state_ = State::ending;
  }
  changed_.notify_all();
  thread_.join();
}

void ClientThread::rest() {
  std::unique_lock held(lock_);
  state_ = State::resting;
  changed_.notify_all();
  changed_.wait(held, [this] { return rests_; });
}

void ClientThread::go_on() {
  const std::lock_guard held(lock_);
  state_ = State::running;
  changed_.notify_all();
}

void ClientThread::work() {
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
    round_();
    held.lock();
    changed_.wait_for(held, pace, [this] { return state_ != State::running; });
  }
}

}  // namespace muster::testing
