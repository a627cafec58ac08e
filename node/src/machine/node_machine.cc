// SPDX-License-Identifier: MIT
#include "muster/node/node_machine.h"

#include <algorithm>
#include <boost/assert.hpp>
#include <utility>

#include "machine/node_machine_impl.h"

namespace muster::node {
namespace {

constexpr Duration stall_threshold = std::chrono::milliseconds(100);
constexpr Duration transport_deadline = std::chrono::seconds(10);
constexpr Duration steer_every = std::chrono::seconds(1);
constexpr Duration count_missing_every = std::chrono::minutes(1);
constexpr Duration save_clock_every = std::chrono::seconds(5);

Member first_self(const NodeOptions& options, const NodeState& state) {
  std::uint32_t highest = state.highest_ordinal;
  for (const auto& [name, status] : state.membership.nodes)
    highest = std::max(highest, status.newest.ordinal);
  return {.name = options.name, .boot = options.boot, .ordinal = highest + 1};
}

}  // namespace

NodeMachine::Impl::Impl(NodeOptions options, NodeState state, std::uint64_t seed,
                        NodeEffects& effects)
    : self_(first_self(options, state)),
      states_(self_),
      book_(std::move(state), options.name),
      options_(std::move(options)),
      effects_(effects),
      random_(seed),
      blank_(self_.ordinal == 1),
      oldest_(self_) {
  BOOST_ASSERT(self_.boot.valid() && !self_.name.empty());
}

std::uint64_t NodeMachine::Impl::random() {  // splitmix64
  std::uint64_t z = (random_ += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

/// What cluster time has been at most before this start: where the monotonic clock has run on since
/// the mark it tells, whatever has become of the wall clock; else it is as late as it may be.
Timestamp NodeMachine::Impl::not_before(Now now) const {
  const ClockMark& mark = book_.clock_mark();
  const bool ran_on = options_.host_start != 0 && options_.host_start == mark.host_start &&
                      now.mono >= mark.read_at;
  const Duration since = ran_on ? now.mono - mark.read_at : save_clock_every;
  return mark.time + std::chrono::ceil<Timestamp::duration>(since);
}

void NodeMachine::Impl::start(Now now) {
  clock_.start(now, not_before(now));
  entered_ = now.mono;
  founded_at_ = after(now.mono, options_.founds_after);
  enter(now);
  book_.learn_boot(self_.name, self_.seniority());
  book_.admit(self_.name);
  shown_revision_ = book_.revision();
  published_known_ = book_.changes().latest();
  published_links_ = states_.changes().latest();
  save_if_changed();
  clock_at_ = now.mono + steer_every;
  save_clock_at_ = now.mono + save_clock_every;
  count_missing_at_ = now.mono + count_missing_every;
  wish_for_members(now);
  finish(now);
}

void NodeMachine::Impl::enter(Now now) {
  if (depth_++ > 0) return;
  const Instant asleep = std::max(next_wake(), entered_);
  if (asleep != never && now.mono > asleep + stall_threshold) stood_still(now, now.mono - asleep);
  entered_ = std::max(entered_, now.mono);
}

// What we did not hear meanwhile may lie in our sockets: nobody is judged before it is read, and
// with more patience from here on.  After the deadline the others may have gone on without us, and
// what lies there is old: every link begins anew.
void NodeMachine::Impl::stood_still(Now now, Duration stall) {
  ++counters_.stalls;
  resumed_ = now.mono;
  strain_.stalled(now.mono, stall, options_.silent_after);
  if (stall < options_.silent_after) return;
  const auto count = std::chrono::duration_cast<std::chrono::milliseconds>(stall).count();
  const std::string detail = "this node stood still for " + std::to_string(count) + " ms";
  for (const auto& [boot, id] : std::map(connected_))
    down(now, links_.at(id), DownReason::closed, detail);
}

void NodeMachine::Impl::finish(Now now) {
  if (depth_ == 1) {
    for (settle_island(now); !notifications_.empty(); settle_island(now)) {
      for (const Notification& notify : std::exchange(notifications_, {})) notify(now);
    }
    if (publish_at_ == never && unpublished()) {
      // News is gathered for a moment: a node that comes or goes changes many links at once.
      const auto spacing = options_.gather_news +
                           std::chrono::microseconds(200) * static_cast<int>(connected_.size());
      publish_at_ = std::max(now.mono, last_publish_ + spacing);
    }
    if (publish_at_ <= now.mono) publish(now);
    save_if_changed();
    last_payload_.reset();
    last_frame_.reset();
  }
  --depth_;
}

void NodeMachine::Impl::save_if_changed() {
  if (book_.take_unsaved()) effects_.persist(book_.saved());
}

void NodeMachine::Impl::deliver_to_services(std::function<void(Service&, Now)> what) {
  notifications_.emplace_back([this, what = std::move(what)](Now now) {
    std::vector<ServiceId> ids;
    for (const auto& [id, service] : services_) ids.push_back(id);
    for (const ServiceId id : ids) {
      // A service may leave while another is told.
      const auto found = services_.find(id);
      if (found != services_.end()) what(*found->second, now);
    }
  });
}

LinkId NodeMachine::Impl::accepted(Now now, std::string_view remote) {
  enter(now);
  Link& link = add_link();
  const LinkId id = link.id;
  link.remote = presentable(remote);
  link.give_up = now.mono + transport_deadline;
  link_agenda_.set(id, link.give_up);
  finish(now);
  return id;
}

void NodeMachine::Impl::closed(Now now, LinkId id, std::string_view reason) {
  enter(now);
  if (Link* const link = find(id)) {
    const std::string why = presentable(reason);
    if (link->connected()) {
      down(now, *link, DownReason::closed, why, Ending::closed);
    } else {
      fail(now, *link, why.empty() ? "the link was closed" : why, false, false);
    }
  }
  finish(now);
}

Instant NodeMachine::Impl::next_wake() const {
  return std::min({probe_at_, link_agenda_.next(), dial_agenda_.next(), calls_.next(), publish_at_,
                   clock_at_, save_clock_at_, count_missing_at_});
}

void NodeMachine::Impl::wake(Now now) {
  enter(now);
  wake_links(now);
  wake_probes(now);
  wake_dials(now);
  while (auto call = calls_.overdue(now.mono)) {
    notifications_.emplace_back(
        [reply = std::move(call->reply), error = std::move(call->at_deadline)](Now later) {
          reply(later, error);
        });
  }
  wake_clock(now);
  finish(now);
}

void NodeMachine::Impl::wake_links(Now now) {
  while (const auto id = link_agenda_.take_due(now.mono)) {
    Link* const link = find(*id);
    if (link == nullptr) continue;
    if (link->connected()) {
      judge(now, *link);
    } else if (now.mono >= link->give_up) {
      fail(now, *link, "timed out");
    } else {
      link_agenda_.set(*id, link->give_up);
    }
  }
}

void NodeMachine::Impl::wake_clock(Now now) {
  if (now.mono >= clock_at_) {
    clock_at_ = now.mono + steer_every;
    clock_.steer(now);
    states_.prune(now);
    const auto off = std::chrono::abs(clock_.ahead(now));
    const bool alarm = off > std::chrono::milliseconds(clock_alarm_ ? 250 : 500);
    if (alarm && !clock_alarm_) {
      report(
          now, NodeEvent::Kind::alarm, self_,
          "this node's clock is " +
              std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(off).count()) +
              " ms off the median of its island; the median is used");
    }
    clock_alarm_ = alarm;
  }
  if (now.mono >= count_missing_at_) {
    count_missing_at_ = now.mono + count_missing_every;
    forget_the_long_dead(now);
  }
  if (now.mono >= save_clock_at_) {
    save_clock_at_ = now.mono + save_clock_every;
    book_.mark_clock({clock_.at(now.mono), now.mono, options_.host_start});
  }
}

bool NodeMachine::Impl::send(BootId to, ServiceId service, Lane lane, Bytes payload) {
  BOOST_ASSERT(payload != nullptr && payload->size() <= max_payload);
  BOOST_ASSERT(service != control_service && service != 0);
  Link* const link = find(to);
  if (link == nullptr) return false;
  if (payload != last_payload_ || service != last_service_) {
    auto frame = std::make_shared<std::string>();
    frame->reserve(1 + payload->size());
    frame->push_back(static_cast<char>(service));
    frame->append(*payload);
    last_payload_ = std::move(payload);
    last_service_ = service;
    last_frame_ = std::move(frame);
  }
  transmit(*link, lane, last_frame_);
  return true;
}

std::size_t NodeMachine::Impl::queued(BootId to) const {
  const Link* const link = find(to);
  return link == nullptr ? 0 : effects_.queued(link->id);
}

void NodeMachine::Impl::call(Now now, BootId to, std::string_view name, std::string request,
                             Duration deadline, Reply reply) {
  using namespace boost::system::errc;
  const std::string what = "call " + std::string(name);
  if (!reply) reply = [](Now, const Result<std::string>&) {};
  Link* const link = find(to);
  const auto refuse = [&](errc_t code, const std::string& why) {
    // Answered at the next wake(), for replies never run from within call().
    (void)calls_.begin({to, std::move(reply), call_error(code, what + why)}, now.mono);
  };
  if (link == nullptr) return refuse(not_connected, "");
  const std::string where = what + " to " + link->peer.name.text();
  if (calls_.full(to)) return refuse(resource_unavailable_try_again, ": too many calls wait");
  if (request.size() + name.size() + 64 > max_payload) return refuse(message_size, "");
  const Duration wait = std::clamp(deadline, Duration::zero(), options_.call_deadline_max);
  wire::Control message;
  message.mutable_call()->set_id(
      calls_.begin({to, std::move(reply), call_error(timed_out, where)}, now.mono + wait));
  message.mutable_call()->set_name(std::string(name));
  message.mutable_call()->set_request(std::move(request));
  transmit(*link, message);
}

std::vector<Member> NodeMachine::Impl::connected() const {
  std::map<std::uint64_t, Member> in_order;
  for (const auto& [boot, id] : connected_) {
    const Link& link = links_.at(id);
    in_order.emplace(link.connection, link.peer);
  }
  std::vector<Member> members;
  for (auto& [order, member] : in_order) members.push_back(std::move(member));
  return members;
}

void NodeMachine::Impl::check_invariants() const {
  BOOST_ASSERT(depth_ == 0 && notifications_.empty());
  states_.check_invariants();
  book_.check_invariants();
  BOOST_ASSERT(states_.own().peers.size() == connected_.size());
  BOOST_ASSERT(connected_names_.size() == connected_.size());  // One boot per name.
  for (const auto& [boot, id] : connected_) {
    const Link& link = links_.at(id);
    BOOST_ASSERT(link.connected() && link.peer.boot == boot && boot != self_.boot);
    BOOST_ASSERT(states_.own().lists(boot));
    BOOST_ASSERT(connected_names_.at(link.peer.name) == id);  // One link per pair.
    BOOST_ASSERT(!wishes_.contains(link.peer.name));
  }
  for (const auto& [name, id] : attempts_) {
    BOOST_ASSERT(!links_.at(id).connected() && links_.at(id).name() == name);
  }
  for (const auto& [boot, id] : chosen_) BOOST_ASSERT(links_.contains(id));
  BOOST_ASSERT(book_.highest_ordinal() >= self_.ordinal);
  BOOST_ASSERT(left_ || book_.admitted(self_.name));
  BOOST_ASSERT(!left_ || (connected_.empty() && wishes_.empty()));
}

NodeMachine::NodeMachine(NodeOptions options, NodeState state, std::uint64_t seed,
                         NodeEffects& effects)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(state), seed, effects)) {}
