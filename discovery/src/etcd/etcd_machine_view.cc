// SPDX-License-Identifier: MIT
// The view of the other nodes' keys: read, then watched.
#include <algorithm>
#include <cassert>

#include "etcd/etcd_machine.h"

namespace muster::discovery {
namespace {

using namespace std::chrono_literals;

constexpr std::int64_t most_keys = 10'000;
/// A watch that says nothing for so long is begun anew: nothing else tells a dead connection.
constexpr Duration quiet_watch = 1min;

}  // namespace

void EtcdMachine::step_view(Now now) {
  assert(view_ == View::reading && "a watch goes on by itself");
  ask(now, view_work_, "/v3/kv/range", etcd::range(options_.prefix, most_keys));
}

void EtcdMachine::view_answered(Now now, const Result<HttpReply>& reply) {
  if (const auto problem = problem_of(reply, view_work_)) return view_failed(now, *problem);
  const auto range = etcd::read_range(reply->body);
  if (!range) return view_failed(now, {.text = range.error().text()});
  token_was_good_ = true;
  peers_.clear();
  bad_keys_.clear();
  bool has_own = false;
  for (const etcd::KeyValue& entry : range->all) {
    has_own = has_own || entry.key == own_key_;
    take(now, entry);
  }
  if (!has_own && range->revision >= put_revision_) put_again(now);
  report(now.mono - view_work_.asked);
  start_watch(now, range->revision + 1);
}

void EtcdMachine::start_watch(Now now, std::int64_t from_revision) {
  ++counters_["watches"];
  view_ = View::watching;
  view_work_.question = ++last_question_;
  view_work_.endpoint = endpoint_;
  view_work_.asked = now.mono;
  HttpRequest watch = request("/v3/watch", etcd::watch(options_.prefix, from_revision));
  watch.stream = true;
  watch.quiet = quiet_watch;
  sink_.ask(last_question_, std::move(watch));
}

void EtcdMachine::watch_said(Now now, const std::string& line) {
  const auto said = etcd::read_watch_line(line);
  if (!said) ++counters_["failures"];
  if (!said || said->is_cancelled) {  // Compacted, most likely: it is all read again.
    sink_.withdraw(*view_work_.question);
    return watch_ended(now);
  }
  view_work_.retry.reset();
  if (said->changes.empty()) return;
  for (const etcd::KeyValue& entry : said->changes) take(now, entry);
  report({});
}

void EtcdMachine::watch_ended(Now now) {
  view_work_.question.reset();
  view_ = View::reading;
  later(now, view_work_);
}

void EtcdMachine::view_failed(Now now, const Problem& problem) {
  if (!is_worn_token(problem)) report_unknown(now, view_work_, problem.text);
  failed(now, view_work_, problem);
}

void EtcdMachine::take(Now now, const etcd::KeyValue& entry) {
  if (entry.key == own_key_) return take_own(now, entry);
  peers_.erase(entry.key);
  bad_keys_.erase(entry.key);
  if (entry.is_deleted) return;
  const auto read = etcd::read_registration(entry.value);
  std::string problem;
  if (!read)
    problem = read.error().text();
  else if (entry.key != options_.prefix + read->peer.name.text())
    problem = "it names another node";
  else if (peers_.size() >= most_keys)
    problem = "there are too many";
  else
    peers_.emplace(entry.key, read->peer);
  if (problem.empty()) return;
  ++counters_["bad_entries"];
  bad_keys_.insert(entry.key);
  if (!std::exchange(bad_is_noted_, true))
    sink_.note(Level::warn, "skips the key " + entry.key.substr(0, 100) + ": " + problem);
}

void EtcdMachine::take_own(Now now, const etcd::KeyValue& entry) {
  if (own_ != Own::holding || entry.revision <= put_revision_) return;  // Of an earlier start.
  if (entry.is_deleted) return put_again(now);
  const auto read = etcd::read_registration(entry.value);
  const bool is_ours = read && read->boot_id == self_.boot_id;
  if (!is_ours && !std::exchange(name_is_shared_, true))
    sink_.note(Level::warn, "another node keeps the key of " + self_.peer.name.text() +
                                (read ? ": it is at " + read->peer.address : ""));
}

/// Our key is not there although we hold its lease: somebody deleted it.
void EtcdMachine::put_again(Now now) {
  if (own_ != Own::holding) return;
  if (own_work_.question) sink_.withdraw(*own_work_.question);
  own_work_.question.reset();
  own_work_.due = now.mono;
  own_ = Own::putting;
  name_is_shared_ = false;
}

void EtcdMachine::report(Duration took) {
  if (bad_keys_.empty()) bad_is_noted_ = false;
  PeerSet peers;
  for (const auto& [key, peer] : peers_) peers.insert(peer);
  Pass pass = Pass::list(std::move(peers));
  pass.disconnects = false;
  pass.took = took;
  sink_.report(std::move(pass));
}

void EtcdMachine::report_unknown(Now now, const Work& work, const std::string& reason) {
  Pass pass = Pass::unknown(reason);
  pass.took = now.mono - work.asked;
  sink_.report(std::move(pass));
}

}  // namespace muster::discovery
