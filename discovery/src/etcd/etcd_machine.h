// SPDX-License-Identifier: MIT
//
// `etcd`: keeps a key of our own under a lease, and watches those of the others.  Pure.
//
// Two works go on side by side.  *Own*: a lease is granted, our registration put under it, the
// lease kept alive every third of its time; when it is gone (etcd lost it, or we were frozen too
// long) all of that again.  *View*: all keys under the prefix are read, then watched from there;
// whenever the watch ends, for whatever reason, they are read again.  Before both, the files (TLS,
// password) are read and a user signs in; again after a failure, as they may have been renewed.
//
// A pass never disconnects: a key that is gone says that a lease ended, which a live node that was
// frozen or cut off from etcd alone outlasts; it is no longer redialled, and the link's own failure
// detector decides.  Unknown while etcd cannot be read.
//
// Endpoints are tried in turn, with backoff.  Somebody else under our name: said once, not fought.
// At a stop the lease is given back, so that the key is gone at once.
#pragma once

#include <set>

#include "etcd/etcd_json.h"
#include "muster/discovery/backoff.h"
#include "muster/discovery/strategy_machine.h"

namespace muster::discovery {

class EtcdMachine : public StrategyMachine {
 public:
  struct Options {
    std::vector<std::string> endpoints = {"http://127.0.0.1:2379"};  ///< At least one.
    std::string prefix = "/muster/";
    Duration lease = std::chrono::seconds(10);
    std::string ca_file = {};  ///< Empty: the system's authorities.
    std::string certificate_file = {};
    std::string key_file = {};
    std::string user = {};  ///< Empty: none.
    std::string password_file = {};
  };

  EtcdMachine(Options options, const StrategyContext& context, StrategySink& sink);

  void start(Now now) override;
  void wake(Now now) override { go_on(now); }
  [[nodiscard]] Instant next_wake() const override;
  void answer(Now now, QuestionId id, const Answer& answer) override;
  void stop(Now now) override;
  [[nodiscard]] std::map<std::string, std::uint64_t> counters() const override { return counters_; }
  void check_invariants() const override;

 private:
  enum class Own { granting, putting, holding };
  enum class View { reading, watching };
  struct Work {
    std::optional<QuestionId> question = {};  // Asked, not answered yet.
    std::size_t endpoint = 0;                 // Of the question.
    Instant asked = {};
    Instant due = {};  // When the next is to be asked, where none is.
    Backoff retry =
        Backoff({.first = std::chrono::milliseconds(250), .most = std::chrono::seconds(5)});
  };
  struct File {
    std::string path;
    std::string* content;
  };
  struct Problem {
    std::string text;
    bool is_unreachable = false;  // The next endpoint may do better.
    int code = 0;
  };

  void go_on(Now now);
  [[nodiscard]] bool is_prepared() const;
  void prepare(Now now);
  void step_own(Now now);
  void step_view(Now now);
  void ask(Now now, Work& work, const std::string& path, std::string body);
  [[nodiscard]] HttpRequest request(const std::string& path, std::string body) const;

  void file_read(Now now, const Result<std::string>& content);
  void token_answered(Now now, const Result<HttpReply>& reply);
  void own_answered(Now now, const Result<HttpReply>& reply);
  void lease_granted(Now now, const std::string& body);
  void lease_kept(Now now, const std::string& body);
  void view_answered(Now now, const Result<HttpReply>& reply);
  void start_watch(Now now, std::int64_t from_revision);
  void watch_said(Now now, const std::string& line);
  void watch_ended(Now now);

  [[nodiscard]] std::optional<Problem> problem_of(const Result<HttpReply>& reply,
                                                  const Work& work) const;
  [[nodiscard]] bool is_worn_token(const Problem& problem) const;
  void failed(Now now, Work& work, const Problem& problem);
  void own_failed(Now now, const Problem& problem);
  void view_failed(Now now, const Problem& problem);
  void later(Now now, Work& work);
  void lose_lease(Now now);

  void take(Now now, const etcd::KeyValue& entry);
  void take_own(Now now, const etcd::KeyValue& entry);
  void put_again(Now now);
  void report(Duration took);
  void report_unknown(Now now, const Work& work, const std::string& reason);

  const Options options_;
  const etcd::Registration self_;
  const std::string own_key_;
  StrategySink& sink_;
  std::uint64_t seed_;
  QuestionId last_question_ = 0;
  std::size_t endpoint_ = 0;  // The one to ask.
  bool is_stopped_ = false;

  Work preparation_;
  std::string trusted_, certificate_, key_, password_;
  std::vector<File> files_;
  std::size_t files_read_ = 0;
  std::string token_;
  bool token_was_good_ = false;
  const bool listens_only_;
  bool needs_token_ = false;

  Work own_work_;
  Own own_ = Own::granting;
  std::int64_t lease_ = 0;  // 0: none.
  Duration lease_time_ = {};
  std::int64_t put_revision_ = 0;
  bool own_is_failing_ = false;
  bool name_is_shared_ = false;

  Work view_work_;
  View view_ = View::reading;
  std::map<std::string, Peer> peers_;  // By key.
  std::set<std::string> bad_keys_;
  bool bad_is_noted_ = false;
  std::map<std::string, std::uint64_t> counters_{
      {"bad_entries", 0}, {"failures", 0}, {"leases_lost", 0}, {"watches", 0}};
};

}  // namespace muster::discovery
