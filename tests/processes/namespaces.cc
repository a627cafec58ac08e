// SPDX-License-Identifier: MIT
#include "namespaces.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace muster::testing {

namespace {

std::string namespace_of_this_thread() {
  return "/proc/" + std::to_string(getpid()) + "/task/" + std::to_string(gettid()) + "/ns/net";
}

std::string port_of(std::size_t index) { return "port-" + std::to_string(index + 1); }

}  // namespace

Namespace::Namespace() {
  std::promise<int> begun;
  auto outcome = begun.get_future();
  keeper_ = std::thread([this, &begun, end = end_.get_future()] {
    path_ = namespace_of_this_thread();
    begun.set_value(unshare(CLONE_NEWNET) == 0 ? 0 : errno);
    end.wait();
  });
  error_ = outcome.get();
}

Namespace::~Namespace() {
  end_.set_value();
  keeper_.join();
}

std::vector<std::string> Namespace::enter() const { return {"nsenter", "--net=" + path_}; }

Finished Namespace::run(const std::string& line) const {
  auto command = enter();
  command.insert(command.end(), {"sh", "-c", "PATH=$PATH:/usr/sbin:/sbin; " + line});
  return testing::run(command);
}

void Namespace::must(const std::string& line) const {
  const Finished finished = run(line);
  EXPECT_EQ(finished.status, 0) << line << ": " << finished.output;
}

Inside::Inside(const Namespace& space)
    : home_(open(namespace_of_this_thread().c_str(), O_RDONLY | O_CLOEXEC)) {
  const int there = open(space.path().c_str(), O_RDONLY | O_CLOEXEC);
  const bool entered = home_ >= 0 && there >= 0 && setns(there, CLONE_NEWNET) == 0;
  const int error = errno;
  if (there >= 0) close(there);
  if (!entered) throw std::runtime_error(std::string("cannot enter: ") + std::strerror(error));
}

Inside::~Inside() {
  if (setns(home_, CLONE_NEWNET) != 0) std::abort();
  close(home_);
}

Switch::Switch(std::size_t hosts) {
  if (!bridge_.works()) {
    missing_ = "needs root and network namespaces";
    return;
  }
  for (const std::string tool : {"ip", "nft", "ss"}) {
    if (bridge_.run("command -v " + tool).status != 0) {
      missing_ = "needs " + tool;
      return;
    }
  }
  if (bridge_.run("ip link add bridge type bridge && ip link set bridge up").status != 0 ||
      bridge_.run("nft add table inet probe && nft delete table inet probe").status != 0) {
    missing_ = "bridges or nft do not work here";
    return;
  }
  for (std::size_t index = 0; index < hosts; ++index) {
    const Namespace& host = *hosts_.emplace_back(std::make_unique<Namespace>());
    host.must("ip link set lo up");
    host.must("ip link add eth0 type veth peer name " + port_of(index) + " netns " +
              bridge_.path());
    host.must("ip address add " + address(index) + "/24 dev eth0 && ip link set eth0 up");
    bridge_.must("ip link set " + port_of(index) + " master bridge up");
  }
}

Switch::Matrix Switch::all_passes() const {
  return Matrix(size(), std::vector<bool>(size(), true));
}

void Switch::set(const Matrix& passes) {
  for (std::size_t to = 0; to < size(); ++to) {
    std::string rules =
        "table inet cut; delete table inet cut; table inet cut { chain input { "
        "type filter hook input priority 0; ";
    for (std::size_t from = 0; from < size(); ++from)
      if (!passes[from][to]) rules += "ip saddr " + address(from) + " drop; ";
    hosts_[to]->must("printf '%s' '" + rules + "}; }' | nft -f -");
  }
}

void Switch::cable(std::size_t index, bool plugged) {
  bridge_.must("ip link set " + port_of(index) + (plugged ? " up" : " down"));
}

void Switch::reset_connections(std::size_t index) {
  for (std::size_t other = 0; other < size(); ++other) {
    if (other == index) continue;
    hosts_[index]->must("ss -K dst " + address(other));
    hosts_[other]->must("ss -K dst " + address(index));
  }
}

void Switch::heal() {
  set(all_passes());
  for (std::size_t index = 0; index < size(); ++index) cable(index, true);
}

}  // namespace muster::testing
