// SPDX-License-Identifier: MIT
// The loop over requests, the batch of GETs, and what commands share.
#include "redis_session.h"

#include <algorithm>
#include <cassert>
#include <charconv>
#include <utility>

namespace muster::app {
namespace {

char capital(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }

const char* kind_of(const Error& error) {
  if (error.code == std::errc::timed_out) return "NOREPLICAS ";
  return error.code == std::errc::resource_unavailable_try_again ? "LOADING " : "ERR ";
}

}  // namespace

std::string shown(std::string_view bytes, std::size_t most) {
  std::string text(bytes.substr(0, most));
  for (char& c : text)
    if (c == '\r' || c == '\n')
      c = ' ';  // As Redis does.
    else if (c < ' ' || c > '~')
      c = '?';
  return text;
}

bool is_word(std::string_view word, std::string_view capitals) {
  return word.size() == capitals.size() &&
         std::equal(word.begin(), word.end(), capitals.begin(),
                    [](char a, char b) { return capital(a) == b; });
}

RedisSession::RedisSession(RedisService& service, std::uint64_t id, std::function<void()> wake)
    : service_(service),
      id_(id),
      wake_(std::move(wake)),
      authenticated_(!service.access.has_password()) {}

std::size_t RedisSession::consume(std::string_view bytes) {
  assert(!std::exchange(consuming_, true));
  now_ = service_.store.time();
  batching_ = authenticated_ && service_.store.readable(table_);
  std::size_t used = 0;
  while (!closing_ && !held_back()) {
    const std::string_view rest = bytes.substr(used);
    const RespLimits limits = authenticated_ ? RespLimits{} : limits_before_auth();
    const auto status = parser_.parse(rest, limits);
    if (status == RespParser::Status::partial) break;
    if (status == RespParser::Status::error) {
      flush_gets();
      replies_.tail() += parser_.error();
      ++service_.counters.protocol_errors;
      closing_ = true;
      break;
    }
    if (!arguments().empty() && !take_get(rest)) run(rest);
    used += parser_.used();
  }
  flush_gets();
  consuming_ = false;
  return used;
}

/// The common case, before any table of commands: a GET whose key goes into the batch.
bool RedisSession::take_get(std::string_view request) {
  const Arguments& words = arguments();
  if (!batching_ || words.size() != 2 || !is_word(words[0], "GET")) return false;
  const std::string_view key = words[1];
  // A key with zero bytes is encoded otherwise, and an inline one lies in the parser: no batch.
  if (request[0] != '*' || key.empty() || key.size() > cache::Key::max_encoded ||
      key.find('\0') != key.npos)
    return false;
  ++service_.counters.commands;
  gets_.push_back(key);
  if (gets_.size() >= batch_) flush_gets();
  return true;
}

void RedisSession::flush_gets() {
  if (gets_.empty()) return;
  RespReply out = reply();
  RedisCounters& counters = service_.counters;
  const std::size_t before = out.out().size();
  service_.store.lookup(table_, gets_, now_, [&](std::size_t, const RedisStore::Entry* found) {
    found ? out.bulk(found->value) : out.null();
    ++(found ? counters.hits : counters.misses);
  });
  gets_.clear();
  // Large values come a few at a time, so that held_back() is asked between them.
  const bool large = out.out().size() - before > output_max / 4;
  batch_ = large ? batch_min : std::min(batch_ * 2, batch_max);
}

void RedisSession::run(std::string_view) {
  flush_gets();
  ++service_.counters.commands;
  const std::string_view name = arguments()[0];
  if (!latest_ || !is_word(name, latest_->name)) latest_ = RedisCommand::find(name);
  const RedisCommand* command = latest_;
  if (!command) return unknown_command();
  const auto count = static_cast<int>(arguments().size());
  if (command->arity > 0 ? count != command->arity : count < -command->arity)
    return fail_arity(command->name);
  if (!authenticated_ && !command->before_auth) return fail("NOAUTH Authentication required.");
  (this->*command->run)();
  // Another table, a password, a lost right: what the next GET may do is asked anew.
  if (!command->writes) batching_ = authenticated_ && service_.store.readable(table_);
}

void RedisSession::unknown_command() {
  const std::string_view name = arguments()[0];
  // A web page that posts to this port: not a word, as Redis does.
  if (is_word(name, "POST") || is_word(name, "HOST:")) {
    ++service_.counters.protocol_errors;
    closing_ = true;
    return;
  }
  std::string words;
  for (std::size_t i = 1; i < arguments().size() && words.size() < 128; ++i)
    words += "'" + shown(arguments()[i], 128 - words.size()) + "' ";
  fail("ERR unknown command '" + shown(name, 128) + "', with args beginning with: " + words);
}

void RedisSession::fail_arity(std::string_view command) {
  std::string name(command);
  for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  fail("ERR wrong number of arguments for '" + name + "' command");
}

void RedisSession::fulfil(Ticket ticket, std::string_view text) {
  if (replies_.fulfil(ticket, text) && !consuming_) wake_();
}

bool RedisSession::integer(std::string_view text, std::int64_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end == text.data() + text.size() && !text.empty()) return true;
  fail("ERR value is not an integer or out of range");
  return false;
}

bool RedisSession::valid_key(std::string_view raw, cache::Key& key) {
  key = cache::Key(raw);
  if (key.valid()) return true;
  fail(raw.empty()
           ? "ERR a key may not be empty"
           : "ERR a key may have at most " + std::to_string(cache::Key::max_encoded) + " bytes");
  return false;
}

