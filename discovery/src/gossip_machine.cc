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
constexpr Duration report_gap = 50ms;       // A pass costs as much as there are peers.
constexpr Duration change_settles = 100ms;  // An interface comes in several steps.
constexpr std::size_t max_complaints = 100;
constexpr std::size_t echoes_known = 4;
constexpr std::size_t max_erlang_name = 255;

std::string origin_of(const StrategyContext& context) {
  return context.self.text() + "/" + context.topology + "/" + std::to_string(context.boot_id) +
         "/" + std::to_string(context.seed);
}

std::uint64_t stream_of(const std::string& origin) {
  const std::string bytes = derive_bytes(origin, "gossip 1 stream", sizeof(std::uint64_t));
  return ByteReader(bytes).number<std::uint64_t>();
}

GossipMachine::Options complete(GossipMachine::Options options, const StrategyContext& context) {
  if (options.interface.empty()) options.interface = context.bind_address;
  if (options.secrets.empty() && options.format == GossipMachine::Format::muster)
    options.secrets.push_back(context.cookie);
  return options;
}

std::variant<GossipCodec, LibclusterCodec> codec_of(const GossipMachine::Options& options,
                                                    const std::string& origin) {
  if (options.format == GossipMachine::Format::libcluster)
    return LibclusterCodec(options.secrets, origin);
  return GossipCodec(options.secrets);
}

}  // namespace

GossipMachine::GossipMachine(Options options, const StrategyContext& context, StrategySink& sink)
    : options_(complete(std::move(options), context)),
      context_(context),
      sink_(sink),
      origin_(origin_of(context)),
      codec_(codec_of(options_, origin_)),
      random_(context.seed),
      stream_(stream_of(origin_)),
      reopen_backoff_({.first = 1s, .most = 1min}),
      counters_{{"sent", 0},        {"heard", 0},        {"heard_itself", 0},
                {"malformed", 0},   {"foreign", 0},      {"replayed", 0},
                {"out_of_time", 0}, {"other_format", 0}, {"under_old_secret", 0},
                {"opened", 0},      {"beyond_limit", 0}, {"unusable_name", 0}} {
  assert(context_.cluster_id.size() <= 64);
}

std::string GossipMachine::place() const {
  return "interface " + options_.interface + " (group " + options_.group + ":" +
         std::to_string(options_.port) + ")";
}

Duration GossipMachine::forget_after() const {
  return std::max<Duration>(1min, options_.interval * 60);
}

void GossipMachine::start(Now) {
  const bool is_open_to_all = options_.secrets.empty() || options_.secrets.front().empty();
  if (options_.format == Format::libcluster) {
    sink_.note(Level::warn, std::string("speaks libcluster's format: its heartbeats are ") +
                                (is_open_to_all ? "neither encrypted nor authenticated"
                                                : "encrypted, not authenticated") +
                                ", and whoever has recorded one can send it again");
    if (context_.self.text().size() > max_erlang_name) {
      sink_.report(
          Pass::unknown("our name has more than 255 characters; libcluster's nodes could "
                        "not read it"));
      return;
    }
  } else if (is_open_to_all) {
    sink_.note(Level::warn, "there is neither a secret nor a cookie: anybody may join this gossip");
  }
  open();
}

void GossipMachine::open() {
  open_at_ = changed_at_ = never;
  if (opening_ != 0) sink_.withdraw(opening_);
  sink_.ask(++opening_, OpenGroup{.address = options_.group,
                                  .port = options_.port,
                                  .bind = options_.bind,
                                  .interface = options_.interface,
                                  .hops = options_.hops,
                                  .broadcast = options_.broadcast});
}

void GossipMachine::answer(Now now, QuestionId id, const Answer& answer) {
  if (id != opening_) return;
  if (std::holds_alternative<GroupChanged>(answer)) {
    changed_at_ = std::min(changed_at_, after(now.mono, change_settles));
    return;
  }
  const auto& opened = std::get<GroupOpened>(answer).result;
  const bool was_open = std::exchange(is_open_, opened.has_value());
  if (!is_open_) {
    announce_at_ = greet_at_ = deaf_at_ = never;
    heard_myself_ = false;
    open_at_ = after(now.mono, reopen_backoff_.next(random_()));
    sink_.report(Pass::unknown("cannot open " + place() + ": " + opened.error().text()));
    return;
  }
  ++counters_["opened"];
  deaf_at_ = context_.listens_only ? never : after(now.mono, hears_itself_within);
  if (!was_open) reopen_backoff_.reset();
  announce_at_ = now.mono;
  sent_rhythm_ = 0;
  wake(now);
}

