// SPDX-License-Identifier: MIT
#include "gossip_machine.h"

#include <algorithm>
#include <cassert>

#include "bytes.h"
#include "muster/discovery/settings.h"

namespace muster::discovery {
namespace {

using namespace std::chrono_literals;

constexpr Duration time_window =
    2min;  // How far clocks may differ; the guard remembers for longer.
constexpr Duration greet_gap = 100ms;
constexpr Duration hears_itself_within = 2s;  // After three heartbeats in 300 ms.
constexpr std::size_t max_streams = 4096;
constexpr std::size_t max_complaints = 100;

std::uint64_t stream_of(const StrategyContext& context) {
  const std::string origin = context.self.text() + "/" + context.topology + "/" +
                             std::to_string(context.boot_id) + "/" + std::to_string(context.seed);
  const std::string bytes = derive_bytes(origin, "gossip 1 stream", sizeof(std::uint64_t));
  return ByteReader(bytes).number<std::uint64_t>();
}

/// The interface to join and send on; gossip speaks IPv4.
std::string interface_of(const std::string& configured, const std::string& bind_address) {
  if (!configured.empty()) return configured;
  if (bind_address == "::1") return "127.0.0.1";
  return bind_address.find(':') == std::string::npos ? bind_address : "0.0.0.0";
}

GossipMachine::Options complete(GossipMachine::Options options, const StrategyContext& context) {
  options.interface = interface_of(options.interface, context.bind_address);
  return options;
}

}  // namespace

GossipMachine::GossipMachine(Options options, const StrategyContext& context, StrategySink& sink)
    : options_(complete(std::move(options), context)),
      context_(context),
      sink_(sink),
      codec_(options_.secret.empty() ? context.cookie : options_.secret),
      random_(context.seed),
      stream_(stream_of(context)),
      reopen_backoff_({.first = 1s, .most = 1min}),
      counters_{{"sent", 0},    {"heard", 0},    {"heard_itself", 0}, {"malformed", 0},
                {"foreign", 0}, {"replayed", 0}, {"out_of_time", 0}} {
  assert(context_.cluster_id.size() <= 64);
}

std::string GossipMachine::place() const {
  return "interface " + options_.interface + " (group " + options_.group + ":" +
         std::to_string(options_.port) + ")";
}

Duration GossipMachine::forget_after() const {
  return std::max<Duration>(1min, options_.interval * 60);
}

void GossipMachine::start(Now now) {
  if (options_.secret.empty() && context_.cookie.empty())
    sink_.note(Level::warn, "there is neither a secret nor a cookie: anybody may join this gossip");
  open(now);
}

void GossipMachine::open(Now) {
  open_at_ = never;
  sink_.ask(++opening_, OpenGroup{.address = options_.group,
                                  .port = options_.port,
                                  .bind = options_.bind,
                                  .interface = options_.interface,
                                  .hops = options_.hops,
                                  .broadcast = options_.broadcast});
}

void GossipMachine::answer(Now now, QuestionId id, const Answer& answer) {
  if (id != opening_) return;
  const auto& opened = std::get<GroupOpened>(answer).result;
  const bool was_open = std::exchange(is_open_, opened.has_value());
  if (!is_open_) {
    announce_at_ = greet_at_ = deaf_at_ = never;
    open_at_ = after(now.mono, reopen_backoff_.next(random_()));
    sink_.report(Pass::unknown("cannot open " + place() + ": " + opened.error().text()));
    return;
  }
  deaf_at_ = after(now.mono, hears_itself_within);
  if (!was_open) reopen_backoff_.reset();
  announce_at_ = now.mono;
  sent_rhythm_ = 0;
  wake(now);
}

Instant GossipMachine::next_wake() const {
  return std::min({open_at_, announce_at_, greet_at_, deaf_at_});
}

void GossipMachine::wake(Now now) {
  if (now.mono >= open_at_) open(now);
  if (now.mono >= deaf_at_) listen_for_myself(now);
  if (now.mono >= announce_at_) {
    // 0, 100, 300 ms, then the interval, a tenth of it at random so that nodes do not fall into
    // step.
    const auto tenth = options_.interval.count() / 10;
    const Duration jitter(
        static_cast<Duration::rep>(random_() % static_cast<std::uint64_t>(2 * tenth + 1)) - tenth);
    const Duration wait = sent_rhythm_ == 0   ? Duration(100ms)
                          : sent_rhythm_ == 1 ? Duration(200ms)
                                              : options_.interval + jitter;
    sent_rhythm_ = std::min(sent_rhythm_ + 1, 2);
    announce_at_ = after(now.mono, wait);
    announce(now);
    forget(now);
    if (heard_myself_ || !peers_.empty()) report();
  } else if (now.mono >= greet_at_) {
    announce(now);
  }
}

void GossipMachine::announce(Now now) {
  greet_at_ = never;
  last_sent_ = now.mono;
  ++counters_["sent"];
  sink_.send(codec_.encode({.stream = stream_,
                            .counter = ++sent_,
                            .boot_id = context_.boot_id,
                            .sent = now.wall,
                            .link_port = context_.link_port,
                            .name = context_.self,
                            .link_address = context_.link_address,
                            .cluster_id = context_.cluster_id}));
}

void GossipMachine::listen_for_myself(Now now) {
  deaf_at_ = never;
  heard_myself_ = false;
  const std::string what = "cannot hear its own heartbeat on " + place();
  if (!std::exchange(is_deaf_, true))
    sink_.note(Level::error,
               what +
                   ": multicast does not work there; name another interface by its address in "
                   "multicast_if, or use another strategy");
  if (peers_.empty()) sink_.report(Pass::unknown(what));
  open_at_ = after(now.mono, reopen_backoff_.next(random_()));
}

void GossipMachine::forget(Now now) {
  std::erase_if(peers_, [&](const auto& entry) {
    return now.mono - entry.second.last_heard > forget_after();
  });
  // A datagram passes the time window for at most two of them, so the guard may forget after that.
  std::erase_if(streams_, [&](const auto& entry) {
    return now.mono - entry.second.last_heard > time_window * 2;
  });
}

void GossipMachine::datagram(Now now, std::string_view bytes) {
  const auto decoded = codec_.decode(bytes);
  if (const auto* heard = std::get_if<Heartbeat>(&decoded)) {
    heartbeat(now, *heard);
    return;
  }
  const bool is_foreign = std::get<BadDatagram>(decoded) == BadDatagram::foreign;
  ++counters_[is_foreign ? "foreign" : "malformed"];
  if (is_foreign && complained_.insert("foreign").second)
    sink_.note(Level::info,
               "hears nodes under another secret or cookie on " + place() + "; they are ignored");
}

void GossipMachine::heartbeat(Now now, const Heartbeat& heartbeat) {
  if (heartbeat.stream == stream_) {
    // A replay of our own words must not hide that we are deaf; older ones than the last few prove
    // nothing.
    if (heartbeat.counter > sent_ || sent_ - heartbeat.counter > 3) {
      ++counters_["replayed"];
      return;
    }
    ++counters_["heard_itself"];
    deaf_at_ = after(now.mono, options_.interval * 10);
    open_at_ = never;
    reopen_backoff_.reset();
    if (std::exchange(is_deaf_, false))
      sink_.note(Level::info, "hears its own heartbeat again on " + place());
    if (!std::exchange(heard_myself_, true)) report();
    return;
  }
  if (!accept(now, heartbeat)) return;
  ++counters_["heard"];
  if (heartbeat.name != context_.self)
    meet(now, heartbeat);
  else if (heartbeat.boot_id != context_.boot_id)
    namesake(heartbeat);
}

bool GossipMachine::is_fresh(Now now, const Heartbeat& heartbeat) {
  const auto window = std::chrono::duration_cast<Timestamp::duration>(time_window);
  if (heartbeat.sent >= now.wall - window && heartbeat.sent <= now.wall + window) return true;
  ++counters_["out_of_time"];
  if (complained_.size() < max_complaints &&
      complained_.insert("clock " + heartbeat.name.text()).second)
    sink_.note(Level::warn,
               "a heartbeat of " + heartbeat.name.text() + " is more than " +
                   duration_text(time_window) +
                   " off our clock and ignored: an old one sent again, or clocks that differ");
  return false;
}

bool GossipMachine::accept(Now now, const Heartbeat& heartbeat) {
  if (!is_fresh(now, heartbeat)) return false;
  const auto known = streams_.find(heartbeat.stream);
  if (known == streams_.end()) {
    if (streams_.size() >= max_streams) {
      ++counters_["beyond_limit"];
      return false;
    }
    streams_[heartbeat.stream] = {.counter = heartbeat.counter, .last_heard = now.mono};
    // A newcomer: it should not wait for our next beat.
    greet_at_ = std::min(greet_at_, std::max(now.mono, after(last_sent_, greet_gap)));
    return true;
  }
  if (heartbeat.counter <= known->second.counter) {
    ++counters_["replayed"];
    return false;
  }
  known->second = {.counter = heartbeat.counter, .last_heard = now.mono};
  return true;
}

void GossipMachine::meet(Now now, const Heartbeat& heartbeat) {
  Known& known = peers_[heartbeat.name];
  const Peer peer{.name = heartbeat.name,
                  .address = heartbeat.link_port == 0 ? "" : heartbeat.link_address,
                  .port = heartbeat.link_port};
  const bool is_news = known.peer != peer || known.boot_id != heartbeat.boot_id;
  known = {.peer = peer, .boot_id = heartbeat.boot_id, .last_heard = now.mono};
  if (is_news) report();
  if (now.mono >= greet_at_) announce(now);
}

void GossipMachine::namesake(const Heartbeat& heartbeat) {
  if (complained_.size() >= max_complaints ||
      !complained_.insert("namesake " + std::to_string(heartbeat.boot_id)).second)
    return;
  sink_.note(Level::error, "another node calls itself " + heartbeat.name.text() + ", too (" +
                               heartbeat.link_address + ":" + std::to_string(heartbeat.link_port) +
                               "): names must be unique in a cluster");
}

void GossipMachine::report() {
  PeerSet peers;
  for (const auto& [name, known] : peers_) peers.insert(known.peer);
  Pass pass = Pass::list(std::move(peers));
  pass.disconnects = false;
  sink_.report(std::move(pass));
}

void GossipMachine::check_invariants() const {
  assert(streams_.size() <= max_streams);
  assert(peers_.size() <= max_streams);
  assert(complained_.size() <= max_complaints + 1);
  assert(!peers_.contains(context_.self));
  assert(!streams_.contains(stream_));
}

}  // namespace muster::discovery
