// SPDX-License-Identifier: MIT
//
// The node machine's inside.  One class in several files: entries (node_machine.cc), wishes and
// dials (dials), hello to connected (hello), links up and down (links), the words between connected
// nodes (control), who is silent (detector), members and the island (members).
//
// Every entry is enter(), changes, finish(): callbacks are queued while state changes and run in
// finish(), when all of it is consistent; they may enter again.
#pragma once

#include <deque>
#include <map>
#include <set>
#include <string>

#include "machine/agenda.h"
#include "machine/calls.h"
#include "machine/cluster_clock.h"
#include "machine/link.h"
#include "machine/link_states.h"
#include "machine/membership_book.h"
#include "machine/news_frames.h"
#include "machine/node_wire_codec.h"
#include "machine/strain.h"
#include "muster/node/node_machine.h"

namespace muster::node {

class NodeMachine::Impl {
 public:
  Impl(NodeOptions options, NodeState state, std::uint64_t seed, NodeEffects& effects);

  void start(Now now);
  [[nodiscard]] Timestamp not_before(Now now) const;
  LinkId accepted(Now now, std::string_view remote);
  void opened(Now now, LinkId id);
  void received(Now now, LinkId id, std::string_view frame);
  void closed(Now now, LinkId id, std::string_view reason);
  [[nodiscard]] Instant next_wake() const;
  void wake(Now now);

  void connect(Now now, const Peer& peer, ConnectDone done);
  bool disconnect(Now now, const NodeName& name);
  void leave(Now now);
  Result<void> forget(Now now, const NodeName& name);
  Result<void> cut(Now now, const NodeName& name);
  void heal(Now now);

  [[nodiscard]] std::vector<Member> connected() const;
  bool send(BootId to, ServiceId service, Lane lane, Bytes payload);
  [[nodiscard]] std::size_t queued(BootId to) const;
  void call(Now now, BootId to, std::string_view name, std::string request, Duration deadline,
            Reply reply);
  void check_invariants() const;

  Member self_;
  LinkStates states_;
  MembershipBook book_;
  ClusterClock clock_;
  NodeCounters counters_;
  bool left_ = false;
  std::map<ServiceId, Service*> services_;
  std::map<std::string, Handler, std::less<>> handlers_;

 private:
  using Notification = std::function<void(Now)>;
  /// Of a link: we tell the other end why; it told us; the transport is gone.
  enum class Ending { say_goodbye, close, closed };

  // node_machine.cc
  void enter(Now now);
  void stood_still(Now now, Duration stall);
  void finish(Now now);
  void deliver_to_services(std::function<void(Service&, Now)> what);
  void wake_links(Now now);
  void wake_clock(Now now);
  void save_if_changed();
  [[nodiscard]] std::uint64_t random();

  // node_machine_dials.cc
  void dial(Now now, const NodeName& name, Wish& wish);
  void wake_dials(Now now);
  void attempt_failed(Now now, const NodeName& name, const std::string& reason, bool duplicate);
  void conclude(Wish& wish, const ConnectOutcome& outcome);
  void wish_for(Now now, const NodeName& name);
  void wish_for_members(Now now);
  void drop_wish(Now now, const NodeName& name, const std::string& reason);
  [[nodiscard]] bool wanted(const NodeName& name) const;
  [[nodiscard]] bool attempt_under_way(const NodeName& name) const;
  [[nodiscard]] bool linked_to(const NodeName& name) const {
    return connected_names_.contains(name);
  }
  /// Why names of these two forms do not mix; empty when they do.
  [[nodiscard]] std::string form_error(const NodeName& other) const;

  // node_machine_hello.cc
  void send_hello(Now now, Link& link, bool met, bool newcomer);
  void on_hello(Now now, Link& link, const wire::Hello& message);
  [[nodiscard]] std::optional<wire::Refuse> objection(const Link& link,
                                                      const Greeting& greeting) const;
  [[nodiscard]] bool stale(const Member& peer) const;
  [[nodiscard]] wire::Refuse too_old(const Member& peer) const;
  void take_in(Now now, const Greeting& greeting);
  [[nodiscard]] bool newcomer(Now now) const { return blank_ && !met_ && now.mono < founded_at_; }
  void settle_ordinal(Now now, const Greeting& greeting);
  void rise();
  void choose(Now now, Link& link);
  void send_welcome(Now now, Link& link);
  void on_welcome(Now now, Link& link, const wire::Welcome& message);
  void on_refuse(Now now, Link& link, const wire::Refuse& message);
  void refuse(Now now, Link& link, wire::Refuse refusal);
  void report_refused(Now now, const Member& node, const std::string& reason);

  // node_machine_links.cc
  Link& add_link();
  void name_attempt(Link& link, const Member& peer);
  [[nodiscard]] std::vector<LinkId> attempts_at(const NodeName& name) const;
  Link* find(LinkId id);
  Link* find(BootId boot);
  [[nodiscard]] const Link* find(BootId boot) const;
  void transmit(Link& link, Lane lane, const Bytes& frame);
  void transmit(Link& link, const wire::Control& message);
  void take_frame(Now now, Link& link, std::string_view frame);
  void up(Now now, Link& link);
  void down(Now now, Link& link, DownReason reason, const std::string& detail,
            Ending ending = Ending::say_goodbye);
  void say_goodbye(Link& link, DownReason reason);
  void erase(Link& link, bool close);
  void fail(Now now, Link& link, const std::string& reason, bool duplicate = false,
            bool close = true);
  void malformed(Now now, Link& link, const std::string& what);
  void close_spare(Now now, const Link& kept);
  [[nodiscard]] bool is_cut(const Link& link) const { return cuts_.contains(link.name()); }