Instant GossipMachine::next_wake() const {
  return std::min({open_at_, changed_at_, announce_at_, greet_at_, deaf_at_, report_at_});
}

void GossipMachine::wake(Now now) {
  if (now.mono >= open_at_ || now.mono >= changed_at_) open();
  if (now.mono >= deaf_at_) listen_for_myself(now);
  if (now.mono >= announce_at_)
    beat(now);
  else if (now.mono >= greet_at_)
    announce(now);
  if (now.mono >= report_at_) report(now);
}

void GossipMachine::beat(Now now) {
  // 0, 100, 300 ms, then the interval, a tenth of it at random so that nodes do not fall into step.
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
  if (heard_myself_ || context_.listens_only || !peers_.empty()) report(now);
}

void GossipMachine::announce(Now now) {
  greet_at_ = never;
  if (context_.listens_only) return;
  last_sent_ = now.mono;
  ++counters_["sent"];
  ++sent_;
  sink_.send(encoded(now));
}

std::string GossipMachine::encoded(Now now) {
  if (auto* libcluster = std::get_if<LibclusterCodec>(&codec_)) {
    last_sent_bytes_.push_back(libcluster->encode(context_.self.text()));
    if (last_sent_bytes_.size() > echoes_known) last_sent_bytes_.pop_front();
    return last_sent_bytes_.back();
  }
  return std::get<GossipCodec>(codec_).encode({.stream = stream_,
                                               .counter = sent_,
                                               .boot_id = context_.boot_id,
                                               .sent = now.wall,
                                               .link_port = context_.link_port,
                                               .name = context_.self,
                                               .link_address = context_.link_address,
                                               .cluster_id = context_.cluster_id});
}

void GossipMachine::listen_for_myself(Now now) {
  deaf_at_ = never;
  heard_myself_ = false;
  const std::string what = "cannot hear its own heartbeat on " + place();
  if (!std::exchange(is_deaf_, true))
    sink_.note(Level::error,
               what + (options_.broadcast ? ": broadcasts do" : ": multicast does") +
                   " not work there; name another interface in multicast_if, or use another "
                   "strategy");
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
  if (auto* libcluster = std::get_if<LibclusterCodec>(&codec_)) {
    const auto decoded = libcluster->decode(bytes);
    if (const auto* heard = std::get_if<LibclusterHeartbeat>(&decoded))
      heartbeat(now, *heard, bytes);
    else
      refuse(std::get<BadDatagram>(decoded));
    return;
  }
  const auto decoded = std::get<GossipCodec>(codec_).decode(bytes);
  if (const auto* heard = std::get_if<Heartbeat>(&decoded))
    heartbeat(now, *heard);
  else
    refuse(std::get<BadDatagram>(decoded));
}

void GossipMachine::refuse(BadDatagram bad) {
  switch (bad) {
    case BadDatagram::malformed:
      ++counters_["malformed"];
      return;
    case BadDatagram::foreign:
      ++counters_["foreign"];
      if (first_complaint("foreign"))
        sink_.note(Level::info, "hears nodes under another secret or cookie on " + place() +
                                    "; they are ignored");
      return;
    case BadDatagram::other_format:
      ++counters_["other_format"];
      if (first_complaint("other format"))
        sink_.note(Level::info, "hears nodes that speak another format of gossip on " + place() +
                                    "; they are ignored: `format` is to be the same");
      return;
  }
}

bool GossipMachine::first_complaint(const std::string& about) {
  return complained_.size() < max_complaints && complained_.insert(about).second;
}

void GossipMachine::heard_itself(Now now) {
  ++counters_["heard_itself"];
  deaf_at_ = after(now.mono, options_.interval * 10);
  open_at_ = never;
  reopen_backoff_.reset();
  if (std::exchange(is_deaf_, false))
    sink_.note(Level::info, "hears its own heartbeat again on " + place());
  if (!std::exchange(heard_myself_, true)) report_soon(now);
}

