// SPDX-License-Identifier: MIT
// See node_shell.h.  This file: how a node begins and ends.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <boost/assert.hpp>
#include <charconv>
#include <cstdlib>
#include <utility>

#include "file_io.h"
#include "muster/discovery/clock.h"
#include "node_shell.h"

namespace muster::node {
namespace {

constexpr Duration own_host_lookup = std::chrono::milliseconds(500);
constexpr Duration leave_deadline = std::chrono::seconds(5);
/// Of the node's own ids, the last.
constexpr ServiceId shell_service = 15;

std::uint64_t random_bits() {
  std::uint64_t bits = 0;
  while (::getrandom(&bits, sizeof bits, 0) != sizeof bits || bits == 0) {
  }
  return bits;
}

/// Linux draws an id at each start of the computer; 0 where it cannot be read.
std::uint64_t host_start() {
  const FileDescriptor file(::open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC));
  constexpr std::size_t longest = 64;
  const auto text = file.valid() ? read_all(file, longest) : Result<std::string>(std::string());
  std::uint32_t first_digits = 0;
  if (text) std::from_chars(text->data(), text->data() + text->size(), first_digits, 16);
  return first_digits;
}

std::uint16_t mapper_port_of(const NodeSettings& settings) {
  if (settings.mapper_port) return *settings.mapper_port;
  std::uint16_t port = 0;
  const char* const text = std::getenv("ERL_EPMD_PORT");
  const std::string_view view = text == nullptr ? "" : text;
  const auto [end, error] = std::from_chars(view.data(), view.data() + view.size(), port);
  const bool good = error == std::errc() && end == view.data() + view.size() && port != 0;
  return good ? port : port_mapper::default_port;
}

}  // namespace

Node::Impl::Impl(asio::any_io_executor executor, NodeSettings settings, Log log)
    : strand_(std::move(executor)),
      settings_(std::move(settings)),
      log_(std::move(log)),
      tasks_(strand_),
      calls_(strand_),
      resolver_(strand_),
      mapper_port_(mapper_port_of(settings_)),
      timer_(strand_),
      left_(strand_),
      stopping_(strand_),
      stopped_(strand_) {}

Result<void> Node::Impl::take_directory() {
  if (settings_.directory.empty()) return {};
  auto lock = DirectoryLock::take(settings_.directory);
  if (!lock) return lock.error();
  auto keeper = std::make_unique<StateKeeper>(StateFile(settings_.directory, settings_.name), log_);
  auto state = keeper->load();
  if (!state) return state.error();
  lock_ = std::move(*lock);
  state_ = std::move(*state);
  state_keeper_ = std::move(keeper);
  return {};
}

Result<asio::ip::address> Node::Impl::bind_address() const {
  error_code error;
  if (settings_.bind.empty()) {
    const auto named = asio::ip::make_address(std::string(settings_.name.host()), error);
    return error ? asio::ip::address(asio::ip::address_v4::loopback()) : named;
  }
  const auto given = asio::ip::make_address(settings_.bind, error);
  if (error) return bad_input(fmt::format("--bind {}: not an address", settings_.bind));
  return given;
}

Result<void> Node::Impl::take_cookie() {
  const auto file = settings_.cookie_file.empty() ? default_cookie_file() : settings_.cookie_file;
  const std::string where =
      settings_.cookie ? "the cookie" : fmt::format("the cookie {}", file.string());
  if (!settings_.cookie) {
    auto cookie = Cookie::load_or_create(file);
    if (!cookie) return cookie.error();
    settings_.cookie = std::move(*cookie);
  }
  const auto bind = bind_address();
  if (!bind) return bind.error();
  const std::string weakness = settings_.cookie->weakness();
  if (weakness.empty()) return {};
  if (bind->is_loopback()) {
    log_.warn("{} is weak: {}; only nodes on loopback may use it", where, weakness);
    return {};
  }
  return bad_input(fmt::format(
      "{} is too weak to listen on {}: {}; delete the file on all hosts, let one node make a new "
      "one and copy it to the others",
      where, bind->to_string(), weakness));
}

/// On loopback: each loopback address that this host is known by (Debian maps the host name to
/// 127.0.1.1).  Not all interfaces: a port that is not open needs no check, and a scan from outside
/// finds nothing.
asio::awaitable<std::vector<asio::ip::address>> Node::Impl::link_addresses(asio::ip::address bind) {
  std::vector<asio::ip::address> all(1, bind);
  if (!bind.is_loopback()) co_return all;
  const auto add = [&](const asio::ip::address& address) {
    const bool known = std::find(all.begin(), all.end(), address) != all.end();
    if (address.is_loopback() && !known) all.push_back(address);
  };
  add(asio::ip::address_v4::loopback());
  add(asio::ip::address_v6::loopback());
  Watchdog watchdog(strand_, tasks_, [this] { resolver_.cancel(); });
  watchdog.start(own_host_lookup);
  const std::string named(settings_.name.host());
  auto own = co_await resolver_.resolve(named);
  std::string host(256, '\0');
  if (::gethostname(host.data(), host.size() - 1) == 0 && !watchdog.bitten()) {
    host.resize(host.find('\0'));
    auto others = co_await resolver_.resolve(host);
    if (others) std::for_each(others->begin(), others->end(), add);
  }
  if (own) std::for_each(own->begin(), own->end(), add);
  co_return all;
}

