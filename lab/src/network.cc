// SPDX-License-Identifier: MIT
//
// The simulated network; see network.h.
#include "muster/lab/network.h"

#include <algorithm>
#include <boost/assert.hpp>

namespace muster::lab {

using namespace std::chrono_literals;

namespace {

// What a lost segment costs a connection: mostly the next ones tell of it, sometimes only time.
constexpr Duration retransmit_tail = 200ms;
constexpr double tail_share = 0.2;
constexpr Timestamp world_begins = std::chrono::sys_days(std::chrono::year(2026) / 1 / 1);

}  // namespace

Network::Network(Agenda& agenda, Trace& trace, std::uint64_t seed)
    : agenda_(agenda), trace_(trace), random_(seed) {
  connections_.emplace_back();  // So that no end is zero.
}

HostId Network::add_host(std::string name) {
  const auto id = static_cast<HostId>(hosts_.size());
  Host& host = hosts_.emplace_back();
  host.name = std::move(name);
  host.epoch = random_.between(0s, std::chrono::hours(1000));
  for (std::vector<bool>& row : cut_) row.resize(hosts_.size());
  cut_.resize(hosts_.size(), std::vector<bool>(hosts_.size()));
  for (std::vector<Instant>& row : healed_) row.resize(hosts_.size());
  healed_.resize(hosts_.size(), std::vector<Instant>(hosts_.size()));
  return id;
}

void Network::note(std::string_view what, HostId a, HostId b) {
  trace_.mix(what);
  trace_.mix(a << 16 | b);
  trace_.say(agenda_.now(), "network: {} {} -> {}", what, hosts_[a].name, hosts_[b].name);
}

// ---- processes

void Network::start(HostId host, Process* process) {
  BOOST_ASSERT(hosts_[host].process == nullptr);
  note("start", host, host);
  hosts_[host].process = process;
  hosts_[host].paused = hosts_[host].dark = false;
  for (HostId from = 0; from < hosts_.size(); ++from) wake_waiting(from, host);
}

void Network::stop(HostId id) {
  note("stop", id, id);
  Host& host = hosts_[id];
  host.process = nullptr;
  ++host.life;
  host.paused = false;
  host.inbox.clear();
  const std::set<std::uint64_t> connections = host.connections;
  for (const std::uint64_t number : connections)
    for (const End end : {End{number << 1}, End{number << 1 | 1}})
      if (open(end) && host_of(end) == id) close(end);
}

void Network::power_off(HostId id) {
  note("power off", id, id);
  Host& host = hosts_[id];
  host.process = nullptr;
  ++host.life;
  host.paused = false;
  host.dark = true;
  host.inbox.clear();
  const std::set<std::uint64_t> connections = host.connections;
  for (const std::uint64_t number : connections)
    for (const End end : {End{number << 1}, End{number << 1 | 1}})
      if (open(end) && host_of(end) == id) shut(end);
}

void Network::pause(HostId host) {
  note("pause", host, host);
  hosts_[host].paused = hosts_[host].process != nullptr;
}

void Network::resume(HostId host) {
  if (!hosts_[host].paused) return;
  note("resume", host, host);
  hosts_[host].paused = false;
  agenda_.at(agenda_.now(), [this, host] { drain(host); });
}

void Network::drain(HostId id) {
  Host& host = hosts_[id];
  while (!host.inbox.empty() && !host.paused) {
    Action action = std::move(host.inbox.front());
    host.inbox.pop_front();
    action();
  }
}

void Network::on_host(HostId id, Action action) {
  Host& host = hosts_[id];
  if (host.process == nullptr) return;
  if (host.paused || !host.inbox.empty())
    host.inbox.push_back(std::move(action));
  else
    action();
}

// ---- datagrams

void Network::send(HostId from, HostId to, Payload bytes) {
  const Quality& quality = between(from, to);
  ++counters_.datagrams;
  const int copies = 1 + (random_.chance(quality.duplication) ? 1 : 0);
  if (copies > 1) ++counters_.doubled;
  for (int copy = 0; copy < copies; ++copy) {
    if (random_.chance(quality.loss)) {
      ++counters_.lost;
      continue;
    }
    agenda_.in(quality.delay + random_.between(0ns, quality.jitter), [this, from, to, bytes] {
      if (!passes(from, to)) return;
      on_host(to, [this, from, to, bytes] {
        trace_.mix(*bytes);
        hosts_[to].process->datagram(from, *bytes);
      });
    });
  }
}

// ---- connections

Network::Connection* Network::connection(End end) const {
  return connections_.at(end.value >> 1).get();
}

bool Network::open(End end) const {
  const Connection* found = connection(end);
  return found != nullptr && found->open[side(end)];
}

bool Network::established(End end) const {
  return open(end) && connection(end)->established[side(end)];
}

HostId Network::host_of(End end) const {
  const Connection* found = connection(end);
  BOOST_ASSERT(found != nullptr);
  return found->hosts[side(end)];
}

End Network::dial(HostId from, HostId to) {
  ++counters_.dials;
  const std::uint64_t number = connections_.size();
  auto made = std::make_unique<Connection>();
  made->hosts[0] = from;
  made->hosts[1] = to;
  made->open[0] = true;
  connections_.push_back(std::move(made));
  hosts_[from].connections.insert(number);
  hosts_[to].connections.insert(number);
  const End mine{number << 1};
  put_under_way(mine.other(), Lane::urgent, {.kind = Kind::dial});
  return mine;
}

void Network::send(End end, Lane lane, Payload bytes) {
  if (!open(end)) return;
  ++counters_.frames;
  counters_.bytes += bytes->size();
  connection(end)->inbound[side(end.other())].in_flight += bytes->size();
  put_under_way(end.other(), lane, {.kind = Kind::frame, .bytes = std::move(bytes)});
}

void Network::close(End end) {
  if (!open(end)) return;
  // Its own end is gone at once; the other side hears of it behind what was sent before.
  put_under_way(end.other(), Lane::urgent, {.kind = Kind::close, .reason = "closed by peer"});
  shut(end);
}

void Network::shut(End end) {
  Connection* shut = connection(end);
  shut->open[side(end)] = false;
  shut->inbound[side(end)].waiting.clear();
  if (shut->open[0] || shut->open[1]) return;
  const std::uint64_t number = end.value >> 1;
  for (const HostId host : shut->hosts) hosts_[host].connections.erase(number);
  connections_[number].reset();
}

std::size_t Network::queued(End end) const {
  const Connection* found = connection(end);
  if (found == nullptr) return 0;
  const std::size_t sent = found->inbound[side(end.other())].in_flight;
  return sent > socket_buffer ? sent - socket_buffer : 0;
}

const Quality& Network::between(HostId from, HostId to) const {
  if (pair_quality_.empty()) return quality_;
  const auto found = pair_quality_.find({std::min(from, to), std::max(from, to)});
  return found == pair_quality_.end() ? quality_ : found->second;
}

Duration Network::travel(HostId from, HostId to, std::size_t bytes) {
  const Quality& quality = between(from, to);
  Duration time = quality.delay + random_.between(0ns, quality.jitter);
  while (random_.chance(std::min(quality.loss, 0.9)))
    time += random_.chance(tail_share) ? retransmit_tail : 4 * quality.delay + quality.jitter;
  if (quality.bytes_per_second != 0)
    time += Duration(std::uint64_t{1'000'000'000} * bytes / quality.bytes_per_second);
  return time;
}

void Network::put_under_way(End to, Lane lane, Packet packet) {
  Connection& through = *connection(to);
  Inbound& inbound = through.inbound[side(to)];
  const std::size_t size = packet.bytes ? packet.bytes->size() : 0;
  Instant arrival =
      agenda_.now() + travel(through.hosts[side(to.other())], through.hosts[side(to)], size);
  // Urgent may pass bulk; nothing passes urgent.
  arrival = std::max(arrival, inbound.last_urgent);
  if (lane == Lane::bulk) arrival = std::max(arrival, inbound.last_bulk);
  (lane == Lane::urgent ? inbound.last_urgent : inbound.last_bulk) = arrival;
  agenda_.at(arrival,
             [this, to, packet = std::move(packet)]() mutable { arrive(to, std::move(packet)); });
}

bool Network::blocked(const Connection& through, End to) const {
  const HostId host = through.hosts[side(to)];
  return hosts_[host].dark || !passes(through.hosts[side(to.other())], host);
}

void Network::arrive(End to, Packet packet) {
  Connection* through = connection(to);
  if (through == nullptr) return;
  Inbound& inbound = through->inbound[side(to)];
  if (blocked(*through, to) || !inbound.waiting.empty())
    inbound.waiting.push_back(std::move(packet));
  else
    deliver(to, std::move(packet));
}

void Network::deliver(End to, Packet packet) {
  const HostId host = connection(to)->hosts[side(to)];
  if (hosts_[host].process == nullptr) {  // The kernel answers for it.
    if (packet.kind == Kind::dial) ++counters_.refused;
    if (packet.kind != Kind::close)
      tell_closed(to.other(), packet.kind == Kind::dial ? "connection refused" : "reset by peer");
    return;
  }
  if (hosts_[host].paused || !hosts_[host].inbox.empty())
    hosts_[host].inbox.push_back([this, to, packet = std::move(packet)] { hand_over(to, packet); });
  else
    hand_over(to, packet);
}

void Network::tell_closed(End to, const char* reason) {
  if (!open(to)) return;
  put_under_way(to, Lane::urgent, {.kind = Kind::close, .reason = reason});
}

void Network::accept(End to) {
  Connection& through = *connection(to);
  if (!through.open[0]) return;
  through.open[1] = true;
  put_under_way(to.other(), Lane::urgent, {.kind = Kind::establish});
  hosts_[through.hosts[1]].process->accepted(to, through.hosts[0]);
}

void Network::hand_over(End to, const Packet& packet) {
  Connection* through = connection(to);
  if (through == nullptr) return;
  const std::uint32_t my_side = side(to);
  Process& process = *hosts_[through->hosts[my_side]].process;
  trace_.mix(static_cast<std::uint64_t>(agenda_.now().time_since_epoch().count()));
  trace_.mix(to.value << 2 | static_cast<std::uint64_t>(packet.kind));
  if (packet.bytes) {
    through->inbound[my_side].in_flight -= packet.bytes->size();
    trace_.mix(*packet.bytes);
  }
  if (packet.kind == Kind::dial) return accept(to);
  if (!through->open[my_side]) {
    if (packet.kind != Kind::close) tell_closed(to.other(), "reset by peer");
    return;
  }
  if (packet.kind == Kind::frame && trace_.frames())
    trace_.say(agenda_.now(), "frame: {} -> {} {} bytes, service {}", name(peer_of(to)),
               name(host_of(to)), packet.bytes->size(),
               packet.bytes->empty() ? 0 : static_cast<unsigned char>(packet.bytes->front()));
  if (packet.kind == Kind::frame) return process.received(to, *packet.bytes);
  if (packet.kind == Kind::close) {
    shut(to);
    return process.closed(to, packet.reason);
  }
  through->established[my_side] = true;
  // The answer of the other side is also the word that tells that side that it is heard.
  if (my_side == 0) put_under_way(to.other(), Lane::urgent, {.kind = Kind::establish});
  process.established(to);
}

void Network::flush(End to) {
  Connection* through = connection(to);
  if (through == nullptr) return;
  through->inbound[side(to)].flushing = false;
  if (blocked(*through, to)) return;
  std::vector<Packet> waiting = std::move(through->inbound[side(to)].waiting);
  through->inbound[side(to)].waiting.clear();
  for (Packet& packet : waiting)
    if (connection(to) != nullptr) deliver(to, std::move(packet));
}

// ---- faults

void Network::quality(HostId a, HostId b, const Quality& of_pair) {
  pair_quality_[{std::min(a, b), std::max(a, b)}] = of_pair;
}

bool Network::passes(HostId from, HostId to) const { return !cut_[from][to]; }

Instant Network::passes_since(HostId from, HostId to) const {
  return cut_[from][to] ? never : healed_[from][to];
}

void Network::cut_one_way(HostId from, HostId to) {
  if (from == to || cut_[from][to]) return;
  note("cut", from, to);
  cut_[from][to] = true;
}

void Network::heal_one_way(HostId from, HostId to) {
  if (!cut_[from][to]) return;
  note("heal", from, to);
  cut_[from][to] = false;
  healed_[from][to] = agenda_.now();
  wake_waiting(from, to);
}

void Network::cut(HostId a, HostId b) {
  cut_one_way(a, b);
  cut_one_way(b, a);
}

void Network::heal(HostId a, HostId b) {
  heal_one_way(a, b);
  heal_one_way(b, a);
}

void Network::islands(const std::vector<int>& number) {
  BOOST_ASSERT(number.size() == hosts_.size());
  for (HostId from = 0; from < hosts_.size(); ++from)
    for (HostId to = 0; to < hosts_.size(); ++to)
      number[from] == number[to] ? heal_one_way(from, to) : cut_one_way(from, to);
}

void Network::heal_all() { islands(std::vector<int>(hosts_.size())); }

void Network::wake_waiting(HostId from, HostId to) {
  for (const std::uint64_t number : hosts_[to].connections) {
    Connection& through = *connections_[number];
    const std::uint32_t my_side = through.hosts[1] == to ? 1 : 0;
    if (through.hosts[my_side ^ 1] != from) continue;
    Inbound& inbound = through.inbound[my_side];
    if (inbound.waiting.empty() || inbound.flushing) continue;
    inbound.flushing = true;
    const Duration doze = travel(from, to, 0) + random_.between(0ns, retransmit_late);
    agenda_.in(doze, [this, end = End{number << 1 | my_side}] { flush(end); });
  }
}

void Network::reset_between(HostId a, HostId b) {
  note("reset", a, b);
  const std::set<std::uint64_t> connections = hosts_[a].connections;
  for (const std::uint64_t number : connections) {
    const Connection* through = connections_[number].get();
    if (through == nullptr || (through->hosts[0] != b && through->hosts[1] != b)) continue;
    ++counters_.resets;
    for (const End end : {End{number << 1}, End{number << 1 | 1}}) {
      if (!open(end)) continue;
      on_host(host_of(end), [this, end] {
        if (!open(end)) return;
        Process& process = *hosts_[host_of(end)].process;
        shut(end);
        process.closed(end, "connection reset");
      });
    }
  }
}

// ---- clocks

Duration Network::skew(HostId id) const {
  const Host& host = hosts_[id];
  const auto since = static_cast<double>((agenda_.now() - host.drifts_since).count());
  return host.skew + Duration(static_cast<Duration::rep>(since * host.drift));
}

void Network::skew(HostId id, Duration wall_offset) {
  note("clock", id, id);
  hosts_[id].skew = wall_offset;
  hosts_[id].drifts_since = agenda_.now();
}

void Network::drift(HostId id, double gain) {
  skew(id, skew(id));
  hosts_[id].drift = gain;
}

Now Network::now(HostId host) const {
  const Instant now = agenda_.now();
  const auto elapsed =
      std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch() + skew(host));
  return {now + hosts_[host].epoch, world_begins + elapsed};
}

Instant Network::on_agenda(HostId host, Instant local) const {
  return local == never ? never : local - hosts_[host].epoch;
}

}  // namespace muster::lab