void GossipMachine::heartbeat(Now now, const Heartbeat& heartbeat) {
  if (heartbeat.stream == stream_) {
    // A replay of our own words must not hide that we are deaf; older ones than the last few prove
    // nothing.
    if (heartbeat.counter > sent_ || sent_ - heartbeat.counter > 3)
      ++counters_["replayed"];
    else
      heard_itself(now);
    return;
  }
  if (!accept(now, heartbeat)) return;
  ++counters_["heard"];
  if (heartbeat.name != context_.self)
    meet(now,
         {.name = heartbeat.name,
          .address = heartbeat.link_port == 0 ? "" : heartbeat.link_address,
          .port = heartbeat.link_port},
         heartbeat.boot_id, heartbeat.under_old_secret);
  else if (heartbeat.boot_id != context_.boot_id)
    namesake(std::to_string(heartbeat.boot_id),
             " (" + heartbeat.link_address + ":" + std::to_string(heartbeat.link_port) + ")");
}

void GossipMachine::heartbeat(Now now, const LibclusterHeartbeat& heartbeat,
                              std::string_view bytes) {
  if (heartbeat.node == context_.self.text()) {
    if (std::ranges::find(last_sent_bytes_, bytes) != last_sent_bytes_.end()) {
      heard_itself(now);
    } else {
      ++counters_["replayed"];
      namesake("libcluster", ", or sends old heartbeats of ours again");
    }
    return;
  }
  const auto name = NodeName::parse(heartbeat.node);
  if (!name) {
    ++counters_["unusable_name"];
    return;
  }
  const bool is_new = !peers_.contains(*name);
  if (is_new && peers_.size() >= max_streams) {
    ++counters_["beyond_limit"];
    return;
  }
  ++counters_["heard"];
  if (is_new) greet(now);
  meet(now, {.name = *name}, 0, heartbeat.under_old_secret);
}

bool GossipMachine::is_fresh(Now now, const Heartbeat& heartbeat) {
  const auto window = std::chrono::duration_cast<Timestamp::duration>(time_window);
  if (heartbeat.sent >= now.wall - window && heartbeat.sent <= now.wall + window) return true;
  ++counters_["out_of_time"];
  if (first_complaint("clock " + heartbeat.name.text()))
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
    greet(now);
    return true;
  }
  if (heartbeat.counter <= known->second.counter) {
    ++counters_["replayed"];
    return false;
  }
  known->second = {.counter = heartbeat.counter, .last_heard = now.mono};
  return true;
}

/// A newcomer should not wait for our next beat.
void GossipMachine::greet(Now now) {
  if (is_open_) greet_at_ = std::min(greet_at_, std::max(now.mono, after(last_sent_, greet_gap)));
}

void GossipMachine::meet(Now now, const Peer& peer, std::uint64_t boot_id, bool under_old_secret) {
  Known& known = peers_[peer.name];
  const bool is_news = known.peer != peer || known.boot_id != boot_id;
  known = {.peer = peer, .boot_id = boot_id, .last_heard = now.mono};
  if (under_old_secret) {
    ++counters_["under_old_secret"];
    if (first_complaint("old secret"))
      sink_.note(Level::info,
                 "hears " + peer.name.text() + " under an old secret: it is still in use");
  }
  if (is_news) report_soon(now);
  if (now.mono >= greet_at_) announce(now);
}

void GossipMachine::namesake(const std::string& which, const std::string& where) {
  if (first_complaint("namesake " + which))
    sink_.note(Level::error, "another node calls itself " + context_.self.text() + ", too" + where +
                                 ": names must be unique in a cluster");
}

void GossipMachine::report_soon(Now now) {
  if (now.mono >= after(last_report_, report_gap))
    report(now);
  else
    report_at_ = after(last_report_, report_gap);
}

void GossipMachine::report(Now now) {
  last_report_ = now.mono;
  report_at_ = never;
  PeerSet peers;  // In the order of names, as peers_ are.
  for (const auto& [name, known] : peers_) peers.insert(peers.end(), known.peer);
  Pass pass = Pass::list(std::move(peers));
  pass.disconnects = false;
  sink_.report(std::move(pass));
}

void GossipMachine::check_invariants() const {
  assert(streams_.size() <= max_streams);
  assert(peers_.size() <= max_streams);
  assert(complained_.size() <= max_complaints);
  assert(last_sent_bytes_.size() <= echoes_known);
  assert(!peers_.contains(context_.self));
  assert(!streams_.contains(stream_));
}

}  // namespace muster::discovery
