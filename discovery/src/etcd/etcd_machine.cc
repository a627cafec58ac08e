// SPDX-License-Identifier: MIT
// Preparation, our own key, and how answers are sorted; etcd_machine_view.cc holds the view.
#include "etcd/etcd_machine.h"

#include <algorithm>
#include <cassert>

namespace muster::discovery {
namespace {

using namespace std::chrono_literals;

etcd::Registration registration_of(const StrategyContext& context) {
  return {.peer = {.name = context.self,
                   .address = context.link_port == 0 ? "" : context.link_address,
                   .port = context.link_port},
          .boot_id = context.boot_id};
}

std::int64_t whole_seconds(Duration duration) {
  return std::chrono::ceil<std::chrono::seconds>(duration).count();
}

}  // namespace

EtcdMachine::EtcdMachine(Options options, const StrategyContext& context, StrategySink& sink)
    : options_(std::move(options)),
      self_(registration_of(context)),
      own_key_(options_.prefix + context.self.text()),
      sink_(sink),
      seed_(context.seed),
      listens_only_(context.listens_only),
      needs_token_(!options_.user.empty()) {
  const auto add = [&](const std::string& path, std::string& content) {
    if (!path.empty()) files_.push_back({(context.directory / path).string(), &content});
  };
  add(options_.ca_file, trusted_);
  add(options_.certificate_file, certificate_);
  add(options_.key_file, key_);
  add(options_.password_file, password_);
}

void EtcdMachine::start(Now now) {
  for (Work* work : {&preparation_, &own_work_, &view_work_}) work->due = now.mono;
  if (listens_only_) own_work_.due = never;
  go_on(now);
}

bool EtcdMachine::is_prepared() const {
  return files_read_ == files_.size() && !(needs_token_ && token_.empty());
}

Instant EtcdMachine::next_wake() const {
  if (is_stopped_) return never;
  const auto due = [](const Work& work) { return work.question ? never : work.due; };
  if (!is_prepared()) return due(preparation_);
  return std::min(due(own_work_), due(view_work_));
}

void EtcdMachine::go_on(Now now) {
  if (is_stopped_) return;
  const auto is_due = [&](const Work& work) { return !work.question && now.mono >= work.due; };
  if (!is_prepared() && is_due(preparation_)) prepare(now);
  if (is_prepared() && is_due(own_work_)) step_own(now);
  if (is_prepared() && is_due(view_work_)) step_view(now);
}

void EtcdMachine::prepare(Now now) {
  if (files_read_ < files_.size()) {
    preparation_.question = ++last_question_;
    preparation_.asked = now.mono;
    sink_.ask(last_question_, ReadFile{.path = files_[files_read_].path});
  } else {
    ask(now, preparation_, "/v3/auth/authenticate", etcd::authenticate(options_.user, password_));
  }
}

void EtcdMachine::step_own(Now now) {
  switch (own_) {
    case Own::granting:
      return ask(now, own_work_, "/v3/lease/grant", etcd::grant(whole_seconds(options_.lease)));
    case Own::putting:
      return ask(now, own_work_, "/v3/kv/put",
                 etcd::put(own_key_, etcd::write_registration(self_), lease_));
    case Own::holding:
      return ask(now, own_work_, "/v3/lease/keepalive", etcd::lease_of(lease_));
  }
}

HttpRequest EtcdMachine::request(const std::string& path, std::string body) const {
  HttpRequest request{.method = "POST",
                      .url = options_.endpoints[endpoint_] + path,
                      .headers = {{"Content-Type", "application/json"}},
                      .body = std::move(body),
                      .within = std::clamp<Duration>(options_.lease / 3, 1s, 5s),
                      .trusted = trusted_,
                      .certificate = certificate_,
                      .key = key_,
                      // All of it; a lease that is granted twice ends by itself.
                      .repeatable = true};
  if (!token_.empty()) request.headers.emplace_back("Authorization", token_);
  return request;
}

void EtcdMachine::ask(Now now, Work& work, const std::string& path, std::string body) {
  work.question = ++last_question_;
  work.endpoint = endpoint_;
  work.asked = now.mono;
  sink_.ask(last_question_, request(path, std::move(body)));
}

void EtcdMachine::answer(Now now, QuestionId id, const Answer& answer) {
  if (is_stopped_) return;
  const auto* reply = std::get_if<HttpAnswer>(&answer);
  if (id == view_work_.question && view_ == View::watching) {
    if (const auto* line = std::get_if<HttpLine>(&answer))
      watch_said(now, line->line);
    else if (!reply || !reply->reply || reply->reply->status != 200)
      watch_ended(now);
  } else if (id == view_work_.question && reply) {
    view_work_.question.reset();
    view_answered(now, reply->reply);
  } else if (id == own_work_.question && reply) {
    own_work_.question.reset();
    own_answered(now, reply->reply);
  } else if (id == preparation_.question) {
    preparation_.question.reset();
    if (const auto* file = std::get_if<FileRead>(&answer))
      file_read(now, file->content);
    else if (reply)
      token_answered(now, reply->reply);
  }
  go_on(now);
}

void EtcdMachine::file_read(Now now, const Result<std::string>& content) {
  if (!content) {
    const Problem problem{.text = content.error().text()};
    report_unknown(now, preparation_, problem.text);
    return failed(now, preparation_, problem);
  }
  std::string& text = *files_[files_read_].content;
  text = *content;
  if (&text == &password_)
    while (text.ends_with('\n') || text.ends_with('\r')) text.pop_back();
  preparation_.due = now.mono;
  ++files_read_;
  if (is_prepared()) preparation_.retry.reset();
}

void EtcdMachine::token_answered(Now now, const Result<HttpReply>& reply) {
  auto problem = problem_of(reply, preparation_);
  if (!problem) {
    const auto token = etcd::read_token(reply->body);
    if (token) {
      token_ = *token;
      token_was_good_ = false;
      preparation_.retry.reset();
      return;
    }
    problem = Problem{.text = token.error().text()};
  }
  if (problem->text.find("authentication is not enabled") != std::string::npos) {
    sink_.note(Level::warn, "etcd asks nobody for a user: `user` is not used");
    needs_token_ = false;
    return;
  }
  report_unknown(now, preparation_, problem->text);
  failed(now, preparation_, *problem);
  files_read_ = 0;  // The password may have been changed.
}

void EtcdMachine::own_answered(Now now, const Result<HttpReply>& reply) {
  if (const auto problem = problem_of(reply, own_work_)) {
    if (problem->code == etcd::Refusal::not_found && own_ != Own::granting) return lose_lease(now);
    return own_failed(now, *problem);
  }
  if (own_ == Own::granting) return lease_granted(now, reply->body);
  if (own_ == Own::holding) return lease_kept(now, reply->body);
  token_was_good_ = true;
  const auto revision = etcd::read_revision(reply->body);
  if (!revision) return own_failed(now, {.text = revision.error().text()});
  put_revision_ = *revision;
  own_ = Own::holding;
  own_work_.retry.reset();
  own_work_.due = after(now.mono, lease_time_ / 3);
  if (std::exchange(own_is_failing_, false))
    sink_.note(Level::info, "our own key is in etcd again");
}

void EtcdMachine::lease_granted(Now now, const std::string& body) {
  const auto lease = etcd::read_lease(body);
  if (!lease || lease->seconds <= 0)
    return own_failed(now, {.text = lease ? "etcd granted no lease" : lease.error().text()});
  lease_ = lease->id;
  lease_time_ = std::chrono::seconds(std::min<std::int64_t>(lease->seconds, 24 * 3600));
  own_ = Own::putting;
  own_work_.due = now.mono;
}

void EtcdMachine::lease_kept(Now now, const std::string& body) {
  const auto lease = etcd::read_lease(body);
  if (!lease) return own_failed(now, {.text = lease.error().text()});
  if (lease->seconds <= 0) return lose_lease(now);
  own_work_.retry.reset();
  own_work_.due = after(now.mono, lease_time_ / 3);
  if (std::exchange(own_is_failing_, false))
    sink_.note(Level::info, "our own key is kept in etcd again");
}

/// It ended behind our back, and our key with it.
void EtcdMachine::lose_lease(Now now) {
  ++counters_["leases_lost"];
  lease_ = 0;
  own_ = Own::granting;
  later(now, own_work_);
}

void EtcdMachine::own_failed(Now now, const Problem& problem) {
  if (!is_worn_token(problem) && !std::exchange(own_is_failing_, true))
    sink_.note(Level::warn, "cannot keep our own key in etcd: " + problem.text);
  failed(now, own_work_, problem);
}

/// One that ran out is no news: the next may be good.
bool EtcdMachine::is_worn_token(const Problem& problem) const {
  return problem.code == etcd::Refusal::unauthenticated && token_was_good_;
}

std::optional<EtcdMachine::Problem> EtcdMachine::problem_of(const Result<HttpReply>& reply,
                                                            const Work& work) const {
  if (!reply) return Problem{.text = reply.error().text(), .is_unreachable = true};
  if (reply->status == 200) return std::nullopt;
  const auto refusal = etcd::read_refusal(reply->body);
  const std::string why = refusal.message.empty() ? reply->reason.substr(0, 100) : refusal.message;
  const bool is_sign_in = reply->status == 401 || refusal.code == etcd::Refusal::unauthenticated ||
                          why.find("invalid auth token") != std::string::npos;
  return Problem{.text = options_.endpoints[work.endpoint] + " answers " +
                         std::to_string(reply->status) + ": " + why,
                 .is_unreachable = reply->status >= 500,
                 .code = is_sign_in ? etcd::Refusal::unauthenticated : refusal.code};
}

void EtcdMachine::failed(Now now, Work& work, const Problem& problem) {
  ++counters_["failures"];
  later(now, work);
  if (problem.code == etcd::Refusal::unauthenticated) token_.clear();
  if (!problem.is_unreachable) return;
  if (work.endpoint == endpoint_) endpoint_ = (endpoint_ + 1) % options_.endpoints.size();
  files_read_ = 0;  // They may have been renewed.
  preparation_.due = std::max(preparation_.due, std::min(work.due, after(now.mono, 250ms)));
}

void EtcdMachine::later(Now now, Work& work) {
  work.due = after(now.mono, work.retry.next(++seed_ * 0x9E3779B97F4A7C15u));
}

void EtcdMachine::stop(Now now) {
  is_stopped_ = true;
  if (lease_ != 0) ask(now, own_work_, "/v3/lease/revoke", etcd::lease_of(lease_));
}

void EtcdMachine::check_invariants() const {
  assert(endpoint_ < options_.endpoints.size());
  assert(files_read_ <= files_.size());
  assert((own_ == Own::granting) == (lease_ == 0));
  assert(!peers_.contains(own_key_));
  assert(view_ == View::reading || view_work_.question || is_stopped_);
}

}  // namespace muster::discovery
