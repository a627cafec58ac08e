// SPDX-License-Identifier: MIT
//
// A real etcd of one test alone, on ports of its own of 127.0.0.1, with its data in a directory
// that goes away with it.  kill() and start() again keep ports and data.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "discovery/test_certificates.h"

namespace muster::test {

class EtcdServer {
 public:
  static constexpr const char* path = "/usr/bin/etcd";
  static constexpr const char* how_to_install =
      "etcd is not installed (Debian: apt-get install etcd-server)";
  [[nodiscard]] static bool is_installed() { return std::filesystem::exists(path); }

  /// With an authority: TLS, and only clients with a certificate of it.
  explicit EtcdServer(const Authority* authority = nullptr)
      : directory_(std::filesystem::path(::testing::TempDir()) /
                   ("etcd_" + std::to_string(::getpid()) + "_" + std::to_string(++count()))) {
    std::filesystem::create_directories(directory_);
    choose_ports();
    if (authority) {
      const Certificate certificate = authority->issue();
      write("ca.pem", authority->pem());
      write("server.pem", certificate.pem);
      write("server.key", certificate.key);
      has_tls_ = true;
    }
    start();
  }
  ~EtcdServer() {
    kill();
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }
  EtcdServer(const EtcdServer&) = delete;
  EtcdServer& operator=(const EtcdServer&) = delete;

  void start() {
    const std::string peers =
        "http://127.0.0.1:" + std::to_string(peer_port_.local_endpoint().port());
    std::vector<std::string> words{path,
                                   "--data-dir",
                                   (directory_ / "data").string(),
                                   "--listen-client-urls",
                                   url(),
                                   "--advertise-client-urls",
                                   url(),
                                   "--listen-peer-urls",
                                   peers,
                                   "--initial-advertise-peer-urls",
                                   peers,
                                   "--initial-cluster",
                                   "default=" + peers};
    if (has_tls_)
      for (const auto& [flag, file] :
           std::vector<std::pair<std::string, std::string>>{{"--cert-file", "server.pem"},
                                                            {"--key-file", "server.key"},
                                                            {"--trusted-ca-file", "ca.pem"}}) {
        words.push_back(flag);
        words.push_back((directory_ / file).string());
      }
    if (has_tls_) words.emplace_back("--client-cert-auth");
    run(words);
  }
  void kill() {
    if (process_ <= 0) return;
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
    process_ = 0;
  }

  [[nodiscard]] std::string url() const {
    return (has_tls_ ? "https://127.0.0.1:" : "http://127.0.0.1:") +
           std::to_string(client_port_.local_endpoint().port());
  }
  [[nodiscard]] const std::filesystem::path& directory() const { return directory_; }
  void write(const std::string& file, const std::string& content) const {
    std::ofstream(directory_ / file) << content;
  }

 private:
  static int& count() {
    static int counted = 0;
    return counted;
  }
  /// They stay bound without being listened on, so that the system gives them to nobody else; etcd,
  /// which reuses addresses, may listen there.
  void choose_ports() {
    for (auto* port : {&client_port_, &peer_port_}) {
      port->bind({boost::asio::ip::make_address("127.0.0.1"), 0});
      port->set_option(boost::asio::socket_base::reuse_address(true));
    }
  }
  void run(std::vector<std::string>& words) {
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    const std::string log = (directory_ / "log").string();
    process_ = ::fork();
    if (process_ != 0) return;
    const int file = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    ::dup2(file, 1);
    ::dup2(file, 2);
    ::execv(path, arguments.data());
    ::_exit(127);
  }

  std::filesystem::path directory_;
  boost::asio::io_context io_;
  boost::asio::ip::tcp::acceptor client_port_{io_, boost::asio::ip::tcp::v4()};
  boost::asio::ip::tcp::acceptor peer_port_{io_, boost::asio::ip::tcp::v4()};
  bool has_tls_ = false;
  pid_t process_ = 0;
};

}  // namespace muster::test
