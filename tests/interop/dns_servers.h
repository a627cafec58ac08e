// SPDX-License-Identifier: MIT
//
// Real DNS servers of one test alone: dnsmasq, which forwards and re-reads its hosts at SIGHUP, and
// Knot, which owns zones.  Each listens on an address of 127.0.0.0/8 that belongs to the process of
// the test, on a free port, keeps its files in a directory of its own and ends with it.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace muster::test {

class DnsServerProcess {
 public:
  DnsServerProcess(const DnsServerProcess&) = delete;
  DnsServerProcess& operator=(const DnsServerProcess&) = delete;

  [[nodiscard]] std::string text() const { return address_ + ":" + std::to_string(port_); }
  void start() { run(command()); }
  void kill() {
    if (process_ <= 0) return;
    ::kill(process_, SIGCONT);
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
    process_ = 0;
  }
  /// Stands still, with its sockets open: silence.
  void freeze() const { ::kill(process_, SIGSTOP); }
  void thaw() const { ::kill(process_, SIGCONT); }
  [[nodiscard]] std::string log() const {
    std::ifstream file(directory_ / "log");
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }

 protected:
  DnsServerProcess()
      : directory_(std::filesystem::path(::testing::TempDir()) /
                   ("dns_" + std::to_string(::getpid()) + "_" + std::to_string(++count()))) {
    std::filesystem::create_directories(directory_);
    choose_port();
  }
  ~DnsServerProcess() {
    kill();
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }

  [[nodiscard]] virtual std::vector<std::string> command() const = 0;
  [[nodiscard]] std::string path_of(const std::string& name) const {
    return (directory_ / name).string();
  }
  void write(const std::string& name, const std::string& content) const {
    std::ofstream(directory_ / name) << content;
  }
  void read_again() const { ::kill(process_, SIGHUP); }

  std::string address_;
  std::uint16_t port_ = 0;

 private:
  static int& count() {
    static int servers = 0;
    return servers;
  }

  void choose_port() {
    namespace asio = boost::asio;
    const int id = ::getpid();
    address_ = "127." + std::to_string(64 + id / 250 / 250 % 64) + "." +
               std::to_string(1 + id / 250 % 250) + "." + std::to_string(1 + id % 250);
    const auto address = asio::ip::make_address(address_);
    asio::io_context io;
    while (port_ == 0) {  // Until one is free for both.
      const asio::ip::udp::socket udp(io, {address, 0});
      asio::ip::tcp::acceptor tcp(io, asio::ip::tcp::v4());
      boost::system::error_code taken;
      tcp.bind({address, udp.local_endpoint().port()}, taken);
      if (!taken) port_ = udp.local_endpoint().port();
    }
  }

  void run(std::vector<std::string> words) {
    const std::string log_file = path_of("log");
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    process_ = ::fork();
    if (process_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // Even when the test is killed.
    const int log = ::open(log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
    ::dup2(log, 1);
    ::dup2(log, 2);
    ::execv(arguments.front(), arguments.data());
    ::_exit(127);
  }

  const std::filesystem::path directory_;
  pid_t process_ = 0;
};

class Dnsmasq final : public DnsServerProcess {
 public:
  static constexpr const char* path = "/usr/sbin/dnsmasq";
  static constexpr const char* how_to_install =
      "dnsmasq is not installed (Debian: apt-get install dnsmasq-base)";
  [[nodiscard]] static bool is_installed() { return std::filesystem::exists(path); }

  /// It owns *.test.  `hosts` is in the form of /etc/hosts; `options` as on its command line.
  explicit Dnsmasq(const std::string& hosts, std::vector<std::string> options = {})
      : options_(std::move(options)) {
    write("hosts", hosts);
    start();
  }
  void change(const std::string& hosts) const {
    write("hosts", hosts);
    read_again();
  }

 private:
  [[nodiscard]] std::vector<std::string> command() const override {
    std::vector<std::string> words{path,
                                   "--keep-in-foreground",
                                   "--conf-file=/dev/null",
                                   "--port=" + std::to_string(port_),
                                   "--listen-address=" + address_,
                                   "--bind-interfaces",
                                   "--no-resolv",
                                   "--no-hosts",
                                   "--addn-hosts=" + path_of("hosts"),
                                   "--local=/test/",
                                   "--pid-file=",
                                   "--log-facility=-"};
    if (::geteuid() == 0) words.emplace_back("--user=root");
    words.insert(words.end(), options_.begin(), options_.end());
    return words;
  }

  const std::vector<std::string> options_;
};

class Knot final : public DnsServerProcess {
 public:
  static constexpr const char* path = "/usr/sbin/knotd";
  static constexpr const char* how_to_install =
      "knotd is not installed (Debian: apt-get install knot)";
  [[nodiscard]] static bool is_installed() { return std::filesystem::exists(path); }

  /// It owns good.test, with `records`, and broken.test, whose file does not exist.
  explicit Knot(const std::string& records) {
    write_zone(records);
    write("knot.conf", "server:\n  rundir: " + path_of("") + "\n  listen: " + address_ + "@" +
                           std::to_string(port_) +
                           "\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n"
                           "database:\n  storage: " +
                           path_of("db") +
                           "\ntemplate:\n  - id: default\n    storage: " + path_of("") +
                           "\n    zonefile-sync: -1\n    journal-content: none\n"
                           "zone:\n  - domain: good.test\n  - domain: broken.test\n");
    start();
  }
  void change(const std::string& records) {
    write_zone(records);
    read_again();
  }

 private:
  [[nodiscard]] std::vector<std::string> command() const override {
    return {path, "--config", path_of("knot.conf")};
  }
  void write_zone(const std::string& records) {
    write("good.test.zone", "$ORIGIN good.test.\n$TTL 30\n@ SOA ns hostmaster " +
                                std::to_string(++serial_) +
                                " 3600 600 86400 5\n@ NS ns\nns A 127.0.0.1\n" + records);
  }

  int serial_ = 0;
};

}  // namespace muster::test
