// SPDX-License-Identifier: MIT
//
// `kubernetes`: the peers are the pods that the API server lists for a selector.  Pure.
//
// One NamespaceMachine per namespace knows the objects; this one makes peers of them and reports:
// after each list, soon after each event that changed something, and once more one polling interval
// later (so that a topology that holds back a large drop gets its second answer).  While any
// namespace fails, passes are unknown.
//
// A pod that is ready becomes a peer.  One that is not ready, or is being deleted, does not; but
// where it is a peer already it stays one: readiness is about traffic, whether a peer is down is
// for the node to tell, and a pod that shuts down still has to hand over.  The latter is dropped
// when it is gone, or when its grace period is over.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "kubernetes/kubernetes_namespace_machine.h"

namespace muster::discovery {

class KubernetesMachine : public StrategyMachine {
 public:
  struct Options {
    kubernetes::Naming naming = {};
    kubernetes::NamespaceMachine::Options reading = {};
    std::vector<std::string> spaces = {};  ///< Empty: the one of the service account.
  };

  KubernetesMachine(const Options& options, const StrategyContext& context, StrategySink& sink);
  ~KubernetesMachine() override;

  void start(Now now) override;
  void wake(Now now) override;
  [[nodiscard]] Instant next_wake() const override;
  void answer(Now now, QuestionId id, const Answer& answer) override;
  [[nodiscard]] std::map<std::string, std::uint64_t> counters() const override { return counters_; }
  void check_invariants() const override;

 private:
  class Space;
  using Member = kubernetes::Member;

  void report_list(Now now, Duration took);
  void report_failure(std::string reason, Duration took);
  [[nodiscard]] bool all_known() const;
  [[nodiscard]] Instant next_report() const;
  [[nodiscard]] PeerSet find_peers(Now now);
  [[nodiscard]] std::map<std::string, const Member*> one_member_per_pod();
  [[nodiscard]] bool is_better(const Member& a, const Member& b) const;
  [[nodiscard]] bool counts(Now now, const Peer& peer, const Member& member);
  void explain(const PeerSet& peers);

  const Options options_;
  const NodeName self_;
  StrategySink& sink_;
  std::vector<std::unique_ptr<Space>> spaces_;

  std::set<NodeName> listed_;                 // By the last list that was reported.
  std::map<NodeName, Instant> leaves_until_;  // Peers whose pods are being deleted.
  Instant report_at_ = never;                 // Something has changed.
  Instant repeat_at_ = never;
  std::string explained_;  // What was last said about an odd answer.
  std::map<std::string, std::uint64_t> counters_{
      {"lists", 0},   {"watches", 0},       {"events", 0},    {"bookmarks", 0},
      {"gone", 0},    {"failures", 0},      {"malformed", 0}, {"watches_ended", 0},
      {"unnamed", 0}, {"watches_broken", 0}};
};

}  // namespace muster::discovery
