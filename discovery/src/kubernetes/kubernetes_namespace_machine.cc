// SPDX-License-Identifier: MIT
#include "kubernetes/kubernetes_namespace_machine.h"

#include <algorithm>
#include <cassert>
#include <set>

#include "kubernetes/kubernetes_refusal.h"
#include "muster/discovery/settings.h"

namespace muster::discovery::kubernetes {
namespace {

using namespace std::chrono_literals;

constexpr Duration request_within = 15s;  // As libcluster.
constexpr std::chrono::seconds watch_longest = 300s;
constexpr Duration least_relist = 1min;
constexpr Duration most_relist = 1h;
constexpr int polls_per_relist = 60;
constexpr Duration short_life = 5s;  // A watch that ends sooner waits before the next.
constexpr Duration most_retry_after = 5min;
constexpr std::size_t most_pages = 100;
constexpr std::size_t most_list_bytes = std::size_t{32} << 20;
constexpr std::size_t most_line_bytes = std::size_t{4} << 20;

std::string trimmed(const std::string& text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

/// It goes into a header as it is.
bool is_token(const std::string& text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c > 0x20 && c < 0x7f; });
}

bool is_space(const std::string& text) {
  return !text.empty() && text.size() <= 63 && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

std::set<std::string> addresses_of(const std::map<std::string, Members>& objects) {
  std::set<std::string> addresses;
  for (const auto& [name, members] : objects)
    for (const Member& member : members) addresses.insert(member.ip);
  return addresses;
}

}  // namespace

NamespaceMachine::NamespaceMachine(Options options, std::uint64_t seed, Owner& owner)
    : options_(std::move(options)), owner_(owner), seed_(seed), space_(options_.space) {}

void NamespaceMachine::wake(Now now) {
  if (now.mono < next_wake()) return;
  if (step_ == Step::watching) close_watch(now);  // A new list is due.
  begin(now);
}

Instant NamespaceMachine::next_wake() const {
  if (step_ == Step::resting) return rest_until_;
  return step_ == Step::watching ? list_due_ : never;
}

void NamespaceMachine::begin(Now now) {
  started_ = now.mono;
  step_ = Step::reading;
  file_problem_.clear();
  token_.clear();
  authority_.clear();
  if (!watches(now) || now.mono >= list_due_) resource_version_.clear();
  if (is_secure(options_.base)) {
    read(File::token, "token");
    read(File::authority, "ca.crt");
  }
  if (options_.space.empty()) read(File::space, "namespace");
  if (reading_.empty()) return resource_version_.empty() ? ask_page() : open_watch();
}

void NamespaceMachine::read(File file, const char* name) {
  reading_.emplace(owner_.ask(ReadFile{.path = options_.account / name}), file);
}

void NamespaceMachine::answer(Now now, QuestionId id, const Answer& answer) {
  if (const auto* file = std::get_if<FileRead>(&answer)) {
    const auto asked = reading_.extract(id);
    if (asked) file_read(now, asked.mapped(), file->content);
    return;
  }
  if (question_ != id) return;
  if (const auto* line = std::get_if<HttpLine>(&answer)) {
    if (step_ == Step::watching) line_came(now, line->line);
    return;
  }
  if (const auto* http = std::get_if<HttpAnswer>(&answer)) {
    if (step_ == Step::listing) return page_came(now, http->reply);
    if (step_ == Step::opening) return watch_answered(now, http->reply);
  }
  if (const auto* ended = std::get_if<HttpEnded>(&answer)) watch_ended(now, ended->result);
}

void NamespaceMachine::file_read(Now now, File file, const Result<std::string>& content) {
  if (content)
    take_file(file, trimmed(*content));
  else if (file_problem_.empty())
    file_problem_ = content.error().text();
  if (!reading_.empty()) return;
  if (!file_problem_.empty())
    return fail(now, file_problem_ +
                         "; a pod finds its service account's token, ca.crt and "
                         "namespace there (kubernetes_service_account_path)");
  if (resource_version_.empty())
    ask_page();
  else
    open_watch();
}

void NamespaceMachine::take_file(File file, const std::string& content) {
  const auto wrong = [&](const char* name, const char* why) {
    if (file_problem_.empty()) file_problem_ = (options_.account / name).string() + why;
  };
  switch (file) {
    case File::token:
      if (!is_token(content)) return wrong("token", " holds no token");
      token_ = content;
      break;
    case File::authority:
      // Without it any server could be the API server; sending the token all the same is not an
      // option.
      if (content.find("-----BEGIN CERTIFICATE-----") == std::string::npos)
        return wrong("ca.crt", " holds no certificate");
      authority_ = content;
      break;
    case File::space:
      if (!is_space(content)) return wrong("namespace", " names no namespace");
      if (content != space_) resource_version_.clear();
      space_ = content;
      break;
  }
}

// ---- list

void NamespaceMachine::ask_page() {
  if (step_ != Step::listing) {
    step_ = Step::listing;
    page_ = {};
    pages_ = 0;
  }
  HttpRequest page = request(list_url(collection(), options_.cached, page_.next));
  page.most_bytes = most_list_bytes;
  question_ = owner_.ask(std::move(page));
}

void NamespaceMachine::page_came(Now now, const Result<HttpReply>& reply) {
  question_.reset();
  if (!reply) return fail(now, reply.error().text());
  if (reply->status == 410 && !page_.next.empty()) return gone(now);  // Its pages have expired.
  if (reply->status != 200) return fail(now, refused(*reply, "list"), reply->retry_after);
  Result<Page> page = parse_list(options_.resource, space_, reply->body);
  if (!page)
    return fail(now, options_.base + ": bad answer to a list of " +
                         std::string(to_string(options_.resource)) + ": " + page.error().text());
  owner_.count("malformed", page->malformed);
  page_.objects.merge(page->objects);
  page_.members += page->members;
  page_.next = page->next;
  page_.resource_version = page->resource_version;
  ++pages_;
  if (page_.members > most_members || page_.objects.size() > most_members || pages_ > most_pages)
    return fail(now, "more than " + std::to_string(most_members) +
                         " addresses match the selector in namespace " + space_);
  if (page_.next.empty()) return list_ended(now);
  ask_page();
}

void NamespaceMachine::list_ended(Now now) {
  owner_.count("lists", 1);
  const bool was_confirming = std::exchange(is_confirming_, false);
  if (!was_confirming && drops_more_than_half(page_.objects)) is_confirming_ = true;
  objects_ = std::move(page_.objects);
  members_ = 0;
  for (const auto& [name, members] : objects_) members_ += members.size();
  resource_version_ = page_.resource_version;
  page_ = {};
  is_known_ = true;
  listed_at_ = now.mono;
  list_due_ = after(now.mono, jittered(std::clamp(options_.polling_interval * polls_per_relist,
                                                  least_relist, most_relist)));
  if (is_confirming_) list_due_ = after(now.mono, options_.polling_interval);
  if (!is_confirming_ && watches(now) && !resource_version_.empty()) {
    open_watch();
  } else {
    if (!watches(now)) retry_.reset();
    rest(now, options_.polling_interval);
  }
  owner_.listed(now, now.mono - started_);
}

bool NamespaceMachine::drops_more_than_half(const std::map<std::string, Members>& next) const {
  const std::set<std::string> before = addresses_of(objects_);
  const std::set<std::string> now = addresses_of(next);
  const auto kept = static_cast<std::size_t>(
      std::ranges::count_if(before, [&](const auto& address) { return now.contains(address); }));
  return before.size() >= 3 && kept * 2 < before.size();
}

// ---- watch

void NamespaceMachine::open_watch() {
  step_ = Step::opening;
  // Shorter by chance, so that nodes that started together do not come back together.
  const auto within = watch_longest - std::chrono::seconds(chance() % 60);
  HttpRequest watch = request(watch_url(collection(), resource_version_, within));
  watch.stream = true;
  watch.most_bytes = most_line_bytes;
  question_ = owner_.ask(std::move(watch));
  token_.clear();
  authority_.clear();
}

void NamespaceMachine::watch_answered(Now now, const Result<HttpReply>& reply) {
  if (reply && reply->status == 200) {
    step_ = Step::watching;
    opened_at_ = now.mono;
    owner_.count("watches", 1);
    if (std::exchange(is_refused_, false)) owner_.note(Level::info, "watches " + space_ + " again");
    if (!std::exchange(is_known_, true)) owner_.listed(now, now.mono - started_);
    return;
  }
  question_.reset();
  if (!reply) return fail(now, reply.error().text());
  if (reply->status == 410) return gone(now);
  if (reply->status == 403 || reply->status == 404 || reply->status == 405)
    return watch_refused(now, *reply);
  fail(now, refused(*reply, "watch"), reply->retry_after);
}

void NamespaceMachine::watch_refused(Now now, const HttpReply& reply) {
  refused_until_ = list_due_;
  resource_version_.clear();
  if (!std::exchange(is_refused_, true))
    owner_.note(Level::warn, refused(reply, "watch") + "; lists every " +
                                 duration_text(options_.polling_interval) + " instead");
  retry_.reset();
  rest(now, std::max(listed_at_ + options_.polling_interval - now.mono, Duration::zero()));
}

void NamespaceMachine::line_came(Now now, const std::string& line) {
  if (line.find_first_not_of(" \t\r") == std::string::npos) return;
  Result<Event> event = parse_event(options_.resource, space_, line);
  if (event) return take_event(now, std::move(*event));
  // Whom it spoke of is not known: only a list can tell.
  owner_.count("malformed", 1);
  list_anew(now);
}

void NamespaceMachine::take_event(Now now, Event event) {
  owner_.count("malformed", event.malformed);
  if (event.kind == Event::Kind::error) {
    owner_.count("watch_errors", 1);
    return event.code == 410 ? gone(now) : list_anew(now);
  }
  if (!event.resource_version.empty()) resource_version_ = event.resource_version;
  owner_.count(event.kind == Event::Kind::bookmark ? "bookmarks" : "events", 1);
  if (event.kind != Event::Kind::bookmark && !event.object.empty()) apply(now, event);
}

void NamespaceMachine::apply(Now now, Event& event) {
  const auto found = objects_.find(event.object);
  const bool is_there = found != objects_.end();
  const std::size_t before = is_there ? found->second.size() : 0;
  if (event.kind == Event::Kind::deleted) {
    if (!is_there) return;
    objects_.erase(found);
    members_ -= before;
    return owner_.changed(now);
  }
  if (members_ - before + event.members.size() > most_members ||
      (!is_there && objects_.size() >= most_members))
    return owner_.count("beyond_limit", 1);
  if (is_there && found->second == event.members) return;
  members_ += event.members.size() - before;
  objects_[event.object] = std::move(event.members);
  owner_.changed(now);
}

void NamespaceMachine::watch_ended(Now now, const Result<void>& result) {
  question_.reset();
  if (step_ != Step::watching) return fail(now, options_.base + ": ended without an answer");
  owner_.count(result ? "watches_ended" : "watches_broken", 1);
  const bool was_short = now.mono - opened_at_ < short_life;
  if (!was_short) retry_.reset();
  rest(now, was_short ? retry_.next(chance()) : Duration::zero());
}

/// 410: what we know is too old to go on from.
void NamespaceMachine::gone(Now now) {
  owner_.count("gone", 1);
  close_watch(now);
  resource_version_.clear();
  const bool is_soon = now.mono - listed_at_ < short_life && listed_at_ != Instant();
  rest(now, is_soon || step_ == Step::listing ? retry_.next(chance()) : Duration::zero());
}

void NamespaceMachine::list_anew(Now now) {
  close_watch(now);
  resource_version_.clear();
  rest(now, retry_.next(chance()));
}

void NamespaceMachine::close_watch(Now now) {
  if (step_ == Step::watching && now.mono - opened_at_ >= short_life) retry_.reset();
  if (const auto open = std::exchange(question_, std::nullopt)) owner_.withdraw(*open);
}

// ---- failures

void NamespaceMachine::fail(Now now, std::string reason, std::optional<Duration> retry_after) {
  owner_.count("failures", 1);
  is_known_ = false;
  page_ = {};
  const Duration asked = std::min(retry_after.value_or(Duration::zero()), most_retry_after);
  rest(now, std::max(retry_.next(chance()), asked));
  owner_.failed(now, std::move(reason), now.mono - started_);
}

void NamespaceMachine::rest(Now now, Duration wait) {
  step_ = Step::resting;
  rest_until_ = after(now.mono, wait);
  token_.clear();
  authority_.clear();
}

// ---- small parts

bool NamespaceMachine::watches(Now now) const {
  return options_.watch && now.mono >= refused_until_;
}

HttpRequest NamespaceMachine::request(std::string url) const {
  HttpRequest request{.url = std::move(url), .within = request_within, .trusted = authority_};
  request.headers.emplace_back("Accept", "application/json");
  if (!token_.empty()) request.headers.emplace_back("Authorization", "Bearer " + token_);
  return request;
}

std::string NamespaceMachine::refused(const HttpReply& reply, std::string_view verb) const {
  return refusal(reply, verb, collection(), options_.account);
}

Collection NamespaceMachine::collection() const {
  return {.base = options_.base,
          .resource = options_.resource,
          .space = space_,
          .selector = options_.selector};
}

Duration NamespaceMachine::jittered(Duration longest) {
  return longest - longest / 10 * static_cast<Duration::rep>(chance() % 1000) / 1000;
}

/// splitmix64: well mixed, and the same for the same seed.
std::uint64_t NamespaceMachine::chance() {
  std::uint64_t z = seed_ += 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

void NamespaceMachine::check_invariants() const {
  assert(members_ <= most_members && objects_.size() <= most_members);
  assert(reading_.empty() || step_ == Step::reading);
  assert(question_.has_value() ==
         (step_ == Step::listing || step_ == Step::opening || step_ == Step::watching));
  assert(step_ != Step::reading || !reading_.empty());
  assert(step_ != Step::resting || token_.empty());
  assert(!is_known_ || !space_.empty());
}

}  // namespace muster::discovery::kubernetes
