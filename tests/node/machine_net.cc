// SPDX-License-Identifier: MIT
#include "node/machine_net.h"

#include <algorithm>

namespace muster::node::test {

std::size_t Net::add(const std::string& base, const std::function<void(NodeOptions&)>& change) {
  auto host = std::make_unique<Host>();
  host->net = this;
  host->index = hosts_.size();
  const auto at_sign = base.find('@');
  host->options.name = name_of(at_sign == std::string::npos ? base + "@127.0.0.1" : base);
  host->options.advertised = {.name = host->options.name,
                              .address = "127.0.0.1",
                              .port = static_cast<std::uint16_t>(10000 + hosts_.size())};
  host->options.host_start = 1;
  if (change) change(host->options);
  hosts_.push_back(std::move(host));
  return hosts_.size() - 1;
}

void Net::boot(std::size_t index) {
  Host& host = *hosts_[index];
  ASSERT_FALSE(host.machine);
  ++host.life;
  host.paused = false;
  host.armed = Duration::max();
  // Boot ids are random: their order says nothing about who started first.
  std::uint64_t boot = random_();
  while (boot == 0) boot = random_();
  host.options.boot = {boot};
  host.machine = std::make_unique<NodeMachine>(host.options, host.disk, random_(), host);
  if (host.before_start) host.before_start(*host.machine);
  to_machine(index, host.life, [](NodeMachine& machine, Now now) { machine.start(now); });
}

void Net::crash(std::size_t index) {
  Host& host = *hosts_[index];
  host.machine.reset();
  host.held.clear();
  host.given_up.clear();
  const auto ends = ends_;  // Ordered by id; the set of pipes is ordered by address.
  for (auto i = ends.lower_bound({index, {}}); i != ends.end() && i->first.first == index; ++i) {
    const auto& [pipe, end] = i->second;
    if (pipe->open[end]) close(index, pipe->id[end], "connection reset");
  }
}

void Net::wipe(std::size_t index) { hosts_[index]->disk = {}; }

NodeMachine& Net::operator[](std::size_t index) { return *hosts_.at(index)->machine; }

bool Net::is_up(std::size_t index) const {
  return hosts_.at(index)->machine && !hosts_.at(index)->machine->left();
}

Now Net::now(std::size_t index) const {
  // Every host has its own monotonic epoch.
  const Duration mono = time_ + 77s * static_cast<int>(index);
  const Duration wall = time_ + 1'700'000'000s + hosts_.at(index)->skew;
  return {.mono = Instant(mono),
          .wall = Timestamp(std::chrono::duration_cast<std::chrono::microseconds>(wall))};
}

void Net::at(Duration when, std::optional<std::size_t> host, std::function<void()> run) {
  events_.emplace(std::pair{std::max(when, time_), ++sequence_},
                  Event{std::move(run), host, false});
}

void Net::run(Duration span) {
  const Duration end = time_ + span;
  while (!events_.empty() && events_.begin()->first.first <= end) {
    time_ = events_.begin()->first.first;
    Event event = std::move(events_.begin()->second);
    events_.erase(events_.begin());
    if (event.host && hosts_[*event.host]->paused) {
      hosts_[*event.host]->held.push_back(std::move(event));
    } else {
      event.run();
    }
  }
  time_ = end;
}

bool Net::run_until(const std::function<bool()>& done, Duration limit) {
  const Duration end = time_ + limit;
  while (!done()) {
    if (time_ >= end) return false;
    run(5ms);
  }
  return true;
}

void Net::to_machine(std::size_t index, std::uint64_t life,
                     const std::function<void(NodeMachine&, Now)>& what) {
  Host& host = *hosts_[index];
  if (!host.machine || host.life != life) return;
  what(*host.machine, now(index));
  // Its cost grows with the links: in large worlds now and then.
  const std::uint64_t rarely = hosts_.size() <= 100 ? 64 : 4096;
  if (hosts_.size() <= 10 || ++checks_ % rarely == 0) host.machine->check_invariants();
  rearm(index);
}

void Net::rearm(std::size_t index) {
  Host& host = *hosts_[index];
  const Instant wake = host.machine->next_wake();
  if (wake == never) return;
  const Duration when = std::max(time_, wake.time_since_epoch() - 77s * static_cast<int>(index));
  if (when >= host.armed) return;
  host.armed = when;
  auto wake_up = [this, index, life = host.life, when] {
    if (hosts_[index]->armed == when) hosts_[index]->armed = Duration::max();
    to_machine(index, life, [](NodeMachine& machine, Now now) { machine.wake(now); });
  };
  events_.emplace(std::pair{when, ++sequence_}, Event{std::move(wake_up), index, true});
}

void Net::connect(std::size_t from, std::size_t to, NodeMachine::ConnectDone done) {
  const Peer peer = {.name = hosts_[to]->options.name};
  to_machine(from, hosts_[from]->life,
             [&](NodeMachine& machine, Now now) { machine.connect(now, peer, std::move(done)); });
}

void Net::block(std::size_t from, std::size_t to, bool on) {
  if (on) {
    blocked_.insert({from, to});
  } else {
    blocked_.erase({from, to});
  }
}

void Net::separate(std::size_t a, std::size_t b, bool on) {
  block(a, b, on);
  block(b, a, on);
}

void Net::stall(std::size_t from, std::size_t to, Duration span) {
  stalled_until_[{from, to}] = time_ + span;
}

void Net::pause(std::size_t index) { hosts_[index]->paused = true; }

void Net::resume(std::size_t index) {
  Host& host = *hosts_[index];
  host.paused = false;
  // A timer may well run before the sockets are read.
  if (random(2) == 0)
    std::ranges::stable_partition(host.held, [](const Event& event) { return event.timer; });
  for (Event& event : std::exchange(host.held, {})) at(time_, index, std::move(event.run));
}

Duration Net::hop(Pipe& pipe, int from) {
  Duration delay = std::chrono::microseconds(200 + random(800));
  const auto chance = [this](double share) {
    return static_cast<double>(random(1'000'000)) < share * 1e6;
  };
  for (Duration doze = 200ms; loss_ > 0 && chance(loss_);) {
    const bool tail = chance(0.2);
    delay += tail ? doze : 2ms;
    if (tail) doze = std::min<Duration>(2 * doze, 60s);
  }
  const auto stalled = stalled_until_.find({pipe.host[from], pipe.host[1 - from]});
  if (stalled != stalled_until_.end() && stalled->second > time_)
    delay = std::max(delay, stalled->second - time_);
  pipe.busy_until[from] = std::max(pipe.busy_until[from] + 1us, time_ + delay);
  return pipe.busy_until[from];
}

void Net::dial(std::size_t from, LinkId id, const Peer& peer) {
  const auto found = std::ranges::find_if(hosts_, [&](const auto& host) {
    if (!peer.address.empty()) return host->options.advertised.port == peer.port;
    return host->options.name == peer.name;
  });
  const std::uint64_t life = hosts_[from]->life;
  const auto fail = [&](Duration after, const char* reason) {
    at(time_ + after, from, [this, from, life, id, reason] {
      to_machine(from, life,
                 [&](NodeMachine& machine, Now now) { machine.closed(now, id, reason); });
    });
  };
  if (found == hosts_.end()) return fail(1ms, "no such host");
  const std::size_t to = (*found)->index;
  if (blocked(from, to) || blocked(to, from)) return fail(3s, "timed out");
  if (!is_up(to)) return fail(1ms, "Connection refused");
  auto pipe = std::make_shared<Pipe>(
      Pipe{.host = {from, to}, .life = {life, (*found)->life}, .id = {id, {}}});
  at(time_ + std::chrono::microseconds(300 + random(1000)), to, [this, pipe] {
    const std::size_t host = pipe->host[1];
    if (!is_up(host) || hosts_[host]->life != pipe->life[1]) {
      to_machine(pipe->host[0], pipe->life[0], [&](NodeMachine& machine, Now now) {
        machine.closed(now, pipe->id[0], "Connection refused");
      });
      return;
    }
    if (hosts_[pipe->host[0]]->given_up.contains(pipe->id[0])) return;
    pipes_.insert(pipe);
    ends_[{pipe->host[0], pipe->id[0]}] = {pipe, 0};
    pipe->open[0] = pipe->open[1] = true;
    to_machine(host, pipe->life[1], [&](NodeMachine& machine, Now now) {
      pipe->id[1] = machine.accepted(now, "127.0.0.1:5");
      ends_[{host, pipe->id[1]}] = {pipe, 1};
      machine.opened(now, pipe->id[1]);
    });
    at(hop(*pipe, 1), pipe->host[0], [this, pipe] {
      if (!pipe->open[0]) return;
      to_machine(pipe->host[0], pipe->life[0],
                 [&](NodeMachine& machine, Now now) { machine.opened(now, pipe->id[0]); });
    });
  });
}

std::pair<std::shared_ptr<Net::Pipe>, int> Net::pipe_of(std::size_t host, LinkId id) {
  const auto found = ends_.find({host, id});
  if (found == ends_.end()) return {nullptr, 0};
  const auto& [pipe, end] = found->second;
  return pipe->life[end] == hosts_[host]->life ? found->second : std::pair{nullptr, 0};
}

void Net::drop(const std::shared_ptr<Pipe>& pipe) {
  if (pipe->open[0] || pipe->open[1]) return;
  pipes_.erase(pipe);
  for (int end = 0; end < 2; ++end) {
    const auto found = ends_.find({pipe->host[end], pipe->id[end]});
    if (found != ends_.end() && found->second.first == pipe) ends_.erase(found);
  }
}

void Net::transmit(std::size_t host, LinkId id, Bytes frame) {
  const auto [pipe, end] = pipe_of(host, id);
  if (!pipe || !pipe->open[end]) return;
  const int other = 1 - end;
  if (blocked(host, pipe->host[other])) pipe->broken[end] = true;
  if (pipe->broken[end]) return;
  at(hop(*pipe, end), pipe->host[other], [this, pipe = pipe, other, frame = std::move(frame)] {
    if (blocked(pipe->host[1 - other], pipe->host[other])) pipe->broken[1 - other] = true;
    if (!pipe->open[other] || pipe->broken[1 - other]) return;
    to_machine(pipe->host[other], pipe->life[other], [&](NodeMachine& machine, Now now) {
      machine.received(now, pipe->id[other], *frame);
    });
  });
}

void Net::close(std::size_t host, LinkId id, const std::string& reason) {
  const auto [pipe, end] = pipe_of(host, id);
  if (!pipe) {
    hosts_[host]->given_up.insert(id);  // Still being dialled.
    return;
  }
  pipe->open[end] = false;
  const int other = 1 - end;
  if (blocked(host, pipe->host[other]) || pipe->broken[end]) return;
  at(hop(*pipe, end), pipe->host[other], [this, pipe = pipe, other, reason] {
    if (!std::exchange(pipe->open[other], false)) return;
    drop(pipe);
    to_machine(pipe->host[other], pipe->life[other], [&](NodeMachine& machine, Now now) {
      machine.closed(now, pipe->id[other], reason);
    });
  });
  drop(pipe);
}

bool Net::meshed(const std::vector<std::size_t>& hosts) {
  for (const std::size_t a : hosts) {
    if (!is_up(a) || (*this)[a].island().size() != hosts.size()) return false;
  }
  for (const std::size_t a : hosts) {
    std::set<NodeName> names;
    for (const Member& member : (*this)[a].connected()) names.insert(member.name);
    for (const std::size_t b : hosts) {
      if (a != b && !names.contains(hosts_[b]->options.name)) return false;
    }
  }
  return true;
}

bool Net::meshed() {
  std::vector<std::size_t> up;
  for (std::size_t i = 0; i < hosts_.size(); ++i) {
    if (is_up(i)) up.push_back(i);
  }
  return meshed(up);
}

std::size_t Net::transports(std::size_t a, std::size_t b) const {
  return static_cast<std::size_t>(std::ranges::count_if(pipes_, [&](const auto& pipe) {
    const bool pair =
        (pipe->host[0] == a && pipe->host[1] == b) || (pipe->host[0] == b && pipe->host[1] == a);
    return pair && pipe->open[0] && pipe->open[1];
  }));
}

std::vector<std::string> Net::island(std::size_t index) {
  std::vector<std::string> names;
  for (const Member& member : (*this)[index].island()) names.emplace_back(member.name.base());
  return names;
}

std::string Net::story() const {
  std::string text;
  for (const auto& host : hosts_) {
    text += "\n" + host->options.name.text() + (host->machine ? "" : " (not running)");
    const std::size_t first = host->events.size() > 8 ? host->events.size() - 8 : 0;
    for (std::size_t i = first; i < host->events.size(); ++i) {
      const auto when = std::chrono::duration_cast<std::chrono::milliseconds>(host->event_times[i]);
      text += "\n  " + std::to_string(when.count()) + " ms: " + host->events[i].detail;
    }
  }
  return text;
}

int Net::Host::count(NodeEvent::Kind kind, const std::string& name,
                     const std::string& detail) const {
  return static_cast<int>(std::ranges::count_if(events, [&](const NodeEvent& event) {
    return event.kind == kind && (name.empty() || event.node.name.base() == name) &&
           event.detail.find(detail) != std::string::npos;
  }));
}

const NodeEvent* Net::Host::last(NodeEvent::Kind kind) const {
  const auto found = std::find_if(events.rbegin(), events.rend(),
                                  [&](const NodeEvent& event) { return event.kind == kind; });
  return found == events.rend() ? nullptr : &*found;
}

}  // namespace muster::node::test