asio::awaitable<Result<void>> Node::Impl::take_port() {
  const auto bind = bind_address();
  if (!bind) co_return bind.error();
  Transport::Options options;
  options.mapper_port = mapper_port_;
  options.dial_deadline = settings_.dial_deadline;
  const Key key = settings_.cookie->derive("link");
  Transport::Owner& owner = *this;
  transport_ = std::make_unique<Transport>(strand_, options, key, log_, owner);
  const auto addresses = co_await link_addresses(*bind);
  if (stopping_.happened()) co_return bad_input("the node is stopping");
  auto port = transport_->listen(addresses, settings_.link_port);
  if (!port) co_return port.error();
  make_machine(*port);
  co_return Result<void>();
}

void Node::Impl::make_machine(std::uint16_t port) {
  const auto bind = *bind_address();
  advertised_.name = settings_.name;
  advertised_.address = bind.is_unspecified() ? "" : bind.to_string();
  advertised_.port = port;
  NodeOptions options;
  options.name = settings_.name;
  options.boot = BootId{random_bits()};
  options.host_start = host_start();
  options.advertised = advertised_;
  options.probe_every = settings_.probe_every;
  options.silent_after = settings_.silent_after;
  options.cluster = settings_.cluster;
  options.allow_faults = settings_.allow_faults;
  seed_ = random_bits();
  NodeEffects& effects = *this;
  machine_ = std::make_unique<NodeMachine>(std::move(options), std::move(state_), seed_, effects);
  machine_->attach(shell_service, this);
  renew_view();
}

asio::awaitable<Result<void>> Node::Impl::open() {
  if (stopping_.happened()) co_return bad_input("the node is stopping");
  if (machine_) co_return bad_input("the node is open already");
  calls_.begin();
  Result<void> taken = take_directory();
  if (taken) taken = take_cookie();
  if (taken) taken = co_await take_port();
  calls_.end();
  co_return taken;
}

asio::awaitable<Result<void>> Node::Impl::take_name() {
  if (!settings_.use_port_mapper) co_return Result<void>();
  PortMapperRegistration::Options options;
  options.port = mapper_port_;
  options.addresses = {asio::ip::address_v4::loopback(), asio::ip::address_v6::loopback()};
  const auto bind = *bind_address();
  if (!bind.is_loopback() || bind.is_v4()) options.addresses.push_back(bind);
  options.node.name = std::string(settings_.name.base());
  options.node.port = advertised_.port;
  options.node.extra = fmt::format("{} 1", port_mapper::muster_mark);
  registration_ =
      std::make_unique<PortMapperRegistration>(strand_, std::move(options), seed_, log_);
  co_return co_await registration_->start();
}

asio::awaitable<Result<void>> Node::Impl::start() {
  if (!machine_) {
    if (auto opened = co_await open(); !opened) co_return opened;
  }
  if (stopping_.happened() || started_) co_return bad_input("the node is stopping or started");
  started_ = true;
  calls_.begin();
  timer_.expires_at(timer_deadline(never));
  turn([this](Now now) { machine_->start(now); });
  tasks_.spawn(run_timer());
  transport_->accept();
  log_.info("{} listens for links on port {}", settings_.name.text(), advertised_.port);
  auto named = co_await take_name();
  calls_.end();
  co_return named;
}

asio::awaitable<void> Node::Impl::run_timer() {
  while (!stopping_.happened()) {
    (void)co_await timer_.async_wait(await_tuple);
    if (stopping_.happened()) break;
    // Cancelled: armed anew, for an earlier moment.
    if (read_mono() < armed_) continue;
    armed_ = never;
    timer_.expires_at(timer_deadline(never));
    turn([this](Now now) {
      if (machine_->next_wake() <= now.mono) machine_->wake(now);
    });
  }
}

asio::awaitable<Result<void>> Node::Impl::leave() {
  if (!started_ || stopping_.happened()) co_return bad_input("the node is not running");
  calls_.begin();
  turn([this](Now now) { machine_->leave(now); });
  (void)co_await left_.wait(leave_deadline);
  const bool left = machine_->left();
  if (left) co_await transport_->wait_for_closing();
  calls_.end();
  if (left) co_return Result<void>();
  co_return bad_input("not all peers have heard that this node leaves");
}

asio::awaitable<void> Node::Impl::stop() {
  if (stopping_.happened()) {
    (void)co_await stopped_.wait();
    co_return;
  }
  stopping_.set();
  timer_.cancel();
  resolver_.cancel();
  left_.set();
  for (Happening* waiting : waiting_) waiting->set();
  if (registration_) co_await registration_->stop();
  if (transport_) co_await transport_->stop();
  co_await calls_.wait();
  co_await tasks_.wait();
  state_keeper_.reset();  // Waits for a write under way.
  lock_.reset();
  stopped_.set();
}

}  // namespace muster::node
