// SPDX-License-Identifier: MIT
//
// The wiring of one simulated node; see sim_node.h.
#include "muster/lab/sim_node.h"

#include <algorithm>
#include <boost/assert.hpp>
#include <stdexcept>
#include <utility>

namespace muster::lab {

namespace {

constexpr const char* topology_name = "lab";
// A machine that asks to be woken at once, and again, and again, is stuck.
constexpr std::uint32_t wakes_at_once_most = 10'000;

}  // namespace

SimNode::SimNode(Stage stage, const SimNodeOptions& options, HostId host, NodeName name,
                 std::uint64_t seed)
    : stage_(std::move(stage)),
      options_(options),
      host_(host),
      name_(std::move(name)),
      random_(seed),
      disk_most_(options.disk_most) {}

SimNode::~SimNode() = default;

// ---- life

void SimNode::start(PeerSet contacts) {
  BOOST_ASSERT(!up());
  ++life_;
  left_ = false;
  node::NodeOptions options = options_.node;
  options.name = name_;
  options.boot = {random_.next() | 1};
  options.host_start = host_start_;
  options.advertised = {.name = name_, .address = "10.0.0.1", .port = 1};
  stage_.trace.say(stage_.agenda.now(), "{}: starts, boot {}", name_.text(),
                   to_string(options.boot));
  node::NodeEffects& effects = *this;
  discovery::TopologySink& sink = *this;
  machine_ = std::make_unique<node::NodeMachine>(options, state_, random_.next(), effects);
  if (options_.with_cache) open_cache();
  topology_ = std::make_unique<discovery::TopologyMachine>(
      discovery::TopologyMachine::Options{.self = name_, .seed = random_.next()}, sink);
  stage_.network.start(host_, this);
  turn([this, contacts = std::move(contacts)](Now at) mutable {
    machine_->start(at);
    if (cache_) cache_->start(at);
    topology_->add(topology_name);
    topology_->pass(at, topology_name, discovery::Pass::list(std::move(contacts)));
  });
}

void SimNode::open_cache() {
  auto opened = cache::CacheMachine::open(options_.cache, options_.tables, &disk_, *machine_, *this,
                                          random_.next());
  if (!opened) {
    stage_.violation(name_.text() + " cannot open its tables: " + opened.error().text());
    return;
  }
  cache_ = std::move(opened.value());
  if (!options_.with_healer) return;
  healer_ = std::make_unique<unsplit::UnsplitMachine>(
      options_.unsplit,
      [this](Now at, const unsplit::Heal& heal) {
        stage_.trace.say(stage_.agenda.now(), "{}: heal of {} with {}: {}", name_.text(),
                         heal.table, heal.peer.text(), heal.text);
        stage_.healed(heal);
        if (on_heal) on_heal(at, heal);
      },
      [this](node::BootId boot) -> std::string {
        for (const auto& [name, status] : machine_->membership().nodes)
          if (status.newest.boot == boot) return name.text();
        return {};
      });
  healer_->attach(*cache_);
  cache_->set_healer(this);
  if (options_.wrap_healer) wrapped_healer_ = options_.wrap_healer(name_, *healer_);
}

SimNode::DurableUntil SimNode::crash(Crash kind, bool power) {
  if (!up()) return durable_;
  stage_.trace.say(stage_.agenda.now(), "{}: {}, disk {}", name_.text(),
                   power ? "loses power" : "crashes",
                   kind == Crash::keep        ? "kept"
                   : kind == Crash::lose_tail ? "loses its tail"
                                              : "lost");
  // What the machine had not handed over yet is lost in any case, as by kill -9.
  std::size_t kept = disk_broken_ ? 0 : disk_.waiting();
  disk_broken_ = false;
  if (kind == Crash::lose_tail) kept = random_.index(kept + 1);
  while (kept-- > 0) commit_one();
  disk_.lose_waiting();
  if (kind == Crash::lose_disk) {
    disk_.wipe();
    durable_.clear();
    state_ = {};
  }
  power ? stage_.network.power_off(host_) : stage_.network.stop(host_);
  if (power) ++host_start_;
  ++life_;
  cache_.reset();
  wrapped_healer_.reset();
  healer_.reset();
  cache_events_.clear();
  topology_.reset();
  machine_.reset();
  ends_.clear();
  links_.clear();
  batches_.clear();
  committing_ = in_turn_ = links_changed_ = leaving_ = false;
  armed_ = never;
  return durable_;
}

SimNode::DurableUntil SimNode::restore() {
  BOOST_ASSERT(!up() && backup_);
  stage_.trace.say(stage_.agenda.now(), "{}: its directory is restored from a backup",
                   name_.text());
  state_ = backup_->state;
  disk_ = backup_->disk;
  disk_.lose_waiting();
  return durable_ = backup_->durable;
}

void SimNode::leave() {
  leaving_ = true;
  turn([this](Now at) {
    stage_.trace.say(stage_.agenda.now(), "{}: leaves", name_.text());
    topology_->remove(topology_name);
    machine_->leave(at);
  });
}

// ---- turns

void SimNode::turn(std::function<void(Now)> body) {
  stage_.network.on_host(host_, [this, life = life_, body = std::move(body)] {
    if (life == life_) run_turn(body);
  });
}

void SimNode::run_turn(const std::function<void(Now)>& body) {
  BOOST_ASSERT_MSG(!in_turn_, "a turn within a turn");
  in_turn_ = true;
  const Now at = now();
  body(at);
  finish_turn(at);
  in_turn_ = false;
}

void SimNode::finish_turn(Now at) {
  if (std::exchange(links_changed_, false)) topology_->links_changed(at);
  // The healer may act on the cache; it hears of events when the cache is done with them.
  for (std::size_t next = 0; next < cache_events_.size(); ++next)
    healer_->on_event(at, cache::CacheEvent(cache_events_[next]));
  cache_events_.clear();
  if (cache_) cache_->flush(at);
  if (++turns_ % options_.check_every == 0) check();
  rearm();
  if (!machine_->left() || left_) return;
  left_ = true;
  for (const cache::TableDefinition& table : options_.tables)
    left_journals_[table.name] = journal(table.name);
  // It is gone when its last words are sent; the process ends behind this turn.
  stage_.agenda.at(stage_.agenda.now(), [this, life = life_] {
    if (life == life_) crash(Crash::keep, false);
  });
}

std::vector<unsplit::JournalEntry> SimNode::journal(const std::string& table) const {
  if (healer_) return healer_->journal(table);
  const auto left = left_journals_.find(table);
  return left == left_journals_.end() ? std::vector<unsplit::JournalEntry>() : left->second;
}

void SimNode::check() const {
  machine_->check_invariants();
  topology_->check_invariants();
  if (cache_) cache_->check_invariants();
}

Instant SimNode::next_wake() const {
  Instant next = std::min(machine_->next_wake(), topology_->next_wake());
  if (cache_) next = std::min(next, cache_->next_wake());
  if (healer_) next = std::min(next, healer_->next_wake());
  return next;
}

void SimNode::rearm() {
  const Instant next = std::max(stage_.network.on_agenda(host_, next_wake()), stage_.agenda.now());
  if (next >= armed_) return;
  armed_ = next;
  stage_.agenda.at(next, [this, life = life_, next] {
    if (life != life_ || armed_ != next) return;
    armed_ = never;
    turn([this](Now) { wake(); });
  });
}

void SimNode::wake() {
  const Now at = now();
  wakes_at_once_ = last_wake_ == at.mono ? wakes_at_once_ + 1 : 0;
  last_wake_ = at.mono;
  if (wakes_at_once_ > wakes_at_once_most)
    throw std::runtime_error(
        fmt::format("{} wants to be woken for ever: topology {}, node {}, cache {}", name_.text(),
                    topology_->next_wake() <= at.mono, machine_->next_wake() <= at.mono,
                    cache_ && cache_->next_wake() <= at.mono));
  if (topology_->next_wake() <= at.mono) topology_->wake(at);
  if (machine_->next_wake() <= at.mono) machine_->wake(at);
  if (cache_ && cache_->next_wake() <= at.mono) cache_->wake(at);
  if (healer_ && healer_->next_wake() <= at.mono) healer_->wake(at);
}

void SimNode::list(PeerSet contacts) {
  turn([this, contacts = std::move(contacts)](Now at) mutable {
    topology_->pass(at, topology_name, discovery::Pass::list(std::move(contacts)));
  });
}

// ---- links

void SimNode::accepted(End end, HostId from) {
  run_turn([&](Now at) {
    const node::LinkId link = machine_->accepted(at, stage_.network.name(from));
    ends_[link] = end;
    links_[end] = link;
  });
}

void SimNode::established(End end) {
  const auto link = links_.find(end);
  if (link != links_.end()) run_turn([&](Now at) { machine_->opened(at, link->second); });
}

void SimNode::received(End end, std::string_view bytes) {
  const auto link = links_.find(end);
  if (link != links_.end()) run_turn([&](Now at) { machine_->received(at, link->second, bytes); });
}

void SimNode::closed(End end, std::string_view reason) {
  const auto found = links_.find(end);
  if (found == links_.end()) return;
  const node::LinkId link = found->second;
  links_.erase(found);
  ends_.erase(link);
  run_turn([&](Now at) { machine_->closed(at, link, reason); });
}

void SimNode::datagram(HostId /*from*/, std::string_view /*bytes*/) {}

void SimNode::dial(node::LinkId link, const Peer& peer) {
  const std::optional<HostId> to = stage_.host_of(peer.name);
  if (!to) return link_failed(link, "no such host");
  const End end = stage_.network.dial(host_, *to);
  ends_[link] = end;
  links_[end] = link;
  stage_.agenda.in(options_.dial_deadline, [this, life = life_, link, end] {
    turn([this, life, link, end](Now at) {
      // Established means that both sides have spoken; until then only the deadline ends it.
      const auto found = ends_.find(link);
      if (life != life_ || found == ends_.end() || found->second != end) return;
      if (stage_.network.established(end)) return;
      stage_.network.close(end);
      ends_.erase(link);
      links_.erase(end);
      machine_->closed(at, link, "timed out");
    });
  });
}

void SimNode::link_failed(node::LinkId link, std::string reason) {
  stage_.agenda.at(stage_.agenda.now(), [this, life = life_, link, reason = std::move(reason)] {
    if (life == life_) turn([this, link, reason](Now at) { machine_->closed(at, link, reason); });
  });
}

void SimNode::transmit(node::LinkId link, node::Lane lane, node::Bytes frame) {
  const auto end = ends_.find(link);
  if (end == ends_.end()) return;
  stage_.network.send(end->second,
                      lane == node::Lane::urgent ? Network::Lane::urgent : Network::Lane::bulk,
                      std::move(frame));
  most_queued_ = std::max(most_queued_, stage_.network.queued(end->second));
}

std::size_t SimNode::queued(node::LinkId link) const {
  const auto end = ends_.find(link);
  return end == ends_.end() ? 0 : stage_.network.queued(end->second);
}

void SimNode::close(node::LinkId link) {
  const auto found = ends_.find(link);
  if (found == ends_.end()) return;
  stage_.network.close(found->second);
  links_.erase(found->second);
  ends_.erase(found);
}

void SimNode::persist(const node::NodeState& state) { state_ = state; }

void SimNode::report(Now at, const node::NodeEvent& event) {
  using Kind = node::NodeEvent::Kind;
  const bool up = event.kind == Kind::nodeup, down = event.kind == Kind::nodedown;
  links_changed_ |= up || down;
  if (up || down) stage_.linked(event.node.name, up);
  stage_.trace.mix(static_cast<std::uint64_t>(event.kind));
  stage_.trace.say(stage_.agenda.now(), "{}: event {} {} {}", name_.text(),
                   static_cast<int>(event.kind), event.node.name.text(), event.detail);
  if (on_node_event) on_node_event(at, event);
}

// ---- disk

void SimNode::store(cache::StoreBatch batch) {
  batches_.push_back({batch.table, stage_.agenda.now()});
  if (options_.lying_disk) batch.rows.clear();
  disk_.submit(std::move(batch));
  schedule_commit();
}

void SimNode::schedule_commit() {
  if (committing_ || disk_.waiting() == 0) return;
  committing_ = true;
  stage_.agenda.in(random_.between(options_.disk_least, disk_most_), [this, life = life_] {
    if (life == life_) committed();
  });
}

cache::StoreBatch SimNode::commit_one() {
  durable_[batches_.front().table] = batches_.front().handed_over;
  batches_.pop_front();
  return disk_.commit_one();
}

void SimNode::committed() {
  committing_ = false;
  const bool failed = disk_broken_;
  if (failed) batches_.pop_front();
  const cache::StoreBatch batch = failed ? disk_.fail_one() : commit_one();
  turn([this, table = batch.table, number = batch.number, failed](Now at) {
    if (failed)
      cache_->disk_changed(at, cache::DiskState::failed, "a simulated fault");
    else
      cache_->stored(at, table, number);
  });
  schedule_commit();
}

void SimNode::report(Now at, const cache::CacheEvent& event) {
  stage_.trace.mix(static_cast<std::uint64_t>(event.kind));
  stage_.trace.say(stage_.agenda.now(), "{}: {} event {} key {} peer {} {}", name_.text(),
                   event.table, static_cast<int>(event.kind), event.key, event.peer.text(),
                   event.detail);
  if (event.kind == cache::CacheEvent::Kind::alarm) stage_.alarm(event);
  if (event.kind == cache::CacheEvent::Kind::inconsistent_database) stage_.forked();
  if (event.kind == cache::CacheEvent::Kind::joining) stage_.dropping(event.table);
  if (healer_) cache_events_.push_back(event);
  if (on_cache_event) on_cache_event(at, event);
}

// ---- splits

cache::Healer& SimNode::judging() const {
  return wrapped_healer_ ? *wrapped_healer_ : static_cast<cache::Healer&>(*healer_);
}

cache::Verdict SimNode::judge(Now at, const cache::TableDefinition& table,
                              const cache::Fork& fork) {
  const cache::Verdict verdict = judging().judge(at, table, fork);
  const bool merges =
      unsplit::rule_for(table, options_.unsplit.flush_tables) == unsplit::Rule::merge;
  if (verdict == cache::Verdict::theirs_wins && !merges) stage_.dropping(table.name);
  return verdict;
}

cache::Healer::Record SimNode::record(Now at, const cache::TableDefinition& table,
                                      const cache::SetAside& aside, bool speaks) {
  return judging().record(at, table, aside, speaks);
}

void SimNode::healed(Now at, const cache::HealReport& report) { judging().healed(at, report); }

// ---- topology

void SimNode::connect(discovery::AttemptId id, const Peer& peer, Duration /*within*/) {
  machine_->connect(now(), peer, [this, life = life_, id](Now, const node::ConnectOutcome& end) {
    discovery::DialOutcome outcome;
    if (!end.connected) outcome = {discovery::DialProblem::other, end.reason};
    stage_.agenda.at(stage_.agenda.now(), [this, life, id, outcome] {
      if (life == life_)
        turn([this, id, outcome](Now at) { topology_->connected(at, id, outcome); });
    });
  });
}

void SimNode::disconnect(discovery::AttemptId id, const NodeName& name) {
  machine_->disconnect(now(), name);
  stage_.agenda.at(stage_.agenda.now(), [this, life = life_, id] {
    if (life == life_)
      turn([this, id](Now at) { topology_->disconnected(at, id, discovery::DialOutcome{}); });
  });
}

std::set<NodeName> SimNode::list_nodes() {
  std::set<NodeName> names;
  for (const node::Member& member : machine_->connected()) names.insert(member.name);
  return names;
}

void SimNode::happened(const discovery::ConnectEvent& /*event*/) {}

void SimNode::note(const std::string& topology, Level /*level*/, std::string text) {
  stage_.trace.say(stage_.agenda.now(), "{}: [{}] {}", name_.text(), topology, text);
}

}  // namespace muster::lab
