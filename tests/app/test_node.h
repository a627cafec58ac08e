// SPDX-License-Identifier: MIT
//
// One real node with a table in memory, in this process, on ports that are free: what the tests of
// the ports speak to.  Its loop runs on a thread of its own.
#pragma once

#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>

#include "muster/app/instance.h"

namespace muster::app {

class TestNode {
 public:
  /// `change` may change the configuration before the start.
  explicit TestNode(const std::function<void(Config&)>& change = {});
  ~TestNode();
  TestNode(const TestNode&) = delete;
  TestNode& operator=(const TestNode&) = delete;

  [[nodiscard]] std::uint16_t http_port() const { return http_port_; }
  [[nodiscard]] std::uint16_t redis_port() const { return redis_port_; }
  [[nodiscard]] const std::filesystem::path& directory() const { return directory_; }

 private:
  std::filesystem::path directory_;
  boost::asio::io_context loop_{1};
  std::unique_ptr<Instance> instance_;
  std::thread thread_;
  std::uint16_t http_port_ = 0;
  std::uint16_t redis_port_ = 0;
};

}  // namespace muster::app