std::string_view RedisSession::encoded(std::string_view raw, std::string& scratch) {
  if (raw.find('\0') == raw.npos) return raw;
  scratch = cache::Key(raw).encoded();
  return scratch;
}

bool RedisSession::readable() {
  if (service_.store.readable(table_)) return true;
  fail("LOADING " + service_.store.why_not(table_));
  return false;
}

bool RedisSession::expiry_of(const ExpireArgument& argument, std::string_view name,
                             Duration& left) {
  std::int64_t count = 0;
  if (!integer(argument.text, count)) return false;
  // Far within what a Duration of nanoseconds holds: 100 years.
  constexpr std::int64_t most = std::int64_t{100} * 366 * 24 * 3600 * 1000;
  const std::int64_t start =
      argument.absolute
          ? std::chrono::duration_cast<std::chrono::milliseconds>(now_.time_since_epoch()).count()
          : 0;
  if (count > (most + start) / argument.milliseconds_per_unit || count < -most) {
    fail("ERR invalid expire time in '" + std::string(name) + "' command");
    return false;
  }
  left = std::chrono::milliseconds(count * argument.milliseconds_per_unit - start);
  return true;
}

void RedisSession::answer_read(RespReply& out, Shape shape, const RedisStore::Entry* found) const {
  const auto left = [&]() -> std::int64_t {
    if (!found) return -2;
    if (found->expiry == cache::never_expires) return -1;
    const auto microseconds = std::max<std::int64_t>(0, (found->expiry - now_).count());
    return shape == Shape::ttl ? (microseconds + 500'000) / 1'000'000 : microseconds / 1000;
  };
  switch (shape) {
    case Shape::value:
      return found ? out.bulk(found->value) : out.null();
    case Shape::ttl:
    case Shape::pttl:
      return out.integer(left());
    case Shape::exists:
      return out.integer(found ? 1 : 0);
    case Shape::type:
      return out.simple(found ? "string" : "none");
    case Shape::length:
      return out.integer(found ? static_cast<std::int64_t>(found->value.size()) : 0);
  }
}

void RedisSession::read_one(Shape shape) {
  cache::Key key;
  if (!valid_key(arguments()[1], key)) return;
  RedisCounters& counters = service_.counters;
  if (service_.store.readable(table_)) {
    RespReply out = reply();
    const std::string_view one[] = {key.encoded()};
    return service_.store.lookup(table_, one, now_,
                                 [&](std::size_t, const RedisStore::Entry* found) {
                                   ++(found ? counters.hits : counters.misses);
                                   answer_read(out, shape, found);
                                 });
  }
  const Ticket ticket = replies_.defer();
  service_.store.fetch(table_, key, [this, ticket, shape](Now, const auto& result) {
    answer(ticket, [&](RespReply& out) {
      if (!result) return out.error("LOADING " + shown(result.error().text(), 400));
      if (!*result) return answer_read(out, shape, nullptr);
      const RedisStore::Entry entry{(*result)->value, (*result)->expiry};
      answer_read(out, shape, &entry);
    });
  });
}

std::optional<cache::Table::Found> RedisSession::look(std::string_view raw) {
  std::optional<cache::Table::Found> result;
  std::string scratch;
  const std::string_view one[] = {encoded(raw, scratch)};
  service_.store.lookup(table_, one, now_, [&](std::size_t, const RedisStore::Entry* found) {
    if (found)
      result = cache::Table::Found{
          .value = std::string(found->value), .expiry = found->expiry, .stamp = {}};
  });
  return result;
}

void RedisSession::write(cache::Write write, Outcome outcome, std::string prepared) {
  const Ticket ticket = replies_.defer();
  if (outcome != Outcome::prepared)  // Fits a std::function without memory of its own.
    return service_.store.write(
        table_, std::move(write),
        [this, packed = ticket << 3 | static_cast<Ticket>(outcome)](Now, const auto& result) {
          written(packed >> 3, static_cast<Outcome>(packed & 7), {}, result);
        });
  service_.store.write(table_, std::move(write),
                       [this, ticket, text = std::move(prepared)](Now, const auto& result) {
                         written(ticket, Outcome::prepared, text, result);
                       });
}

void RedisSession::touch(const cache::Key& key, std::optional<Duration> ttl, Outcome outcome,
                         std::string prepared) {
  const Ticket ticket = replies_.defer();
  service_.store.touch(table_, key, ttl,
                       [this, ticket, outcome, text = std::move(prepared)](
                           Now, const auto& result) { written(ticket, outcome, text, result); });
}

void RedisSession::remove(const cache::Key& key, Outcome outcome, std::string prepared) {
  cache::Write write;
  write.deletes.push_back(key);
  this->write(std::move(write), outcome, std::move(prepared));
}

void RedisSession::written(Ticket ticket, Outcome outcome, std::string_view prepared,
                           const Result<cache::Written>& result) {
  answer(ticket, [&](RespReply& out) {
    if (!result) {
      return out.error(kind_of(result.error()) + shown(result.error().text(), 400));
    }
    if (result->applied && !result->acknowledged) {
      std::string holders;
      for (const NodeName& name : result->holders) holders += " " + name.text();
      return out.error("NOREPLICAS not acknowledged in time; it is not rolled back; held by" +
                       (holders.empty() ? " this node" : holders));
    }
    switch (outcome) {
      case Outcome::ok:
        return out.ok();
      case Outcome::ok_or_null:
        return result->applied ? out.ok() : out.null();
      case Outcome::applied:
        return out.integer(result->applied ? 1 : 0);
      case Outcome::deleted:
        return out.integer(result->deleted);
      case Outcome::prepared:
        out.out() += prepared;
    }
  });
}

}  // namespace muster::app
