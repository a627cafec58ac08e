// SPDX-License-Identifier: MIT
//
// What a gossip topology costs, as a share of one core: the processor time of the thread that runs
// it, with real datagrams on loopback, evenly spaced, that another thread sends.
//
//   gossip_bench [SECONDS per case (5)]
#include <pthread.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/multicast.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <future>
#include <random>
#include <string>
#include <thread>

#include "libcluster_wire.h"
#include "muster/discovery/clock.h"
#include "muster/discovery/topologies.h"

namespace {

using namespace std::chrono_literals;
using namespace muster;
using namespace muster::discovery;
namespace asio = boost::asio;
using asio::ip::udp;

constexpr const char* cookie = "a cookie of more than thirty-two bytes";
constexpr const char* group = "233.252.1.32";

/// Links whom it is told to, at once.
class SetPlumbing : public Plumbing {
 public:
  void connect(const Peer& peer, Duration, Done done) override {
    linked_.insert(peer.name);
    done({});
  }
  void disconnect(const NodeName& node, Done done) override {
    linked_.erase(node);
    done({});
  }
  std::set<NodeName> list_nodes() override { return linked_; }

 private:
  std::set<NodeName> linked_;
};

std::uint16_t free_udp_port() {
  asio::io_context io;
  const udp::endpoint any(asio::ip::address_v4::loopback(), 0);
  return udp::socket(io, any).local_endpoint().port();
}

/// One topology on a thread of its own.
class Listener {
 public:
  Listener(std::uint16_t port, std::vector<std::pair<std::string, Settings>> config)
      : work_(asio::make_work_guard(io_)),
        topologies_(io_.get_executor(), plumbing_,
                    {.context = {.self = NodeName::parse("a@127.0.0.1").value(),
                                 .cookie = cookie,
                                 .boot_id = 1,
                                 .link_port = 7000}}) {
    config.emplace_back("port", port);
    config.emplace_back("multicast_if", "127.0.0.1");
    const auto plan = plan_topology("t", "gossip", Settings::map(config), StrategyRegistry());
    if (!plan || !topologies_.add(*plan)) std::abort();
    thread_ = std::thread([this] { io_.run(); });
  }
  ~Listener() {
    std::promise<void> stopped;
    asio::post(io_, [&] {
      asio::co_spawn(io_, topologies_.stop(),
                     [&](const std::exception_ptr&) { stopped.set_value(); });
    });
    stopped.get_future().wait();
    work_.reset();
    thread_.join();
  }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  [[nodiscard]] double processor_seconds() {
    clockid_t clock{};
    timespec time{};
    ::pthread_getcpuclockid(thread_.native_handle(), &clock);
    ::clock_gettime(clock, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
  }
  [[nodiscard]] TopologyStatus status() {
    std::promise<TopologyStatus> status;
    asio::post(io_, [&] { status.set_value(topologies_.status().at(0)); });
    return status.get_future().get();
  }

 private:
  asio::io_context io_;
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  SetPlumbing plumbing_;
  Topologies topologies_;
  std::thread thread_;
};

class Sender {
 public:
  explicit Sender(std::uint16_t port)
      : socket_(io_, udp::v4()), to_(asio::ip::make_address(group), port), next_(io_) {
    socket_.set_option(
        asio::ip::multicast::outbound_interface(asio::ip::make_address_v4("127.0.0.1")));
  }
  void run(Duration by, Duration apart, const std::function<std::string()>& make) {
    const auto end = std::chrono::steady_clock::now() + by;
    next_.expires_at(std::chrono::steady_clock::now());
    while (next_.expiry() < end) {
      next_.expires_at(next_.expiry() + apart);
      next_.wait();
      socket_.send_to(asio::buffer(make()), to_);
    }
  }

 private:
  asio::io_context io_;
  udp::socket socket_;
  udp::endpoint to_;
  asio::steady_timer next_;
};

struct Case {
  const char* what;
  int per_second;
  std::vector<std::pair<std::string, Settings>> config;
  std::function<std::string()> make;
};

void measure(const Case& measured, Duration by) {
  const std::uint16_t port = free_udp_port();
  Listener listener(port, measured.config);
  Sender sender(port);
  const Duration apart = Duration(1s) / measured.per_second;
  sender.run(2s, apart, measured.make);  // Peers are known, the first second is over.
  const double before = listener.processor_seconds();
  const auto begin = std::chrono::steady_clock::now();
  sender.run(by, apart, measured.make);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  const double share = (listener.processor_seconds() - before) / took.count();
  const auto status = listener.status();
  std::printf("%-52s %5d/s  %5.2f %% of a core  ", measured.what, measured.per_second, share * 100);
  for (const auto& [name, count] : status.counters)
    if (count > 0 && name != "sent" && name != "opened" && name != "heard_itself")
      std::printf(" %s %llu", name.c_str(), static_cast<unsigned long long>(count));
  std::printf("\n");
}

/// A heartbeat of each of `peers` nodes in turn.
std::function<std::string()> heartbeats_of(int peers) {
  auto codec = std::make_shared<GossipCodec>(std::vector<std::string>{cookie});
  return [codec, peers, sent = 0]() mutable {
    const int peer = sent++ % peers;
    return codec->encode(
        {.stream = static_cast<std::uint64_t>(1000 + peer),
         .counter = static_cast<std::uint32_t>(1 + sent / peers),
         .boot_id = 7,
         .sent = read_clock().wall,
         .link_port = 7001,
         .name = NodeName::parse("n" + std::to_string(peer) + "@127.0.0.1").value(),
         .link_address = "127.0.0.1",
         .cluster_id = "c"});
  };
}

std::vector<Case> cases() {
  GossipCodec ours({cookie}), foreign({"another secret"});
  const Heartbeat heartbeat{.stream = 5,
                            .counter = 1,
                            .sent = read_clock().wall,
                            .name = NodeName::parse("b@127.0.0.1").value(),
                            .link_address = "127.0.0.1"};
  const auto always = [](std::string bytes) { return [bytes] { return bytes; }; };
  std::string damaged = ours.encode(heartbeat);
  damaged.back() = static_cast<char>(damaged.back() ^ 1);
  const std::vector<std::pair<std::string, Settings>> none, plain{{"format", "libcluster"}},
      sealed{{"format", "libcluster"}, {"secret", "s"}};
  LibclusterCodec other_sealed({"another secret"}, "bench");
  return {
      {"nothing", 1, none, always("")},
      {"noise of 1,300 bytes", 5000, none, always(std::string(1300, 'x'))},
      {"under another secret", 5000, none, always(foreign.encode(heartbeat))},
      {"damaged, its key's id right", 5000, none, always(damaged)},
      {"one heartbeat again and again", 5000, none, always(ours.encode(heartbeat))},
      {"libcluster, plain: no term", 5000, plain, always("heartbeat::" + std::string(1300, 'x'))},
      {"libcluster, sealed: under another secret", 5000, sealed,
       always(other_sealed.encode("b@127.0.0.1"))},
      {"libcluster, sealed: noise of 1,296 bytes", 5000, sealed, always(std::string(1296, 'x'))},
      {"200 linked peers, a heartbeat a second each", 200, none, heartbeats_of(200)}};
}

}  // namespace

int main(int argc, char** argv) {
  const auto seconds = argc > 1 ? std::atoi(argv[1]) : 5;
  for (const Case& each : cases()) measure(each, std::chrono::seconds(seconds));
}
