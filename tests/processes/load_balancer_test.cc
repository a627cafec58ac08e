// SPDX-License-Identifier: MIT
// Web servers that embed a node, behind Debian's HAProxy: what a signed-in person notices of
// faults.
#include <gtest/gtest.h>

#include <fstream>

#include "cluster.h"

namespace muster::testing {
namespace {

using namespace std::chrono_literals;

class LoadBalancer : public Cluster {
 protected:
  struct WebServer {
    std::string name;
    std::uint16_t port = 0;
    std::unique_ptr<Process> process = {};
  };

  LoadBalancer() {
    for (const char* base : {"a", "b", "c"})
      servers_.push_back({std::string(base) + "@127.0.0.1", free_ports(2)});
  }

  void start_everything() {
    for (auto& server : servers_) {
      const std::vector<std::string> command{SESSION_WEB,
                                             configuration().string(),
                                             "--name",
                                             server.name,
                                             "--dir",
                                             (directory() / server.name).string(),
                                             "--port",
                                             std::to_string(server.port),
                                             "--cookie-file",
                                             (directory() / "cookie").string(),
                                             "--allow-fault-injection"};
      server.process =
          std::make_unique<Process>(command, environment(), directory() / (server.name + ".log"));
    }
    std::ofstream(directory() / "haproxy.cfg") << proxy_configuration();
    proxy_ =
        std::make_unique<Process>(std::vector<std::string>{"/usr/sbin/haproxy", "-db", "-f",
                                                           (directory() / "haproxy.cfg").string()},
                                  environment(), directory() / "haproxy.log");
    for (const auto& server : servers_) {
      ASSERT_TRUE(eventually(20s, [&] { return http_get(server.port, "/healthz").status == 200; }))
          << server.name;
    }
    ASSERT_TRUE(eventually(10s, [&] { return http_get(proxy_port_, "/healthz").status == 200; }));
  }

  // As examples/haproxy.cfg, with three servers.
  std::string proxy_configuration() const {
    std::string text =
        "defaults\n mode http\n timeout connect 300ms\n timeout client 30s\n timeout server 2s\n"
        " retries 3\n option redispatch 1\n retry-on conn-failure empty-response 503\n"
        "listen web\n bind 127.0.0.1:" +
        std::to_string(proxy_port_) +
        "\n balance roundrobin\n option httpchk GET /healthz\n"
        " default-server check inter 200ms fall 1 rise 1\n";
    for (const auto& server : servers_) {
      text += " server " + server.name.substr(0, 1) + " 127.0.0.1:" + std::to_string(server.port) +
              "\n";
    }
    return text;
  }

  std::string sign_in(const std::string& user) {
    const auto reply = http_post(proxy_port_, "/sign-in", "application/x-www-form-urlencoded",
                                 "user=" + user + "&password=demo");
    EXPECT_EQ(reply.status, 303) << reply.body;
    const auto at = reply.headers.find("session=");
    EXPECT_NE(at, std::string::npos) << reply.headers;
    return at == std::string::npos ? "" : reply.headers.substr(at, 8 + 32);
  }

  void cut(WebServer& one, const WebServer& other) {
    const auto reply =
        http_post(static_cast<std::uint16_t>(one.port + 1), "/v1/fault", "application/json",
                  R"({"action":"cut","a":")" + one.name + R"(","b":")" + other.name + R"("})");
    EXPECT_EQ(reply.status, 200) << reply.body;
  }

  std::vector<WebServer> servers_;
  std::uint16_t proxy_port_ = free_port();
  std::unique_ptr<Process> proxy_;
};

TEST_F(LoadBalancer, HidesAKilledAndACutServerFromASignedInPerson) {
  start_everything();
  const std::string cookie = sign_in("ada");
  int requests = 0, failed = 0;
  std::map<std::string, int> answers;
  auto last_good = std::chrono::steady_clock::now();
  auto longest_gap = 0ms;
  const auto ask_for = [&](std::chrono::milliseconds duration) {
    const auto end = std::chrono::steady_clock::now() + duration;
    while (std::chrono::steady_clock::now() < end) {
      const auto reply = http_get(proxy_port_, "/whoami", cookie);
      const auto now = std::chrono::steady_clock::now();
      ++requests;
      if (reply.status == 200 && reply.body.starts_with("ada ")) {
        ++answers[reply.body];
        longest_gap = std::max(
            longest_gap, std::chrono::duration_cast<std::chrono::milliseconds>(now - last_good));
        last_good = now;
      } else {
        ++failed;
      }
      pause_briefly();
    }
  };
  ask_for(1s);
  EXPECT_EQ(answers.size(), 3u) << "all three answer in turn";
  servers_[0].process->kill_hard();
  ask_for(2s);
  cut(servers_[1], servers_[2]);
  ask_for(4s);
  EXPECT_LE(failed, 1 + requests / 250) << "of " << requests;
  EXPECT_LE(longest_gap, 1000ms);
  RecordProperty("requests", requests);
  RecordProperty("failed", failed);
  RecordProperty("longest_gap_ms", static_cast<int>(longest_gap.count()));
}

}  // namespace
}  // namespace muster::testing