  // node_machine_control.cc
  void on_control(Now now, Link& link, std::string_view payload);
  void on_connected(Now now, Link& link, const wire::Control& message);
  void on_goodbye(Now now, Link& link, const wire::Goodbye& message);
  void on_update(Now now, Link& link, const wire::Update& message);
  void on_call(Now now, Link& link, const wire::Call& message);
  void on_reply(Now now, Link& link, const wire::Reply& message);

  // node_machine_detector.cc
  [[nodiscard]] Watch::Limits limits(Now now) const;
  [[nodiscard]] Duration cycle() const;
  void wake_probes(Now now);
  void shuffle_round();
  void probe(Now now, Link& link);
  void judge(Now now, Link& link);
  void judge_again(Now now, Link& link);
  [[nodiscard]] std::size_t able_to_confirm(const Link& link) const;
  void suspect(Now now, Link& link);
  [[nodiscard]] std::vector<LinkId> whom_to_tell(Now now, Link& link);
  enum class Accusation { told, asked, confirmed };
  void accuse(Now now, const Link& link, Link& to, Accusation how);
  void on_probe(Now now, Link& link, const wire::Probe& message);
  void on_probe_reply(Now now, Link& link, const wire::ProbeReply& message);
  void on_suspicion(Now now, Link& link, const wire::Suspicion& message);
  void contradict(Now now, Link& link, const wire::Suspicion& message);
  void on_evidence(Now now, Link& link, const wire::Evidence& message);

  // node_machine_members.cc
  [[nodiscard]] bool merge_known(Now now, const google::protobuf::RepeatedPtrField<wire::Known>& in,
                                 BootId source);
  void merge_known(Now now, const KnownNode& node, BootId source);
  void renew_member(const Member& member);
  [[nodiscard]] bool merge_links(Now now,
                                 const google::protobuf::RepeatedPtrField<wire::LinkState>& in,
                                 BootId source);
  void publish(Now now);
  struct News {
    NewsFrames members, links;          ///< For everybody.
    std::map<BootId, NewsFrames> some;  ///< For some of them.
  };
  void gather_members(std::uint64_t since, News& news) const;
  void gather_links(std::uint64_t since, const std::vector<BootId>& fresh, News& news) const;
  void add_members(NewsFrames& news) const;
  void send(Link& link, NewsFrames& news);
  void repair(Link& link);
  [[nodiscard]] bool unpublished() const;
  void settle_island(Now now);
  void strike(Now now, const NodeName& name);
  void forget_the_long_dead(Now now);
  void report(Now now, NodeEvent::Kind kind, const Member& node, std::string detail,
              DownReason reason = DownReason::closed);

  NodeOptions options_;
  NodeEffects& effects_;
  std::uint64_t random_;

  bool met_ = false;  ///< Somebody, in this life.
  bool blank_;        ///< Nothing was remembered.
  Instant founded_at_ = never;
  Instant entered_{};  ///< Last entry.
  bool leaving_ = false;
  std::uint64_t last_link_ = 0;
  std::uint64_t last_connection_ = 0;
  std::map<LinkId, Link> links_;
  std::set<std::pair<NodeName, LinkId>> attempts_;  ///< Links that are not connected yet, by name.
  std::map<BootId, LinkId> connected_;
  std::map<NodeName, LinkId> connected_names_;
  std::map<BootId, LinkId> chosen_;  ///< Where the choice is ours: the link that we welcomed.
  Agenda<LinkId> link_agenda_;       ///< Deadlines: to be connected, or to be heard again.

  std::vector<LinkId> round_;  ///< Still to be probed in this round, the next at the end.
  Instant probe_at_ = never;
  std::uint32_t incarnation_ = 0;
  Strain strain_;
  Instant resumed_{};       ///< End of the last stall.
  Instant spread_since_{};  ///< In the second that began here ...
  std::size_t spread_ = 0;  ///< ... so many were told of suspicions.

  std::map<NodeName, Wish> wishes_;
  Agenda<NodeName> dial_agenda_;
  std::set<NodeName> shunned_;  ///< Disconnected by request: not redialled.
  std::set<NodeName> cuts_;
  std::map<NodeName, std::set<std::string>> refused_;  ///< Reasons reported since it was last up.

  Calls calls_;
  std::deque<Notification> notifications_;
  int depth_ = 0;
  bool links_changed_ = false;        ///< connected() or disconnected() was queued.
  std::uint64_t shown_revision_ = 0;  ///< Of the membership at the last island_changed().
  Member oldest_;
  bool clock_alarm_ = false;

  Instant publish_at_ = never;
  Instant last_publish_{};
  std::uint64_t published_known_ = 0;
  std::uint64_t published_links_ = 0;
  std::map<NodeName, Instant> missing_since_;
  Instant count_missing_at_ = never;
  Instant clock_at_ = never;
  Instant save_clock_at_ = never;

  Bytes last_payload_;  ///< Of the last send(), so that a fan-out builds its frame once.
  Bytes last_frame_;
  ServiceId last_service_ = 0;
};

}  // namespace muster::node
