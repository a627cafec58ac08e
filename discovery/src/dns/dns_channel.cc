// SPDX-License-Identifier: MIT
#include "dns/dns_channel.h"

#include <ares.h>
#include <sys/time.h>

#include <algorithm>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <cassert>
#include <cstring>
#include <memory>

#include "muster/discovery/clock.h"
#include "task_group.h"

namespace muster::discovery {
namespace {

namespace asio = boost::asio;
using namespace asio::experimental::awaitable_operators;
using namespace std::chrono_literals;
using asio::posix::descriptor_base;

constexpr std::size_t most_in_flight = 64;
constexpr int tries = 2;  // c-ares doubles its timeout for the second one ...
constexpr Duration longest_try = 1s;
constexpr Duration shortest_try = 50ms;

/// ... so that all of them together take three times the first.
int first_timeout_ms(Duration within) {
  const Duration share = std::clamp<Duration>(within / 3, shortest_try, longest_try);
  return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(share).count());
}

/// A socket of c-ares and what it waits for.
struct Watched {
  ares_socket_t socket = ARES_SOCKET_BAD;
  descriptor_base::wait_type until = descriptor_base::wait_read;
  bool ready = false;
};

/// Registers a foreign descriptor for as long as this lives, and never closes it.
class Borrowed {
 public:
  Borrowed(const asio::any_io_executor& executor, int descriptor)
      : descriptor_(executor, descriptor) {}
  ~Borrowed() { descriptor_.release(); }
  Borrowed(const Borrowed&) = delete;
  Borrowed& operator=(const Borrowed&) = delete;

  asio::posix::stream_descriptor& operator*() { return descriptor_; }

 private:
  asio::posix::stream_descriptor descriptor_;
};

asio::awaitable<void> time_passes(Duration duration) {
  const auto executor = co_await asio::this_coro::executor;
  asio::steady_timer timer(executor, duration);
  co_await timer.async_wait(await_tuple);
}

asio::awaitable<void> until_ready(Watched& watched) {
  const auto executor = co_await asio::this_coro::executor;
  Borrowed borrowed(executor, watched.socket);
  const auto [error] = co_await (*borrowed).async_wait(watched.until, await_tuple);
  watched.ready = !error;
}

asio::awaitable<void> until_any_ready(std::vector<Watched>& sockets, std::size_t from) {
  if (from == sockets.size())
    co_await time_passes(1h);
  else
    co_await (until_ready(sockets[from]) || until_any_ready(sockets, from + 1));
}

class Channel {
 public:
  Channel(const DnsServer& server, std::vector<DnsExchange>& exchanges, Duration within)
      : server_(server), exchanges_(exchanges) {
    for (std::size_t i = 0; i < exchanges.size(); ++i)
      if (!exchanges[i].answered()) calls_.push_back({.channel = this, .exchange = i});
    open(within);
  }
  ~Channel() {
    for (Call& call : calls_)
      if (!call.is_done) fail(call, "did not answer in time");
    if (channel_) ares_destroy(channel_);
  }
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  [[nodiscard]] bool was_heard() const { return was_heard_; }
  /// Starts as many questions as may be in flight.  False: all have ended.
  bool go_on() {
    while (channel_ && in_flight_ < most_in_flight && started_ < calls_.size()) {
      Call& call = calls_[started_++];
      const DnsQuestion& question = exchanges_[call.exchange].question;
      ++in_flight_;
      ares_query(channel_, question.name.c_str(), /*internet*/ 1, static_cast<int>(question.type),
                 &Channel::ended, &call);
    }
    return in_flight_ > 0;
  }
  [[nodiscard]] Duration next_timeout() const {
    timeval next{};
    if (!ares_timeout(channel_, nullptr, &next)) return 1h;
    return std::chrono::seconds(next.tv_sec) + std::chrono::microseconds(next.tv_usec);
  }
  [[nodiscard]] std::vector<Watched> sockets() const {
    std::array<ares_socket_t, ARES_GETSOCK_MAXNUM> all{};
    const auto interest =
        static_cast<unsigned>(ares_getsock(channel_, all.data(), ARES_GETSOCK_MAXNUM));
    std::vector<Watched> watched;
    for (unsigned i = 0; i < ARES_GETSOCK_MAXNUM; ++i) {
      // What still wants to be written comes first: the answer comes after it.
      if ((interest >> (i + ARES_GETSOCK_MAXNUM) & 1u) != 0)
        watched.push_back({.socket = all[i], .until = descriptor_base::wait_write});
      else if ((interest >> i & 1u) != 0)
        watched.push_back({.socket = all[i], .until = descriptor_base::wait_read});
    }
    return watched;
  }
  void process(const std::vector<Watched>& sockets) {
    for (const Watched& watched : sockets) {
      if (!watched.ready) continue;
      const bool is_read = watched.until == descriptor_base::wait_read;
      ares_process_fd(channel_, is_read ? watched.socket : ARES_SOCKET_BAD,
                      is_read ? ARES_SOCKET_BAD : watched.socket);
    }
    ares_process_fd(channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);  // Timeouts.
  }

 private:
  struct Call {
    Channel* channel = nullptr;
    std::size_t exchange = 0;
    bool is_done = false;
  };