NodeMachine::~NodeMachine() = default;

void NodeMachine::start(Now now) { impl_->start(now); }
LinkId NodeMachine::accepted(Now now, std::string_view remote) {
  return impl_->accepted(now, remote);
}
void NodeMachine::opened(Now now, LinkId link) { impl_->opened(now, link); }
void NodeMachine::received(Now now, LinkId link, std::string_view frame) {
  impl_->received(now, link, frame);
}
void NodeMachine::closed(Now now, LinkId link, std::string_view reason) {
  impl_->closed(now, link, reason);
}
Instant NodeMachine::next_wake() const { return impl_->next_wake(); }
void NodeMachine::wake(Now now) { impl_->wake(now); }
void NodeMachine::connect(Now now, const Peer& peer, ConnectDone done) {
  impl_->connect(now, peer, std::move(done));
}
bool NodeMachine::disconnect(Now now, const NodeName& name) { return impl_->disconnect(now, name); }
void NodeMachine::leave(Now now) { impl_->leave(now); }
bool NodeMachine::left() const { return impl_->left_; }
Result<void> NodeMachine::forget(Now now, const NodeName& name) { return impl_->forget(now, name); }
Result<void> NodeMachine::cut(Now now, const NodeName& name) { return impl_->cut(now, name); }
void NodeMachine::heal(Now now) { impl_->heal(now); }
const Member& NodeMachine::self() const { return impl_->self_; }
std::vector<Member> NodeMachine::connected() const { return impl_->connected(); }
std::vector<Member> NodeMachine::island() const { return impl_->states_.island(); }
const Membership& NodeMachine::membership() const { return impl_->book_.membership(); }
bool NodeMachine::linked(BootId a, BootId b) const { return impl_->states_.linked(a, b); }
Timestamp NodeMachine::cluster_time(Now now) const { return impl_->clock_.at(now.mono); }
bool NodeMachine::send(BootId to, ServiceId service, Lane lane, Bytes payload) {
  return impl_->send(to, service, lane, std::move(payload));
}
std::size_t NodeMachine::queued(BootId to) const { return impl_->queued(to); }
void NodeMachine::call(Now now, BootId to, std::string_view name, std::string request,
                       Duration deadline, Reply reply) {
  impl_->call(now, to, name, std::move(request), deadline, std::move(reply));
}
void NodeMachine::handle(std::string name, Handler handler) {
  impl_->handlers_.insert_or_assign(std::move(name), std::move(handler));
}
void NodeMachine::attach(ServiceId service, Service* listener) {
  if (listener == nullptr) {
    impl_->services_.erase(service);
  } else {
    impl_->services_.insert_or_assign(service, listener);
  }
}
const NodeCounters& NodeMachine::counters() const { return impl_->counters_; }
void NodeMachine::check_invariants() const { impl_->check_invariants(); }

}  // namespace muster::node
