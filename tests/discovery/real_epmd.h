// SPDX-License-Identifier: MIT
//
// A real epmd of one test alone, on a port of its own, ended with it.
#pragma once

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <filesystem>
#include <string>

namespace muster::test {

inline std::uint16_t free_tcp_port() {
  boost::asio::io_context io;
  boost::asio::ip::tcp::acceptor acceptor(io, {boost::asio::ip::make_address("127.0.0.1"), 0});
  return acceptor.local_endpoint().port();
}

class Epmd {
 public:
  static constexpr const char* path = "/usr/bin/epmd";
  static constexpr const char* how_to_install =
      "epmd is not installed (Debian: apt-get install erlang-base)";
  [[nodiscard]] static bool is_installed() { return std::filesystem::exists(path); }

  explicit Epmd(std::uint16_t port) {
    const std::string port_text = std::to_string(port);
    process_ = ::fork();
    if (process_ == 0) {
      ::execl(path, "epmd", "-port", port_text.c_str(), "-address", "127.0.0.1", nullptr);
      ::_exit(127);
    }
  }
  ~Epmd() {
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
  }
  Epmd(const Epmd&) = delete;
  Epmd& operator=(const Epmd&) = delete;

 private:
  pid_t process_ = 0;
};

}  // namespace muster::test