  void open(Duration within) {
    ares_options options{};
    // The answer is looked at here, whatever its code; resolv.conf is not read again.
    options.flags =
        ARES_FLAG_NOCHECKRESP | ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_EDNS;
    options.timeout = first_timeout_ms(within);
    options.tries = tries;
    std::string nothing = "/dev/null", lookups = "b";
    options.resolvconf_path = nothing.data();
    options.lookups = lookups.data();
    constexpr int given = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
                          ARES_OPT_RESOLVCONF | ARES_OPT_LOOKUPS | ARES_OPT_NOROTATE;
    ares_addr_port_node node{};
    node.family = server_.is_ipv6 ? AF_INET6 : AF_INET;
    std::memcpy(&node.addr, server_.address.data(), server_.is_ipv6 ? 16 : 4);
    node.udp_port = node.tcp_port = server_.port;
    if (ares_init_options(&channel_, &options, given) != ARES_SUCCESS) channel_ = nullptr;
    if (channel_ && ares_set_servers_ports(channel_, &node) != ARES_SUCCESS) {
      ares_destroy(channel_);
      channel_ = nullptr;
    }
    if (!channel_)
      for (Call& call : calls_) fail(call, "cannot be asked: out of memory");
  }

  static void ended(void* argument, int status, int /*timeouts*/, unsigned char* bytes, int size) {
    Call& call = *static_cast<Call*>(argument);
    --call.channel->in_flight_;
    if (!call.is_done) call.channel->take(call, status, bytes, size);
  }

  void take(Call& call, int status, const unsigned char* bytes, int size) {
    if (!bytes) return fail(call, what_went_wrong(status));
    was_heard_ = true;
    DnsExchange& exchange = exchanges_[call.exchange];
    DnsAnswer answer = read_dns_answer(
        {reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size)}, exchange.question);
    if (answer.kind == DnsAnswer::Kind::failed) return fail(call, answer.why);
    call.is_done = true;
    exchange.answer = std::move(answer);
    exchange.server = server_.text();
  }

  void fail(Call& call, const std::string& why) {
    call.is_done = true;
    std::string& failures = exchanges_[call.exchange].failures;
    failures += (failures.empty() ? "DNS server " : "; DNS server ") + server_.text() + " " + why;
  }

  static std::string what_went_wrong(int status) {
    switch (status) {
      case ARES_ECONNREFUSED:
        return "cannot be reached";
      case ARES_ETIMEOUT:
        return "did not answer in time";
      default:
        return std::string("cannot be asked: ") + ares_strerror(status);
    }
  }

  const DnsServer server_;
  std::vector<DnsExchange>& exchanges_;
  std::vector<Call> calls_;  // c-ares holds pointers into it: never changed after the constructor.
  std::size_t started_ = 0;
  std::size_t in_flight_ = 0;
  bool was_heard_ = false;
  ares_channel channel_ = nullptr;
};

DnsServer server_of(const ares_addr_port_node& node) {
  DnsServer server{.is_ipv6 = node.family == AF_INET6};
  std::memcpy(server.address.data(), &node.addr, server.is_ipv6 ? 16 : 4);
  const int port = node.udp_port;
  server.port = static_cast<std::uint16_t>(port == 0 ? 53 : port);
  return server;
}

}  // namespace

Result<SystemDns> read_system_dns(const std::string& resolv_conf) {
  const auto wrong = [&](int status) {
    return bad_input("cannot read the system's DNS settings (" + resolv_conf +
                     "): " + ares_strerror(status));
  };
  ares_options options{};
  std::string path = resolv_conf;
  options.resolvconf_path = path.data();
  ares_channel opened = nullptr;
  if (const int status = ares_init_options(&opened, &options, ARES_OPT_RESOLVCONF);
      status != ARES_SUCCESS)
    return wrong(status);
  const std::unique_ptr<ares_channeldata, decltype(&ares_destroy)> channel(opened, &ares_destroy);
  ares_addr_port_node* servers = nullptr;
  if (const int status = ares_get_servers_ports(opened, &servers); status != ARES_SUCCESS)
    return wrong(status);
  SystemDns system;
  for (const auto* node = servers; node; node = node->next)
    system.servers.push_back(server_of(*node));
  ares_free_data(servers);
  ares_options saved{};
  int what = 0;
  if (const int status = ares_save_options(opened, &saved, &what); status != ARES_SUCCESS) {
    ares_destroy_options(&saved);
    return wrong(status);
  }
  if ((what & ARES_OPT_DOMAINS) != 0)
    system.domains.assign(saved.domains, saved.domains + saved.ndomains);
  if ((what & ARES_OPT_NDOTS) != 0) system.dots = saved.ndots;
  ares_destroy_options(&saved);
  return system;
}

asio::awaitable<bool> ask_server(const DnsServer& server, std::vector<DnsExchange>& exchanges,
                                 Duration within) {
  const Instant until = after(read_clock().mono, within);
  Channel channel(server, exchanges, within);
  while (channel.go_on()) {
    const Duration left = until - read_clock().mono;
    if (left <= Duration::zero()) break;
    auto sockets = channel.sockets();
    // A little more, so that c-ares agrees that the time has come.
    const Duration wait = std::min(left, channel.next_timeout() + 1ms);
    co_await (until_any_ready(sockets, 0) || time_passes(wait));
    channel.process(sockets);
  }
  co_return channel.was_heard();
}

}  // namespace muster::discovery
