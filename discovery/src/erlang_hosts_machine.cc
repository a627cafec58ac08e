// SPDX-License-Identifier: MIT
#include "erlang_hosts_machine.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "hosts_file.h"

namespace muster::discovery {
namespace {

using namespace std::chrono_literals;

constexpr const char* file_name = ".hosts.erlang";
constexpr Duration look_every = 5s;
constexpr Duration host_deadline = 3s;
constexpr std::size_t most_at_a_time = 16;

}  // namespace

ErlangHostsMachine::ErlangHostsMachine(const Options& options, const StrategyContext& context,
                                       StrategySink& sink)
    : timeout_(options.timeout), sink_(sink), seed_(context.seed) {
  if (!options.file.empty()) {
    candidates_.push_back(context.directory / options.file);
    return;
  }
  candidates_.push_back(context.directory / file_name);
  if (!context.home.empty() && context.home != context.directory)
    candidates_.push_back(context.home / file_name);
}

void ErlangHostsMachine::start(Now now) {
  pass_at_ = now.mono;
  look_at_ = now.mono;
  wake(now);
}

void ErlangHostsMachine::wake(Now now) {
  if (busy() || now.mono < look_at_) return;
  started_ = now.mono;
  candidate_ = 0;
  failures_.clear();
  read_next(now);
}

void ErlangHostsMachine::read_next(Now now) {
  if (candidate_ == candidates_.size()) return file_missing(now);
  reading_ = ++last_question_;
  sink_.ask(*reading_, ReadFile{.path = candidates_[candidate_]});
}

void ErlangHostsMachine::answer(Now now, QuestionId id, const Answer& answer) {
  if (const auto* file = std::get_if<FileRead>(&answer); file && reading_ == id) {
    reading_.reset();
    return file_read(now, file->content);
  }
  const auto* found = std::get_if<NamesFound>(&answer);
  const auto asked = asked_.extract(id);
  if (found && asked) names_found(now, asked.mapped(), found->names);
}

void ErlangHostsMachine::file_read(Now now, const Result<std::string>& content) {
  if (!content) {
    failures_ += (failures_.empty() ? "" : "; ") + content.error().text();
    ++candidate_;
    return read_next(now);
  }
  const bool is_news = content_ != *content;
  if (is_news) take_file(candidates_[candidate_], *content);
  if (!is_news && now.mono < pass_at_) return rest(now);
  ask_hosts(now);
}

void ErlangHostsMachine::file_missing(Now now) {
  content_.reset();
  hosts_.clear();
  report_unknown(now, "no hosts file: " + failures_);
}

void ErlangHostsMachine::take_file(const std::filesystem::path& path, const std::string& content) {
  content_ = content;
  const HostsFile file = parse_hosts_file(content);
  counters_["file_problems"] += file.problems.size();
  for (const std::string& problem : file.problems)
    sink_.note(Level::warn, path.string() + ": " + problem + "; skipped");
  std::erase_if(hosts_, [&](const auto& entry) {
    return std::ranges::find(file.hosts, entry.first) == file.hosts.end();
  });
  for (const std::string& host : file.hosts) hosts_.try_emplace(host);
}

void ErlangHostsMachine::ask_hosts(Now now) {
  if (hosts_.empty()) return report_unknown(now, "no host in " + candidates_[candidate_].string());
  for (const auto& [host, unused] : hosts_) queue_.push_back(host);
  ask_more();
}

void ErlangHostsMachine::ask_more() {
  while (!queue_.empty() && asked_.size() < most_at_a_time) {
    const std::string host = std::move(queue_.back());
    queue_.pop_back();
    asked_.emplace(++last_question_, host);
    sink_.ask(last_question_, AskNames{.host = host, .within = host_deadline});
  }
}

void ErlangHostsMachine::names_found(Now now, const std::string& name,
                                     const Result<std::vector<std::string>>& names) {
  Host& host = hosts_.at(name);
  if (names) {
    if (host.missed) sink_.note(Level::info, "the port mapper of " + name + " answers");
    host = {.names = *names, .has_answered = true};
  } else {
    ++counters_["host_failures"];
    host.failure = names.error().text();
  }
  ask_more();
  if (asked_.empty()) finish(now);
}

void ErlangHostsMachine::finish(Now now) {
  PeerSet peers;
  std::string failures;
  bool any_answered = false;
  for (const auto& [name, host] : hosts_) {
    any_answered = any_answered || host.has_answered;
    if (!host.failure.empty()) failures += (failures.empty() ? "" : "; ") + host.failure;
    for (const std::string& base : host.names)
      if (auto node = NodeName::parse(std::string(base).append("@").append(name)))
        peers.insert(Peer{*node});
  }
  if (!any_answered) return report_unknown(now, failures);
  tell_the_missed();
  Pass pass = Pass::list(std::move(peers));
  pass.reason = failures;
  pass.disconnects = false;
  pass.took = now.mono - started_;
  pass_at_ = after(now.mono, timeout_);
  if (failures.empty())
    retry_.reset();
  else
    pass_at_ = std::min(pass_at_, after(now.mono, retry_.next(++seed_ * 0x9E3779B97F4A7C15u)));
  rest(now);
  sink_.report(std::move(pass));
}

/// Once for each host that no longer answers, or never did while others do.
void ErlangHostsMachine::tell_the_missed() {
  for (auto& [name, host] : hosts_) {
    if (host.failure.empty() || std::exchange(host.missed, true)) continue;
    sink_.note(Level::warn, "the port mapper of " + name + " does not answer" +
                                (host.has_answered ? "; its nodes stay listed: " : ": ") +
                                host.failure);
  }
}

void ErlangHostsMachine::report_unknown(Now now, std::string reason) {
  Pass pass = Pass::unknown(std::move(reason));
  pass.took = now.mono - started_;
  pass_at_ = std::min(after(now.mono, timeout_),
                      after(now.mono, retry_.next(++seed_ * 0x9E3779B97F4A7C15u)));
  rest(now);
  sink_.report(std::move(pass));
}

void ErlangHostsMachine::rest(Now now) {
  look_at_ = std::min(pass_at_, after(now.mono, look_every));
}

void ErlangHostsMachine::check_invariants() const {
  assert(asked_.size() <= most_at_a_time);
  assert(!reading_ || asked_.empty());
  for ([[maybe_unused]] const auto& [id, host] : asked_) assert(hosts_.contains(host));
}

}  // namespace muster::discovery
